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

function report(days) {
	seed = 11;

	const midnight = now - now % (24 * HOUR);
	const byDay = Array.from({ length: Math.min(days, 14) }, (_, index) => {
		const start = midnight - (Math.min(days, 14) - 1 - index) * 24 * HOUR;
		const hours = Array.from({ length: 24 }, (_, hour) => start + hour * HOUR > now || index == 1 && hour < 4 ? -1
			: Math.floor(90 + 80 * Math.sin((hour + index) / 3.8)) + random(60));
		const packets = hours.filter(count => count > 0).reduce((sum, count) => sum + count, 0);

		return { start, packets, bytes: packets * 52, bans: random(90), hours };
	});
	const packets = byDay.reduce((sum, day) => sum + day.packets, 0);
	const source = (name, title, part, entries, only) => ({
		name, title, packets: Math.floor(packets * part), bytes: Math.floor(packets * part) * 52, bans: Math.floor(entries / 90), looked: Math.floor(packets * part * 0.9),
		alone: Math.floor(packets * part * only), entries, compared: Math.min(entries, 700), only: Math.floor(Math.min(entries, 700) * only)
	});
	const host = (address, count, place, sources, reason) => ({
		address, packets: count, days: 5, last: now - 3000 - count, protocol: 'tcp', port: 23, sources, reason, ...(place ? { place } : {})
	});

	return {
		now, days, kept: 14, since: byDay[0].start, packets, bytes: packets * 52, bans: 411, looks: true,
		looked: Math.floor(packets * 0.9), outgoing: 12,
		sources: [ source('dynfw', 'DynFW', 0.6, 16601, 0.8), source('nats', 'DisWall', 0.1, 1401, 0.5), source('scan', 'this router', 0.2, 197, 0.6),
			source('manual', 'by hand', 0.02, 6, 0), source('firehol_level1', 'firehol_level1', 0.05, 4500, 0.02), source('far', 'Antarctica, Bouvet Island', 0.03, 812, 0.9) ],
		placed: true, places: [ { list: 'far', title: 'Antarctica, Bouvet Island', packets: 140 } ], unplaced: Math.floor(packets * 0.9) - 140,
		ports: [ 23, 22, 445, 3389, 8080, 5900, 6379, 1433, 5060, 53 ].map((port, index) => ({ protocol: port == 53 ? 'udp' : 'tcp', port, packets: Math.floor(packets / 4 / (index + 1)) }))
			.concat({ protocol: 'icmp', packets: 9 }),
		hosts: [ host('198.51.100.66', 911, 'Antarctica, Bouvet Island', [ 'dynfw', 'firehol_level1', 'far' ], { kind: 'listed' }),
			host('2001:db8:1111:2222:3333:4444:5555:6666', 640, '', [ 'scan' ], { kind: 'port', protocol: 'tcp', port: 3389 }),
			host('203.0.113.40', 512, '', [], {}) ],
		by_day: byDay,
		allowed: [ { address: '198.51.100.7', origin: 'config', comment: 'office', sources: [ 'firehol_level1' ] } ], allowed_total: 1
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
	report: ({ days = 7 }) => report(days),
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
