'use strict';
'require baseclass';
'require rpc';

/*
 * The daemon's ubus object, as the pages see it: one function a method, which never rejects.
 * An answer comes back with every field present and of the right type, whatever arrived; a failure
 * comes back as { failed: { code, message } }. Nothing here touches the document.
 */

const PARAMS = {
	status: [],
	feeds: [],
	bans: [ 'source', 'search', 'family', 'sort', 'desc', 'offset', 'limit' ],
	check: [ 'address' ],
	allowances: [ 'origin', 'search', 'offset', 'limit' ],
	history: [ 'hours' ],
	report: [ 'days' ],
	events: [ 'cursor', 'limit', 'kinds' ],
	allow: [ 'addresses', 'comment', 'timeout' ],
	disallow: [ 'addresses' ],
	block: [ 'addresses', 'comment', 'timeout', 'action', 'force' ],
	unblock: [ 'addresses', 'source' ],
	kick: [ 'addresses' ],
	resync: [ 'source' ],
	config: [],
	restore: [],
	reload: [],
	lists: [],
	switch: [ 'names', 'on', 'force' ],
	try: [ 'lines' ]
};

const declared = {};

for (const method in PARAMS)
	declared[method] = rpc.declare({ object: 'diswall', method: method, params: PARAMS[method], reject: true });

const isObject = value => value !== null && typeof value == 'object' && !Array.isArray(value);
const object = value => isObject(value) ? value : {};
const list = value => Array.isArray(value) ? value : [];
const text = value => typeof value == 'string' ? value : '';
const count = value => Number.isFinite(value) && value > 0 ? Math.floor(value) : 0;
/* A moment or duration that may be absent. */
const optional = value => Number.isFinite(value) ? value : null;
const texts = value => list(value).filter(item => typeof item == 'string');
const objects = value => list(value).filter(isObject);

/* Picks the named fields out of whatever arrived, each through its reader. */
function shape(value, readers) {
	const from = object(value), into = {};

	for (const name in readers)
		into[name] = readers[name](from[name]);

	return into;
}

const shapeOf = readers => value => shape(value, readers);
const listOf = readers => value => objects(value).map(shapeOf(readers));

const REASON = shapeOf({ kind: text, text: text, protocol: text, port: count });

const BAN = {
	address: text, source: text, since: count, until: optional, left: optional,
	reason: REASON, withheld: text, offences: count
};

const ALLOWANCE = { address: text, origin: text, comment: text, until: optional, left: optional };

const RULE = { address: text, proto: text, dest_ports: texts, action: text, comment: text };

const FEED = {
	name: text, state: text, server: text, port: count, encrypted: value => value === true,
	since: optional, error: text, retry_in: optional, last_message: optional, entries: count,
	serial: optional, lists: count, resyncs: count, messages: count,
	refused_messages: count, refused_addresses: count, last_refusal: text,
	max_age: optional, lapses_in: optional, key: text, account: text, list: text,
	hub: value => value === true, hub_heard: optional,
	notices: listOf({ key: text, text: text })
};

/* Of a list that nobody has measured, hosts, networks and memory are absent. */
const ITEM = {
	name: text, title: text, category: text, about: text, licence: text, home: text, risk: text, direction: text,
	commercial: value => typeof value == 'boolean' ? value : null,
	hosts: optional, networks: optional, memory: optional,
	enabled: value => value === true, recommended: value => value === true, refusal: text
};

const PART = { name: text, state: text, why: text, lost: text, remedy: text };

const DONE = { done: listOf({ address: text, text: text, sources: texts, connections: count }) };

