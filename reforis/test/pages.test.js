// SPDX-License-Identifier: GPL-3.0-or-later
// reForis' pages in a browser, on the real plugin, the real module and a running diswall.
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const test = require("node:test");
const { World, until, EVIL, ALLOWANCES, LISTED, RUNNING } = require("./world.js");

const PAGES = ["overview", "allowed", "settings"];
const BANNED = "198.51.100.77";
const world = new World();
// What would change a router that is not the tests' own.
const OWN = { skip: RUNNING ? "it is not the tests' own router" : false };

test.before(() => world.start());
test.after(() => world.stop());
test.beforeEach(() => world.answerAs("relay"));

// Opens a page, runs the test on it, then looks at what went wrong inside.
async function on(name, options, use) {
    const page = await world.open(name, options);
    try {
        await use(page, page.locator("#content"));
        assert.deepStrictEqual(page.complaints, []);
    } finally {
        await page.context().close();
    }
}

const shows = (place, text) => place.getByText(text).first().waitFor();
const rows = (place) => place.locator("tbody tr");

// Everything that a page has to show is there.
async function settled(page) {
    await page.waitForLoadState("networkidle");
    await page.locator("#content .spinner-border").first().waitFor({ state: "detached" });
    for (const details of await page.locator("#content details").all())
        await details.evaluate((element) => { element.open = true; });
}

test("the overview says whether the router is protected, and answers for one address", () => on("overview", {}, async (page, place) => {
    world.cli("block", BANNED, "--timeout", "1h", "--comment", EVIL);
    await shows(place, /The router is protected/);
    await place.getByLabel("Address", { exact: true }).fill(BANNED);
    await place.getByRole("button", { name: "Why is this address blocked?" }).first().click();
    await shows(place, "Blocked.");
    await shows(place, EVIL);
    await place.getByRole("button", { name: "Unblock" }).click();
    await shows(place, "Not blocked.");
    assert.match(world.cli("check", BANNED).stdout, /is not blocked/);
    await place.locator("summary").first().click();
    await shows(place, "Dropped packets");
    assert.strictEqual(await page.evaluate(() => window.pwned), undefined);
}));

test("who is on a list alone is not unblocked but allowed", OWN, () => on("overview", {}, async (_page, place) => {
    await until("the list", () => /is blocked/.test(world.cli("check", LISTED).stdout));
    await place.getByLabel("Address", { exact: true }).fill(LISTED);
    await place.getByRole("button", { name: "Why is this address blocked?" }).first().click();
    await shows(place, "Blocked.");
    assert.strictEqual(await place.getByRole("button", { name: "Unblock" }).count(), 0);
    await place.getByRole("button", { name: "Always allow" }).click();
    await shows(place, "Not blocked.");
    assert.strictEqual(await place.getByRole("button", { name: "Always allow" }).count(), 0);
    assert.strictEqual(world.cli("disallow", LISTED).status, 0);
}));

test("a newest ban is looked up by its address", () => on("overview", {}, async (_page, place) => {
    world.cli("block", "203.0.113.5", "--timeout", "1h", "--comment", "kancelář");
    await place.getByRole("button", { name: "203.0.113.5" }).first().click({ timeout: 20000 });
    await shows(place, "Blocked.");
    await place.getByRole("button", { name: "Always allow" }).click();
    await shows(place, "Not blocked.");
    world.cli("disallow", "203.0.113.5");
}));

test("five thousand allowances come a page at a time, are searched, added and taken back", OWN, () => on("allowed", {}, async (_page, place) => {
    await until("a page of them", async () => await rows(place).count() === 50);
    await shows(place, /of 5.?000/);
    await place.getByRole("button", { name: "Next" }).click();
    await shows(place, /51 to 100/);
    await place.getByLabel("Search").fill(`kancelář č. ${ALLOWANCES - 1}`);
    await until("the one that is searched", async () => await rows(place).count() === 1);
    await place.getByLabel("Search").fill("");
    await until("a page of them again", async () => await rows(place).count() === 50);
    await place.getByLabel("Address or network").fill("2001:db8::/48");
    await place.getByLabel("Comment").fill(EVIL);
    await place.getByRole("button", { name: "Allow", exact: true }).click();
    await shows(place, /2001:db8::\/48 is allowed/);
    await place.getByLabel("Search").fill("2001:db8::");
    await until("its row", async () => await rows(place).count() === 1);
    await shows(place, EVIL);
    await place.getByRole("button", { name: /Take back/ }).click();
    await shows(place, "Nothing is allowed by name.");
    await place.getByLabel("Address or network").fill("nonsense;");
    await place.getByRole("button", { name: "Allow", exact: true }).click();
    await place.getByRole("alert").first().waitFor();
}));

