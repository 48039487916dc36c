#!/usr/bin/env node
'use strict';

/*
 * Runs the tests of luci-app-diswall.
 *
 *     [DISWALL=target/debug/diswall] [LUCI_DIR=/path/to/luci] [CHROMIUM=/usr/bin/chromium] node luci-app/test/run.js
 *
 * With DISWALL (needs root) everything happens in a network namespace made for it. With LUCI_DIR the
 * pages run on LuCI's own JavaScript from that tree instead of the stand-in. Node's own options work, as
 * in `node --test-name-pattern=download luci-app/test/run.js`.
 */

const { spawnSync } = require('node:child_process');

if (process.env.DISWALL && !process.env.DISWALL_NAMESPACE) {
	process.env.DISWALL = require('node:path').resolve(process.env.DISWALL);

	const inside = spawnSync('unshare', [ '--net', '--mount', 'sh', '-c', 'ip link set lo up && exec "$0" "$@"', process.execPath, ...process.execArgv, __filename ],
		{ stdio: 'inherit', env: Object.assign({}, process.env, { DISWALL_NAMESPACE: '1' }) });

	process.exit(inside.status ?? 1);
}

require('./pages.test.js');
require('./options.test.js');
require('./access.test.js');
require('./face.test.js');
require('./package.test.js');
