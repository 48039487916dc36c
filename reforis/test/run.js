#!/usr/bin/env node
// SPDX-License-Identifier: GPL-3.0-or-later
// Runs the tests of reForis' pages in a network namespace made for them. Needs root and a bundle
// (`npm run build -- ../../../target/reforis/app.min.js` in reforis/plugin/js).
//
//     [DISWALL=target/debug/diswall] [FORIS_CONTROLLER=…] [PYTHON=…] [CHROMIUM=…] node reforis/test/run.js
"use strict";

const { spawnSync } = require("node:child_process");

if (!process.env.DISWALL_NAMESPACE && !process.env.REFORIS_URL) {
    const script = 'ip link set lo up && exec "$0" "$@"';
    const inside = spawnSync("unshare", ["--net", "sh", "-c", script, process.execPath, ...process.execArgv, __filename],
        { stdio: "inherit", env: { ...process.env, DISWALL_NAMESPACE: "1" } });
    process.exit(inside.status ?? 1);
}

require("./pages.test.js");
