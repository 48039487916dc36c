#!/usr/bin/env node
'use strict';

/*
 * A recorded router: answers of `diswall rpcd` in the shape of the real ones, always the same but for
 * the clock. For looking at the pages and for screenshots without a router; the tests use the real daemon.
 * Called like the real face: `sample.js list`, `sample.js call METHOD` with the arguments on standard input.
 */

const CATALOGUE = require('../../openwrt/files/catalogue.json');
const SOURCES = [ 'dynfw', 'nats', 'scan', 'manual' ];
const HOUR = 3600;
const now = Math.floor(Date.now() / 1000);

/* A small generator of the same numbers every time (xorshift). */
let seed;

function random(below) {
	seed ^= seed << 13;
	seed ^= seed >>> 17;
	seed ^= seed << 5;
	return (seed >>> 0) % below;
}

function address(index) {
	const nets = [ '192.0.2', '198.51.100', '203.0.113' ];

	return index % 40 == 0 ? '2001:db8:%:%::%'.replace(/%/g, () => random(65536).toString(16))
		: index < 700 ? nets[index % 3] + '.' + Math.floor(index / 3) : `${random(90) + 100}.${random(256)}.${random(256)}.${random(256)}`;
}

function reason(source) {
	switch (source) {
	case 'dynfw': return { kind: random(3) ? 'listed' : 'announced' };
	case 'nats': return random(2) ? { kind: 'listed' } : { kind: 'tagged', text: [ 'ssh', 'smtp', 'scan' ][random(3)] };
	case 'scan': return random(4)
		? { kind: 'port', protocol: random(5) ? 'tcp' : 'udp', port: [ 23, 22, 3389, 445, 5900, 8080, 6379 ][random(7)] }
		: { kind: 'login', text: 'dropbear' };
	default: return { kind: 'comment', text: 'scanner farm' };
	}
}

function bans() {
	const rows = [];

	seed = 20261121;

	for (let i = 0; i < 18204; i++) {
		const source = i % 97 == 0 ? 'scan' : i % 13 == 0 ? 'nats' : i % 4001 == 1 ? 'manual' : 'dynfw';
		const since = now - (i < 60 ? i * 37 + 4 : random(9 * 24 * HOUR));
		const ban = { address: address(i), source, since, reason: reason(source) };

		if (source == 'nats' || source == 'scan') {
			ban.left = 60 + random(24 * HOUR);
			ban.until = now + ban.left;
		}

		if (source == 'scan')
			ban.offences = 1 + random(4);

		rows.push(ban);
	}

	return rows;
}

const FEEDS = [
	{
		name: 'dynfw', state: 'live', server: 'sentinel.turris.cz', port: 7087, encrypted: true, since: now - 90000,
		last_message: now - 3, entries: 16601, serial: 48211, lists: 1, resyncs: 0, messages: 90211,
		refused_messages: 0, refused_addresses: 0, max_age: 86400, key: 'pinned', notices: []
	},
	{
		name: 'nats', state: 'waiting', server: 'diswall.stream', port: 4222, encrypted: false, since: now - 40,
		error: 'diswall.stream:4222 refused the connection', retry_in: 22, last_message: now - 41, entries: 1401,
		lists: 2, resyncs: 1, messages: 411, refused_messages: 0, refused_addresses: 0, account: 'default',
		notices: [ { key: 'credentials', text: 'The password travels unencrypted: anybody on the way can read it.' } ]
	}
];

const PARTS = [ 'zone.wan', 'feed.dynfw', 'scan', 'login', 'disconnect', 'keep', 'log', 'config' ]
	.map(name => ({ name, state: 'in_force' }));

PARTS.splice(2, 0, {
	name: 'feed.nats', state: 'waiting', why: 'diswall.stream:4222 refused the connection',
	lost: 'new bans of DisWall do not arrive since 6m 40s; those it gave before stay'
});

function sources() {
	return [
		{ name: 'dynfw', v4: 16200, v6: 401, networks: 0, withheld: 0, cut: 0, packets: 81204, bytes: 4222608, packets_hour: 231, bytes_hour: 12012 },
		{ name: 'nats', v4: 1364, v6: 37, networks: 0, withheld: 1, cut: 0, packets: 6021, bytes: 313092, packets_hour: 12, bytes_hour: 624 },
		{ name: 'scan', v4: 183, v6: 14, networks: 0, withheld: 0, cut: 0, packets: 2230, bytes: 115960, packets_hour: 69, bytes_hour: 3588 },
		{ name: 'manual', v4: 3, v6: 1, networks: 2, withheld: 0, cut: 0, packets: 40, bytes: 2080, packets_hour: 0, bytes_hour: 0 }
	];
}

function history(hours) {
	seed = 7;

	const scale = { dynfw: 220, nats: 30, scan: 60, manual: 2 };
	const series = (most, index) => Array.from({ length: hours }, (_, hour) => hour > hours - 12 && hour < hours - 8 ? -1
		: Math.floor(most * (0.4 + 0.4 * Math.sin((hour + index * 3) / 3.8)) + random(most / 3 + 1)));

	return {
		now, end: now - now % HOUR + HOUR, step: HOUR, hours,
		sources: SOURCES.map((name, index) => ({
			name, packets: series(scale[name], index), bytes: series(scale[name] * 52, index), bans: series(scale[name] / 8, index)
		}))
	};
}

