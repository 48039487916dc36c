// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of reForis' pages stand on: a running diswall in a network namespace of its own, something in ubus'
// place that asks it as rpcd does, the module and the plugin behind host.py, and a browser. With REFORIS_URL the
// pages of a running reForis are driven: DISWALL is then a program that runs that router's diswall, and what
// would stop its daemon is left out.
"use strict";

const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { createRequire } = require("node:module");
const { children, until, start } = require("../../tests/parts/browser.js");

const ROOT = path.join(__dirname, "../..");
const { chromium } = createRequire(path.join(ROOT, "luci-app/test/package.json"))("playwright-core");
const BINARY = path.resolve(process.env.DISWALL || path.join(ROOT, "target/debug/diswall"));
const RUNNING = process.env.REFORIS_URL;
const BUNDLE = path.resolve(process.env.BUNDLE || path.join(ROOT, "target/reforis/app.min.js"));
const ALLOWANCES = 5000;
// What a list of the owner's has, and nobody else bans.
const LISTED = "198.51.100.99";
const EVIL = "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script> žluťoučký";

// One of the catalogue's form that is small, one whose terms matter, and one that no router has room for.
const LISTS = [
    { name: "drop", title: "Spamhaus DROP", category: "crime", hosts: 0, networks: 1600, commercial: true, from_mb: 1 },
    { name: "dshield", title: "DShield", category: "attackers", hosts: 0, networks: 20, commercial: false },
    { name: "all", title: "Everybody", category: "anonymity", hosts: 4000000000, networks: 0, risk: "high" },
].map((list) => ({
    about: "Hosts that nobody wants.", url: `http://127.0.0.1:9/${list.name}`, format: "auto", licence: "free for all",
    interval: "12h", direction: "src", risk: "low", home: "http://127.0.0.1:9/", ...list,
}));

class World {
    async start() {
        this.dir = fs.mkdtempSync(path.join(os.tmpdir(), "diswall-reforis-"));
        this.config = path.join(this.dir, "diswall");
        const allowances = Array.from({ length: ALLOWANCES }, (_unused, n) =>
            `config allow\n\toption ip '10.${Math.floor(n / 250)}.${n % 250}.1'\n\toption comment 'kancelář č. ${n}'\n`);
        fs.writeFileSync(this.config, `config diswall 'main'
	option local_only '1'
	option state_dir '${this.dir}/state'
	option control '${this.dir}/control.sock'
config scan 'scan'
	option enabled '0'
config login 'login'
	option enabled '0'
config list 'kept'
	option url 'file://${this.dir}/kept.txt'
${allowances.join("")}`);
        fs.writeFileSync(path.join(this.dir, "kept.txt"), `${LISTED}\n`);
        fs.writeFileSync(path.join(this.dir, "catalogue.json"), JSON.stringify({ version: 1, lists: LISTS }));
        this.ubus = path.join(this.dir, "ubus");
        this.answerAs("relay");
        this.url = RUNNING;
        if (!RUNNING) {
            await this.startDaemon();
            await this.startHost();
        }
        this.browser = await chromium.launch({
            executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
            args: ["--no-sandbox", "--disable-gpu"],
        });
    }

    // What stands in ubus' place: rpcd's way to the daemon, no object at all, or an answer of another version.
    answerAs(kind) {
        const scripts = {
            relay: `printf '%s' "$4" | '${BINARY}' rpcd --config '${this.config}' --catalogue '${this.dir}/catalogue.json' call "$3"`,
            absent: "echo 'Command failed: Not found' >&2; exit 4",
            other: `echo '{"state":{"is":"new"},"sources":"none","events":7,"allowances":{},"lists":[[]],"verdict":1}'`,
        };
        fs.writeFileSync(`${this.ubus}.new`, `#!/bin/sh\n${scripts[kind]}\n`, { mode: 0o755 });
        fs.renameSync(`${this.ubus}.new`, this.ubus);
    }

    cli(...args) {
        const where = RUNNING ? [] : ["--config", this.config];
        return spawnSync(BINARY, [...args, ...where], { encoding: "utf8" });
    }

    async startDaemon() {
        const loaded = spawnSync("nft", ["-f", "-"], { input: this.cli("rules", "--standalone").stdout, encoding: "utf8" });
        if (loaded.status !== 0) throw new Error(`nft refused the rules: ${loaded.stderr}`);
        this.daemon = start(BINARY, ["run", "--foreground", "--config", this.config], ["ignore", "ignore", "ignore"]);
        await until("the daemon to answer", () => this.cli("status").status === 0);
    }

    async stopDaemon() {
        const ended = new Promise((resolve) => this.daemon.once("exit", resolve));
        this.daemon.kill("SIGTERM");
        await ended;
    }

    async startHost() {
        const host = start(process.env.PYTHON || "/usr/bin/python3", [path.join(__dirname, "host.py"), "ubus", this.ubus, BUNDLE],
            ["ignore", "pipe", "inherit"]);
        const port = await new Promise((resolve) => host.stdout.once("data", (data) => resolve(String(data).trim())));
        this.url = `http://127.0.0.1:${port}/reforis`;
    }

    async speak(language) {
        await fetch(`${this.url.replace(/\/reforis$/, "")}/test`, { method: "PUT", body: JSON.stringify({ language }) });
    }

    // A browser of its own. What goes wrong in a page is kept in page.complaints. `twist(route, answer)` may change
    // an answer of the plugin's routes; what it returns is sent.
    async open(name, { width = 1280, twist } = {}) {
        const context = await this.browser.newContext({ viewport: { width, height: 900 } });
        const page = await context.newPage();
        page.complaints = [];
        page.setDefaultTimeout(15000);
        page.on("pageerror", (error) => page.complaints.push(error.message));
        if (twist) {
            await page.route("**/diswall/api/**", async (route) => {
                const reply = await route.fetch();
                await route.fulfill({ response: reply, json: twist(await reply.json()) });
            });
        }
        await page.goto(`${this.url}/diswall/${name}`);
        await page.locator("#content h1").first().waitFor();
        return page;
    }

    async stop() {
        await this.browser?.close();
        if (this.daemon && this.daemon.exitCode === null) await this.stopDaemon();
        children.forEach((child) => child.kill("SIGKILL"));
        fs.rmSync(this.dir, { recursive: true, force: true });
    }
}

module.exports = { World, until, EVIL, ALLOWANCES, LISTED, RUNNING };
