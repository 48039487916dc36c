#!/usr/bin/env node
// SPDX-License-Identifier: GPL-3.0-or-later
// Runs the tests of the hub's page in a browser, on a real hub and a real nats-server, in a network namespace made for
// them. Needs root.
//
//     [DISWALL_HUB=target/debug/diswall-hub] [NATS_SERVER=…] [CHROMIUM=…] [SHOTS=DIRECTORY] node hub/tests/page/run.js
"use strict";

const { spawnSync } = require("node:child_process");

if (!process.env.DISWALL_NAMESPACE) {
    const script = 'ip link set lo up && exec "$0" "$@"';
    const inside = spawnSync("unshare", ["--net", "sh", "-c", script, process.execPath, ...process.execArgv, __filename],
        { stdio: "inherit", env: { ...process.env, DISWALL_NAMESPACE: "1" } });
    process.exit(inside.status ?? 1);
}

require("./page.test.js");