const ANSWERS = {
	status: {
		version: text, now: count, uptime: count, state: text, local_only: value => value === true,
		parts: listOf(PART), problems: listOf({ key: text, severity: text, text: text }),
		firewall: shapeOf({
			table: text, prefix: text, zones: texts, state: text, error: text,
			refills: count, last_refill: optional
		}),
		bans: shapeOf({ total: count, v4: count, v6: count }),
		sources: listOf({
			name: text, v4: count, v6: count, networks: count, withheld: count, cut: count,
			packets: count, bytes: count, packets_hour: count, bytes_hour: count
		}),
		dropped: shapeOf({ packets: count, bytes: count, packets_hour: count, bytes_hour: count, since: count }),
		allowances: shapeOf({ config: count, command: count, nats: count }),
		feeds: listOf(FEED),
		scan: shapeOf({ state: text, error: text, suspects: count, bans_hour: count }),
		sharing: shapeOf({
			bans: value => value === true, statistics: value => value === true, account: text, queued: count
		}),
		memory: count
	},
	feeds: { now: count, feeds: listOf(FEED) },
	bans: { now: count, total: count, matched: count, offset: count, bans: listOf(BAN) },
	check: {
		now: count, address: text, verdict: text, sentence: text, bans: listOf(BAN),
		allowances: listOf(ALLOWANCE), rules: listOf(RULE), protected: text, connections: optional
	},
	allowances: { now: count, total: count, matched: count, offset: count, allowances: listOf(ALLOWANCE) },
	history: {
		now: count, end: count, step: count, hours: count,
		sources: listOf({ name: text, packets: list, bytes: list, bans: list })
	},
	report: {
		now: count, days: count, kept: count, since: optional, packets: count, bytes: count, bans: count,
		looks: value => value === true, trouble: text, looked: count, outgoing: count,
		sources: listOf({
			name: text, title: text, gone: value => value === true, packets: count, bytes: count, bans: count,
			looked: count, alone: count, entries: count, compared: count, only: count
		}),
		placed: value => value === true, places: listOf({ list: text, title: text, packets: count }), unplaced: count,
		ports: listOf({ protocol: text, port: count, packets: count }),
		hosts: listOf({
			address: text, packets: count, days: count, last: count, protocol: text, port: count, place: text, sources: texts,
			reason: REASON
		}),
		by_day: listOf({
			start: count, packets: count, bytes: count, bans: count,
			hours: value => list(value).map(hour => Number.isFinite(hour) ? hour : -1)
		}),
		allowed: listOf({ address: text, origin: text, comment: text, sources: texts }), allowed_total: count
	},
	events: {
		now: count, cursor: text, missed: count, restarted: value => value === true,
		events: listOf({
			id: count, at: count, kind: text, address: text, source: text, until: optional,
			reason: REASON, text: text
		})
	},
	allow: DONE, disallow: DONE, block: DONE, unblock: DONE, kick: DONE,
	resync: { feeds: texts },
	config: {
		file: text, in_force: text, readable: value => value === true, restorable: value => value === true,
		problems: listOf({ key: text, severity: text, text: text }), left_out: count,
		sections: listOf({ kind: text, name: text, options: listOf({ name: text, list: value => value === true, values: texts }) })
	},
	restore: DONE,
	reload: DONE,
	lists: { memory_free: count, room: count, lists: listOf(ITEM) },
	switch: DONE,
	try: { lines: listOf({ line: count, program: text, service: text, address: text, tries: count, verdict: text, why: text }) }
};

/* A field that only the right answer has; without it the answer is somebody else's. */
const MARK = {
	status: 'state', feeds: 'feeds', bans: 'bans', check: 'verdict', allowances: 'allowances',
	history: 'sources', report: 'by_day', events: 'events', resync: 'feeds', config: 'sections', lists: 'room', try: 'lines'
};

function failure(code, message) {
	return { failed: { code: code, message: message } };
}

function read(method, reply) {
	const error = isObject(reply) ? object(reply.error) : {};

	if (text(error.code))
		return failure(error.code, error.code == 'not_running'
			? _('The diswall service is not running.')
			: text(error.message) || _('The request failed.'));

	if (!isObject(reply) || !((MARK[method] || 'done') in reply))
		return failure('shape', _('diswall gave an answer that this page does not understand. Are both packages of the same version?'));

	return shape(reply, ANSWERS[method]);
}

/* Codes of ubus (enum ubus_msg_status) and of uhttpd's JSON-RPC, as LuCI's rpc.js puts them in its message. */
function refusal(error) {
	/* LuCI puts the places of its scripts behind the first line. */
	const message = String(error && error.message || error).split('\n')[0];

	if (error && error.name == 'SessionError')
		return failure('expired', _('This session is over. Log in again to go on.'));

	const code = Number((message.match(/(?:ubus code|with error) (-?\d+)/) || [])[1]);

	switch (code) {
	case 6:
	case -32002:
		return failure('denied', _('This login has no right to do that.'));
	case 3:
	case 4:
	case -32000:
		return failure('missing', _('diswall is not installed, or rpcd has not noticed it yet.'));
	case 7:
		return failure('timeout', _('diswall did not answer in time.'));
	default:
		return failure('unreachable', _('The router did not answer: %s').format(message));
	}
}

function call(method, args) {
	const given = object(args);

	return declared[method].apply(null, PARAMS[method].map(name => given[name]))
		.then(reply => read(method, reply), refusal);
}

/* Whether the session is over: what every reader may ask is refused too. */
function isOver(error) {
	return Promise.resolve(refusal(error).failed.code).then(code => code == 'expired' || code == 'denied' || /\b403\b|[Ff]orbidden|[Dd]enied/.test(String(error && error.message || error))
		? call('status', {}).then(answer => !!answer.failed && [ 'expired', 'denied' ].includes(answer.failed.code)) : false);
}

const api = { isOver: isOver };

for (const method in PARAMS)
	api[method] = args => call(method, args);

return baseclass.extend(api);
