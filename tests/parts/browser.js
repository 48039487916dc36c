// SPDX-License-Identifier: GPL-3.0-or-later
// What tests of pages in a browser have in common.
"use strict";

const { spawn } = require("node:child_process");

// Checks `condition` until it holds; a generous deadline, and the last answer in the complaint.
async function until(what, condition, seconds = 30) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
        const last = await Promise.resolve().then(condition).catch((error) => error);
        if (last && !(last instanceof Error)) return last;
        if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}; last: ${last}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

// No child outlives the tests, however they end.
const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));

function start(command, args, stdio) {
    const child = spawn(command, args, { stdio });
    children.add(child);
    child.on("exit", () => children.delete(child));
    return child;
}

module.exports = { children, until, start };
