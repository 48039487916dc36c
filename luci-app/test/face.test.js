'use strict';

/* The real rpcd face against the running daemon: every method that it lists, and what each says to wrong arguments. */

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const test = require('node:test');
const { world } = require('./stage.js');
const { program } = require('./router.js');
const { until, BINARY } = require('./world.js');

const REAL = { skip: !BINARY && 'needs DISWALL' };
const ONE = { addresses: [ '45.95.95.95' ] };
const methods = () => JSON.parse(spawnSync(BINARY, [ 'rpcd', 'list' ], { encoding: 'utf8' }).stdout);
const call = (method, args) => program(BINARY, world.config)(method, args);
const done = answer => assert.strictEqual(answer.done[0].address, ONE.addresses[0]);

/* Each method with arguments and a look at the answer, in an order in which they make sense. */
const CALLS = [
	[ 'status', {}, answer => assert.ok(answer.state == 'protected' && answer.sources.length == 4 && answer.feeds.length == 2) ],
	[ 'feeds', {}, answer => assert.deepStrictEqual(answer.feeds.map(feed => feed.name), [ 'dynfw', 'nats' ]) ],
	[ 'bans', { source: 'dynfw', sort: 'address', limit: 3 }, answer => assert.ok(answer.bans.length == 3 && answer.matched > 3) ],
	[ 'check', { address: ' 198.51.100.7 ' }, answer => assert.strictEqual(answer.verdict, 'allowed') ],
	[ 'allowances', { search: 'office' }, answer => assert.strictEqual(answer.allowances[0].address, '198.51.100.7') ],
	[ 'history', { hours: 24 }, answer => assert.ok(answer.sources.every(source => source.packets.length == 24)) ],
	[ 'report', { days: 2 }, answer => assert.ok(answer.days == 2 && answer.sources.length >= 4 && Array.isArray(answer.by_day)) ],
	[ 'events', { limit: 5 }, answer => assert.ok(answer.cursor && answer.events.length > 0) ],
	[ 'allow', Object.assign({ comment: 'a test' }, ONE), done ],
	[ 'disallow', ONE, done ],
	[ 'block', Object.assign({ timeout: 60, comment: 'a test' }, ONE), done ],
	[ 'unblock', ONE, answer => assert.deepStrictEqual(answer.done[0].sources, [ 'manual' ]) ],
	[ 'clear', { by: 'nobody' }, answer => assert.ok(Array.isArray(answer.done)) ],
	[ 'config', {}, answer => assert.ok(answer.in_force == 'file' && answer.readable && answer.sections.length > 3
		&& !JSON.stringify(answer).includes('client_pass')) ],
	[ 'try', { lines: [ 'sshd[1]: Failed password for root from 203.0.113.5 port 1 ssh2' ] },
		answer => assert.ok(answer.lines[0].verdict == 'counted' && answer.lines[0].address == '203.0.113.5') ],
	[ 'reload', {}, answer => assert.match(answer.done[0].text, /started/) ],
	[ 'lists', {}, answer => assert.ok(answer.memory_free > 0 && answer.lists.find(item => item.name == 'spamhaus').networks > 0) ],
	[ 'switch', { names: [ 'dshield' ], on: false }, answer => assert.strictEqual(answer.done[0].text, 'dshield was not switched on') ],
	[ 'kick', ONE, answer => assert.strictEqual(answer.done[0].connections, 0) ],
	[ 'resync', { source: 'dynfw' }, answer => assert.deepStrictEqual(answer.feeds, [ 'dynfw' ]) ]
];

/* Arguments that must be refused, with the code. */
const WRONG = [
	[ 'bans', { source: 'nobody' }, 'invalid' ], [ 'bans', { sort: 'size' }, 'invalid' ], [ 'bans', { limit: 1001 }, 'invalid' ],
	[ 'bans', { family: 5 }, 'invalid' ], [ 'check', { address: '1.2.3.4 5' }, 'invalid' ], [ 'check', {}, 'invalid' ],
	[ 'allowances', { origin: 'heaven' }, 'invalid' ], [ 'history', { hours: 169 }, 'invalid' ], [ 'report', { days: 0 }, 'invalid' ], [ 'events', { limit: 0 }, 'invalid' ],
	[ 'allow', { addresses: [ 'x' ] }, 'invalid' ], [ 'allow', {}, 'invalid' ], [ 'disallow', { addresses: [ '45.94.94.94' ] }, 'not_found' ],
	[ 'block', { addresses: [ '127.0.0.1' ] }, 'refused' ], [ 'block', { addresses: [ '45.94.94.94' ], action: 'shoot' }, 'invalid' ],
	[ 'block', { addresses: '45.94.94.94' }, 'invalid' ], [ 'unblock', { addresses: [ '45.94.94.94' ] }, 'not_found' ],
	[ 'kick', { addresses: [] }, 'invalid' ], [ 'resync', { source: 'scan' }, 'invalid' ], [ 'nosuch', {}, 'invalid' ],
	[ 'restore', {}, 'failed' ], [ 'clear', {}, 'invalid' ], [ 'switch', {}, 'invalid' ], [ 'switch', { names: [ 'nosuch' ], on: true }, 'not_found' ],
	[ 'try', { lines: Array(101).fill('x') }, 'invalid' ], [ 'try', { lines: 'x' }, 'invalid' ]
];

test('every method of the face answers', REAL, async () => {
	world.script('exit 0');
	/* A daemon that has just reread its configuration is still taking the list. */
	await until('the daemon', async () => (await call('status', {})).state == 'protected');
	/* No last good configuration is kept for this file: see below. */
	assert.deepStrictEqual(CALLS.map(([ method ]) => method).concat('restore').sort(), Object.keys(methods()).sort());

	for (const [ method, args, look ] of CALLS) {
		/* As rpcd does: the session, a secret, is among the arguments. */
		const answer = await call(method, Object.assign({ ubus_rpc_session: '0123456789abcdef' }, args));

		assert.strictEqual(answer.error, undefined, `${method}: ${JSON.stringify(answer.error)}`);
		assert.ok(!JSON.stringify(answer).includes('0123456789abcdef'), method);
		look(answer);
	}
});

test('wrong arguments are refused in words, and change nothing', REAL, async () => {
	for (const [ method, args, code ] of WRONG) {
		const { error } = await call(method, args);

		assert.strictEqual(error?.code, code, `${method} ${JSON.stringify(args)}: ${JSON.stringify(error)}`);
		assert.match(error.message, /\w+ \w+/);
	}

	assert.ok(!world.cli('list', 'manual').stdout.includes('45.94'));
});
