// SPDX-License-Identifier: GPL-3.0-or-later
// The hub's page as its owner sees it. The tests build on one another: the hub has nothing at first.
"use strict";

const assert = require("node:assert");
const test = require("node:test");
const { World, EVIL, URL } = require("./world.js");

const world = new World();

test.before(() => world.start());
test.after(() => world.stop());

// Opens the page, runs the test on it, then looks at what went wrong inside.
async function on(options, use) {
    const page = await world.open(options);
    try {
        await use(page);
        assert.deepStrictEqual(page.complaints, []);
        assert.deepStrictEqual(page.strangers, []);
    } finally {
        await page.context().close();
    }
}

const shows = (page, text) => page.getByText(text).first().waitFor();
const section = (page, name) => page.getByRole("region", { name });
const cells = (row) => row.getByRole("cell").allInnerTexts().then((texts) => texts.map((text) => text.trim()));

// Contrast by WCAG 2: 4.5 for text, 3 for large text; and whatever can be used has a name.
async function readable(page, what) {
    const [wide, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    assert.ok(wide <= shown, `${what}: ${wide} pixels wide, ${shown} shown`);
    const faint = await page.evaluate(() => {
        const rgba = (colour) => {
            const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
            return [r, g, b, a];
        };
        const luminance = (colour) => {
            const [r, g, b] = colour.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const background = (node) => {
            const own = rgba(getComputedStyle(node).backgroundColor);
            if (own[3] === 1) return own;
            return node.parentElement ? background(node.parentElement) : [255, 255, 255, 1];
        };
        const found = [];
        for (const node of document.querySelectorAll("body *")) {
            const own = [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim());
            if (!(own || node.tagName === "INPUT") || !node.checkVisibility()) continue;
            const style = getComputedStyle(node);
            const [high, low] = [rgba(style.color), background(node)].map((colour) => luminance(colour.slice(0, 3))).sort((a, b) => b - a);
            const least = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
            const got = (high + 0.05) / (low + 0.05);
            if (got < least) found.push(`${node.tagName} "${node.textContent.slice(0, 20)}": ${got.toFixed(2)}`);
        }
        return found;
    });
    assert.deepStrictEqual(faint, [], what);
    const client = await page.context().newCDPSession(page);
    const { nodes } = await client.send("Accessibility.getFullAXTree");
    const used = nodes.filter((node) => !node.ignored && ["button", "link", "textbox", "table", "columnheader"].includes(node.role?.value));
    assert.ok(used.length > 0);
    assert.deepStrictEqual(used.filter((node) => !(node.name?.value || "").trim()).map((node) => node.role.value), [], what);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${what.replaceAll(" ", "-")}.png`, fullPage: true });
}

test("nothing is told without the token, and a wrong one is none", async () => {
    await world.report("pot", "203.0.113.77", "ssh");
    await world.known("203.0.113.77", "is banned");
    await on({ token: null, at: "/?address=203.0.113.77" }, async (page) => {
        await page.getByLabel("Token").fill("a-word-that-somebody-guesses");
        await page.getByRole("button", { name: "Log in" }).click();
        await page.getByRole("alert").getByText("That is not the token.").waitFor();
        assert.doesNotMatch(await page.content(), /203\.0|ssh|pot/);
        // The browser itself tells of every answer that is a refusal.
        assert.match(page.complaints.splice(0).join(), /^[^,]*403[^,]*$/);
        await readable(page, "wrong token");
        await page.goto(URL + "/revoke?login=pot");
        await page.getByLabel("Token").waitFor();
    });
    world.command("allow", "203.0.113.77");
    world.command("allow", "--remove", "203.0.113.77");
});

test("a hub that knows nothing says so", () => on({}, async (page) => {
    await shows(page, "No address is banned; none was in the last hour.");
    await section(page, "Newest bans").getByText("None yet.").waitFor();
    await readable(page, "empty");
}));

test("the newest bans are shown, why one is banned, and by whom", async () => {
    await world.login("hub").say("$KV.diswall_counts.v4.198.51.101.9", "7");
    await world.report("pot", "198.51.101.9", "telnet");
    await world.known("198.51.101.9", "is banned");
    for (const login of ["alice", "mallory"]) await world.report(login, "203.0.114.8", "ssh");
    await world.known("203.0.114.8", "is banned");
    await world.report("bob", "203.0.114.99", "ssh");
    await world.known("203.0.114.99", "reported by bob");
    await world.statistics("alice", "turris", 1234, 5678901);

    await on({}, async (page) => {
        await shows(page, /^2 addresses are banned; /);
        const newest = section(page, "Newest bans").getByRole("row");
        const [address, reason, , left, before] = await cells(newest.nth(1));
        assert.deepStrictEqual([address, reason, before], ["203.0.114.8", "ssh", "0"]);
        assert.match(left, /^1[45] min$/);
        assert.strictEqual((await cells(newest.nth(2)))[0], "198.51.101.9");
        assert.deepStrictEqual((await cells(section(page, "Most stubborn").getByRole("row").nth(1))).slice(0, 2), ["198.51.101.9", "telnet"]);
        const alice = section(page, "Routers").getByRole("row", { name: /^alice\.turris/ });
        assert.deepStrictEqual((await cells(alice)).slice(2), ["1,234", "5,678,901"]);

        await newest.nth(1).getByRole("link", { name: "203.0.114.8" }).click();
        await shows(page, /203\.0\.114\.8 is banned for \d+ more seconds, reason ssh, for the 1\. time/);
        await shows(page, "reported by alice");
        await shows(page, "reported by mallory");
        assert.strictEqual(await page.getByLabel("Address").inputValue(), "203.0.114.8");
        await page.getByLabel("Address").fill("203.0.114.99");
        await page.getByRole("button", { name: "Look" }).click();
        await shows(page, "203.0.114.99 is not banned");
        await page.getByLabel("Address").fill("192.168.1.1");
        await page.getByLabel("Address").press("Enter");
        await shows(page, "no report can ban it: private");
        await page.getByLabel("Address").fill("rubbish");
        await page.getByLabel("Address").press("Enter");
        await shows(page, "That is no address.");
    });
});

test("a login is revoked by a button, after it was asked", () => on({}, async (page) => {
    const mallory = section(page, "Reporters").getByRole("row", { name: /^mallory/ });
    await mallory.getByRole("link", { name: "Revoke" }).click();
    await page.getByRole("heading", { name: "Revoke mallory?" }).waitFor();
    await readable(page, "revoke");
    await page.getByRole("link", { name: "Cancel" }).click();
    await shows(page, /^2 addresses are banned; /);
    await mallory.getByRole("link", { name: "Revoke" }).click();
    await page.getByRole("button", { name: "Revoke mallory" }).click();
    await page.getByRole("status").getByText("mallory is revoked: 1 report taken back, 1 ban ended.").waitFor();
    await page.getByRole("link", { name: "Back" }).click();
    await shows(page, /^1 address is banned; /);
    await mallory.getByText("revoked").waitFor();
    assert.match(world.command("check", "203.0.114.8"), /is not banned/);
}));

test("names and reasons are text, whatever they are made of", async () => {
    await world.report(EVIL, "198.51.101.66", "<b>x</b>&amp;", EVIL);
    await world.report("alice", "198.51.101.66");
    await world.known("198.51.101.66", "is banned");
    await world.statistics(EVIL, EVIL, 1, 2);
    await on({ at: `/?address=${encodeURIComponent(EVIL)}` }, async (page) => {
        await section(page, "Reporters").getByRole("row", { name: EVIL }).waitFor();
        await section(page, "Routers").getByRole("row", { name: `${EVIL}.${EVIL}` }).waitFor();
        await section(page, "Reporters").getByRole("row", { name: EVIL }).getByRole("link").click();
        await page.getByRole("heading", { name: `Revoke ${EVIL}?` }).waitFor();
        await page.goto(`${URL}/?address=${encodeURIComponent(EVIL + '">')}`);
        assert.strictEqual(await page.getByLabel("Address").inputValue(), EVIL + '">');
        assert.strictEqual(await page.locator("svg, b, script, img").count(), 0);
        assert.strictEqual(await page.evaluate(() => window.pwned), undefined);
        assert.ok(await page.getByRole("button", { name: `Revoke ${EVIL}` }).count() === 0);
    });
});

test("it fits a phone, a tablet and a screen, light and dark, with as much as it can show", async () => {
    for (let number = 1; number <= 30; number++)
        await world.report("pot", number % 3 ? `198.51.102.${number}` : `2a00:1450:4001:800:1234:5678:9abc:${number}`, `a-reason-of-25-letters-${number}`);
    await world.known("198.51.102.29", "is banned");
    await world.known("2a00:1450:4001:800:1234:5678:9abc:30", "is banned");
    await world.statistics("bob", "a-router-whose-name-is-as-long-as-a-name-of-a-router-can-well-be.".replaceAll(".", "_"), 1, 2);
    for (const width of [360, 768, 1400])
        for (const dark of [false, true])
            await on({ width, dark }, async (page) => {
                await page.getByLabel("Address").fill("2a00:1450:4001:800:1234:5678:9abc:30");
                await page.getByLabel("Address").press("Enter");
                await shows(page, "reported by pot");
                await readable(page, `full ${width} ${dark ? "dark" : "light"}`);
            });
});