const METHODS = {
	status: () => ({
		version: '0.1.0', now, uptime: 93784, state: 'waiting', local_only: false,
		parts: PARTS, problems: [ { key: 'credentials', severity: 'notice', text: 'The DisWall password travels unencrypted (tls is off).' } ],
		firewall: { table: 'fw4', prefix: 'diswall', zones: [ 'wan' ], state: 'ok', refills: 1, last_refill: now - 9000 },
		bans: { total: 18204, v4: 17751, v6: 453 }, sources: sources(),
		dropped: { packets: 89495, bytes: 4653740, packets_hour: 312, bytes_hour: 16224, since: now - 93784 },
		allowances: { config: 2, command: 1, nats: 1 }, feeds: FEEDS,
		scan: { state: 'on', suspects: 3, bans_hour: 7 }, sharing: { bans: false, statistics: false, queued: 0 }, memory: 5400
	}),
	feeds: () => ({ now, feeds: FEEDS }),
	bans: ({ source, search, sort = 'since', desc = sort == 'since', offset = 0, limit = 50 }) => {
		const all = bans();
		const matching = all.filter(ban => (!source || ban.source == source)
			&& (!search || ban.address.startsWith(search) || (ban.reason.text || '').includes(search)));

		matching.sort((a, b) => (a[sort] > b[sort] ? 1 : a[sort] < b[sort] ? -1 : 0) * (desc ? -1 : 1));
		return { now, total: all.length, matched: matching.length, offset, bans: matching.slice(offset, offset + limit) };
	},
	check: ({ address = '' }) => {
		const found = bans().filter(ban => ban.address == address.trim());

		return found.length
			? { now, address, verdict: 'blocked', sentence: `${address} is blocked`, bans: found, allowances: [], rules: [] }
			: { now, address, verdict: 'clear', sentence: `${address} is not blocked`, bans: [], allowances: [], rules: [] };
	},
	allowances: ({ origin }) => {
		const all = [
			{ address: '198.51.100.7', origin: 'config', comment: 'office' },
			{ address: '192.0.2.44', origin: 'command', comment: 'visitor', left: 1800, until: now + 1800 },
			{ address: '203.0.113.64/28', origin: 'nats' }
		].filter(allowance => !origin || allowance.origin == origin);

		return { now, total: 3, matched: all.length, offset: 0, allowances: all };
	},
	history: ({ hours = 168 }) => history(hours),
	events: ({ cursor, limit = 50 }) => cursor ? { now, cursor, missed: 0, events: [] } : {
		now, cursor: 'sample-60', missed: 0,
		events: bans().slice(0, limit).reverse().map((ban, index) => Object.assign({ id: index, at: ban.since, kind: 'ban' }, ban))
	},
	config: () => ({
		file: '/etc/config/diswall', in_force: 'file', readable: true, restorable: true, problems: [], left_out: 0,
		sections: [ { kind: 'diswall', name: 'main', options: [ { name: 'zone', list: true, values: [ 'wan' ] } ] },
			{ kind: 'allow', options: [ { name: 'ip', list: false, values: [ '198.51.100.7' ] } ] } ]
	}),
	try: ({ lines = [] }) => ({
		lines: lines.map((line, index) => ({ line: index + 1, program: 'sshd', service: 'ssh', address: '203.0.113.5', tries: 1, verdict: 'counted', why: 'counted' }))
	}),
	lists: () => ({ memory_free: 58e6, room: 50000, lists: CATALOGUE.lists.map(item => Object.assign({
		enabled: false, recommended: !!item.from_mb, memory: item.hosts === undefined ? null : item.hosts * 92 + item.networks * 178,
		refusal: item.hosts > 50000 ? item.name + ' is too long' : ''
	}, item)) }),
	resync: ({ source }) => ({ feeds: source ? [ source ] : [ 'dynfw', 'nats' ] })
};

for (const method of [ 'allow', 'disallow', 'block', 'unblock', 'kick', 'clear', 'restore', 'switch' ])
	METHODS[method] = ({ addresses = [] }) => ({ done: addresses.map(address => ({ address, text: `${method}: ${address}`, connections: 1 })) });

function answer(method, args) {
	const respond = METHODS[method];

	return respond ? respond(args || {}) : { error: { code: 'invalid', message: `no method ${method}` } };
}

if (require.main === module) {
	const [ command, method ] = process.argv.slice(2);

	if (command == 'list')
		process.stdout.write(JSON.stringify(Object.fromEntries(Object.keys(METHODS).map(name => [ name, {
			source: 'text', search: 'text', sort: 'text', desc: true, offset: 0, limit: 50, address: 'text', origin: 'text',
			hours: 168, cursor: 'text', kinds: [ 'text' ], addresses: [ 'text' ], comment: 'text', timeout: 3600
		} ]))));
	else
		process.stdout.write(JSON.stringify(answer(method, JSON.parse(require('fs').readFileSync(0, 'utf8') || '{}'))));
}

module.exports = { answer };
