// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of the hub's page stand on: a nats-server as it is shipped, a hub, logins that `diswall-hub user add`
// made, and a browser.
"use strict";

const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const { createRequire } = require("node:module");
const { children, until, start } = require("../../../tests/parts/browser.js");

const ROOT = path.join(__dirname, "../../..");
const { chromium } = createRequire(path.join(ROOT, "luci-app/test/package.json"))("playwright-core");
const HUB = path.resolve(process.env.DISWALL_HUB || path.join(ROOT, "target/debug/diswall-hub"));
const PORT = 4222;
const URL = "http://127.0.0.1:4280";
const TOKEN = "a-word-that-nobody-guesses";

function listens(port) {
    return new Promise((resolve) => {
        const socket = net.connect(port, "127.0.0.1", () => resolve(socket.destroy()));
        socket.on("error", () => resolve(false));
    });
}

// As the other tests have it.
function natsServer() {
    const { stdout } = spawnSync("sh", ["tests/parts/nats.sh", "target"], { cwd: ROOT, encoding: "utf8" });
    return stdout.trim();
}

// A login on nats-server: says something, and knows that it has arrived.
class Login {
    constructor(name, password) {
        this.socket = net.connect(PORT, "127.0.0.1");
        this.waiting = [];
        this.heard = "";
        this.socket.on("error", () => {});
        this.socket.on("data", (data) => {
            this.heard += data;
            for (const line of data.toString().split("\r\n"))
                if (line === "PING") this.socket.write("PONG\r\n");
                else if (line === "PONG") this.waiting.shift()?.();
        });
        this.socket.write(`CONNECT ${JSON.stringify({ verbose: false, user: name, pass: password })}\r\n`);
    }

    async say(subject, body) {
        this.socket.write(`PUB ${subject} ${Buffer.byteLength(body)}\r\n${body}\r\nPING\r\n`);
        await new Promise((resolve) => this.waiting.push(resolve));
        if (this.heard.includes("-ERR")) throw new Error(`${subject}: ${this.heard.split("\r\n").find((l) => l.startsWith("-ERR"))}`);
    }
}

class World {
    // A hub that believes `pot` alone and others in twos.
    async start() {
        this.dir = fs.mkdtempSync(path.join(os.tmpdir(), "diswall-hub-page-"));
        this.config = path.join(this.dir, "hub.toml");
        fs.writeFileSync(path.join(this.dir, "token"), TOKEN + "\n");
        fs.writeFileSync(this.config, `[nats]
servers = ["nats://127.0.0.1:${PORT}"]
user = "hub"
password = "hub"
[trust]
honeypots = ["pot"]
[page]
token_file = "${this.dir}/token"
`);
        this.passwords = { hub: "hub" };
        const users = ["pot", "alice", "bob", "mallory", EVIL].map((login) => this.made(login)).join("\n");
        const conf = path.join(this.dir, "nats.conf");
        fs.writeFileSync(conf, fs.readFileSync(path.join(ROOT, "contrib/hub/nats-server.conf"), "utf8")
            .replace("0.0.0.0:4222", `127.0.0.1:${PORT}`).replace("/var/lib/nats", `${this.dir}/jetstream`)
            .replace("A-LONG-WORD", "hub").replace("# Here goes what `diswall-hub user add LOGIN` prints.", () => users));
        start(process.env.NATS_SERVER || natsServer(), ["-c", conf], "ignore");
        await until("nats-server to listen", () => listens(PORT).then((open) => open !== false));
        this.hub = start(HUB, ["-c", this.config], ["ignore", "ignore", process.env.VERBOSE ? "inherit" : "ignore"]);
        await until("the page to be there", () => fetch(URL).then((answer) => answer.ok));
        this.browser = await chromium.launch({
            executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"],
        });
    }

    // A new login's entry for nats-server.
    made(login) {
        const entry = this.command("user", "add", login).split("\n\n")[0].replace(/^#.*\n/, "");
        this.passwords[login] = /password: "([^"]*)"/.exec(entry)[1];
        return entry;
    }

    command(...args) {
        const done = spawnSync(HUB, ["-c", this.config, ...args], { encoding: "utf8" });
        if (done.status !== 0) throw new Error(`diswall-hub ${args.join(" ")}: ${done.stderr}`);
        return done.stdout;
    }

    login(name) {
        this.logins ??= {};
        return (this.logins[name] ??= new Login(name, this.passwords[name]));
    }

    report(login, address, tag = "", host = "turris") {
        return this.login(login).say(`diswall.blacklist.${login}.add.${host}`, `${address}|${tag}`);
    }

    statistics(login, host, banned, dropped) {
        const hour = { time: 1, banned, packets_dropped: dropped, bytes_dropped: 1, packets_accepted: 1, bytes_accepted: 1 };
        return this.login(login).say(`diswall.stats.${login}.add.${host}`, JSON.stringify(hour));
    }

    // What the hub knows of an address, once it says `word`.
    known(address, word) {
        return until(`${address}: ${word}`, () => this.command("check", address).includes(word));
    }

    // A tab of its own; whatever goes wrong inside is kept in page.complaints, requests elsewhere in page.strangers.
    async open({ width = 1100, dark = false, token = TOKEN, at = "/" } = {}) {
        const context = await this.browser.newContext({
            viewport: { width, height: 900 }, colorScheme: dark ? "dark" : "light",
        });
        const page = await context.newPage();
        page.setDefaultTimeout(15000);
        page.complaints = [];
        page.strangers = [];
        page.on("pageerror", (error) => page.complaints.push(error.message));
        page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
        page.on("request", (request) => request.url().startsWith(URL) || page.strangers.push(request.url()));
        await page.goto(URL + at);
        if (token) {
            await page.getByLabel("Token").fill(token);
            await page.getByRole("button", { name: "Log in" }).click();
            await page.getByRole("heading", { name: "Newest bans" }).waitFor();
        }
        return page;
    }

    async stop() {
        await this.browser?.close();
        Object.values(this.logins || {}).forEach((login) => login.socket.destroy());
        children.forEach((child) => child.kill());
        fs.rmSync(this.dir, { recursive: true, force: true });
    }
}

// Neither dot, star, space nor ">" can be in a login or a router's name; the rest can.
const EVIL = "<svg/onload=pwned=1//";

module.exports = { World, until, EVIL, TOKEN, URL };