test("two browsers change settings without undoing one another", OWN, async () => {
    const [first, second] = await Promise.all([world.open("settings"), world.open("settings")]);
    await first.getByLabel("Without feeds").waitFor();
    await second.getByLabel("Turris DynFW").waitFor();
    await first.getByLabel("lan").check();
    await second.getByLabel("Turris DynFW").uncheck();
    for (const page of [first, second]) {
        await page.getByRole("button", { name: "Save" }).click();
        await shows(page.locator("#content"), "Saved; it takes force within seconds.");
    }
    await on("settings", {}, async (_page, place) => {
        await place.getByLabel("lan").waitFor();
        assert.ok(await place.getByLabel("lan").isChecked() && !(await place.getByLabel("Turris DynFW").isChecked()));
        for (const zone of ["lan", "wan"]) await place.getByLabel(zone).uncheck();
        await shows(place, "At least one zone is needed");
        assert.ok(await place.getByRole("button", { name: "Save" }).isDisabled());
    });
    for (const page of [first, second]) await page.context().close();
});

test("a list of the catalogue is switched on and off at once, and one that does not fit says why", OWN, () => on("settings", {}, async (_page, place) => {
    await place.getByText(/^Attackers: 0 of/).click();
    const list = place.getByLabel("DShield");
    await list.click();
    await shows(place, /dshield is switched on/);
    assert.match(fs.readFileSync(world.config, "utf8"), /config list 'dshield'[^]*option enabled '1'/);
    await shows(place, /^Attackers: 1 of/);
    await until("the switch to show it", () => list.isChecked());
    await list.click();
    await shows(place, /dshield is switched off/);
    await place.getByText(/^Anonymity/).click();
    assert.ok(await place.getByLabel("Everybody").isDisabled());
    await place.getByText(/not for commercial use/).first().waitFor({ state: "attached" });
}));

// Words that the pages go by; every other text could be a stranger's.
const KEPT = new Set(["kind", "state", "verdict", "code", "protocol"]);

function everyText(value, key) {
    if (Array.isArray(value)) return value.map((item) => everyText(item, key));
    if (value && typeof value === "object")
        return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, everyText(item, name)]));
    return typeof value === "string" && !KEPT.has(key) ? EVIL : value;
}

test("whatever is written in any field stays text", async () => {
    world.cli("block", BANNED, "--timeout", "1h", "--comment", "x");
    for (const name of PAGES) {
        const twist = (answer) => {
            if (answer.state) Object.assign(answer, { problems: [{ key: "k", severity: "warning", text: "t" }], parts: [{ name: "n", state: "broken", why: "w", lost: "l", remedy: "r" }] });
            return everyText(answer);
        };
        await on(name, { twist }, async (page, place) => {
            await shows(place, EVIL);
            if (name === "overview") {
                await place.getByLabel("Address", { exact: true }).fill(BANNED);
                await place.getByRole("button", { name: "Why is this address blocked?" }).first().click();
                await shows(place, "Blocked.");
            }
            await settled(page);
            assert.strictEqual(await place.locator("img, script").count(), 0);
            assert.strictEqual(await page.evaluate(() => window.pwned), undefined);
        });
    }
});

test("what is not there, or answers in another form, is said in words", OWN, async () => {
    for (const name of ["overview", "allowed"]) {
        world.answerAs("absent");
        await on(name, {}, (_page, place) => shows(place, "diswall is not installed, or does not answer on this router."));
        world.answerAs("other");
        await on(name, {}, async (page) => {
            await settled(page);
            assert.ok((await page.locator("#content").innerText()).length > 40);
        });
    }
});

test("a session without rights is told, on every page and at every action", async () => {
    for (const name of PAGES) {
        await on(name, {}, async (page, place) => {
            await page.route("**/diswall/api/**", (route) =>
                route.fulfill({ status: 403, contentType: "application/json", body: JSON.stringify("No rights.") }));
            await page.reload();
            await shows(place, "No rights.");
            if (name === "allowed") {
                await place.getByLabel("Address or network").fill("192.0.2.1");
                await place.getByRole("button", { name: "Allow", exact: true }).click();
                await until("two refusals", async () => await place.getByText("No rights.").count() >= 2);
            }
        });
    }
});

test("on a telephone nothing is wider than it, in either language", async () => {
    world.cli("block", "2001:db8:1234:5678:9abc:def0:1234:5678", "--timeout", "1h", "--comment", "nejneobhospodařovávatelnějšími".repeat(3));
    for (const language of ["en", "cs"]) {
        await world.speak(language);
        for (const name of PAGES) {
            await on(name, { width: 360 }, async (page) => {
                await settled(page);
                const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
                assert.ok(wide <= 0, `${language} ${name}: ${wide} px too wide`);
            });
        }
    }
    await on("allowed", {}, (_page, place) => shows(place, "Povolené adresy"));
    await world.speak("en");
});

test("everything is reached and done by keyboard alone", async () => {
    for (const name of PAGES) {
        await on(name, {}, async (page) => {
            await settled(page);
            const wanted = await page.evaluate(() => {
                const all = [...document.querySelectorAll("#content :is(a[href], button, input, select, summary)")];
                const shown = all.filter((element) => !element.disabled && element.getClientRects().length);
                shown.forEach((element, at) => { element.dataset.at = at; });
                return shown.length;
            });
            const reached = new Set();
            for (let step = 0; step < 3 * wanted && reached.size < wanted; step += 1) {
                await page.keyboard.press("Tab");
                reached.add(await page.evaluate(() => document.activeElement.dataset.at));
                reached.delete(undefined);
            }
            assert.strictEqual(reached.size, wanted, name);
        });
    }
    await on("allowed", {}, async (page, place) => {
        await place.getByLabel("Address or network").focus();
        await page.keyboard.type("192.0.2.99");
        await page.keyboard.press("Enter");
        await shows(place, /192.0.2.99 is allowed/);
        await place.getByLabel("Search").fill("192.0.2.99");
        await until("its row", async () => await rows(place).count() === 1);
        await place.getByRole("button", { name: /Take back/ }).focus();
        await page.keyboard.press("Enter");
        await shows(place, "Nothing is allowed by name.");
    });
    await on("settings", {}, async (page, place) => {
        await place.getByText(/^Crime/).focus();
        await page.keyboard.press("Enter");
        await place.getByLabel(/Spamhaus/).focus();
        await page.keyboard.press("Space");
        await shows(place, /is switched o(n|ff)/);
        assert.ok(await page.evaluate(() => document.activeElement.type === "checkbox"), "the focus stays");
    });
});

test("every text stands out from what is behind it", { skip: RUNNING ? "the colours are reForis' own" : false }, async () => {
    for (const name of PAGES) {
        await on(name, {}, async (page) => {
            await settled(page);
            const faint = await page.evaluate(() => {
                const rgb = (text) => text.match(/[\d.]+/g).map(Number);
                const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
                    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
                    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
                const over = (top, under) => [0, 1, 2].map((at) => top[at] * (top[3] ?? 1) + under[at] * (1 - (top[3] ?? 1)));
                const behind = (element) => {
                    const own = element ? rgb(getComputedStyle(element).backgroundColor) : [255, 255, 255];
                    return (own[3] ?? 1) === 1 ? own : over(own, behind(element.parentElement));
                };
                const found = [];
                const walk = document.createTreeWalker(document.querySelector("#content"), NodeFilter.SHOW_TEXT);
                while (walk.nextNode()) {
                    const element = walk.currentNode.parentElement;
                    const text = walk.currentNode.data.trim();
                    if (!text || !element.getClientRects().length || element.closest(":disabled, :disabled ~ *, svg")) continue;
                    const style = getComputedStyle(element);
                    const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700;
                    const back = behind(element);
                    const [a, b] = [light(over(rgb(style.color), back)), light(back)];
                    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                    if (ratio < (large ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
                }
                return found;
            });
            assert.deepStrictEqual(faint, [], name);
        });
    }
});

test("a stopped daemon is said, and the page comes back with it", OWN, () => on("overview", {}, async (_page, place) => {
    await shows(place, "The router is protected");
    await world.stopDaemon();
    await shows(place, "The service diswall is not running.");
    await world.startDaemon();
    await shows(place, "The router is protected");
}));
