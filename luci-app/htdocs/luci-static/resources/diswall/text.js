'use strict';
'require baseclass';

/*
 * How the pages say things: numbers, times, names of sources, reasons, and the one way to build
 * elements. Text that a stranger may have written reaches the document through h() alone, as text nodes:
 * LuCI's E() would take a bare string for HTML.
 */

const LANGUAGE = (() => {
	const tag = (document.documentElement.lang || 'en').replace('_', '-');

	try {
		new Intl.NumberFormat(tag);
		return tag;
	}
	catch (e) {
		return 'en';
	}
})();

const NUMBER = new Intl.NumberFormat(LANGUAGE);
const AGO = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: 'auto' });
const MOMENT = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: 'medium', timeStyle: 'medium' });
const CLOCK = new Intl.DateTimeFormat(LANGUAGE, { timeStyle: 'medium' });

const UNITS = [ [ 'day', 86400 ], [ 'hour', 3600 ], [ 'minute', 60 ], [ 'second', 1 ] ];

function unitOf(seconds) {
	return UNITS.find(unit => seconds >= unit[1]) || UNITS[3];
}

/* An element; children may be nodes, texts, arrays of both, or null. Texts never become HTML. */
function h(tag, attributes, ...children) {
	return E(tag, attributes || {}, children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false && child !== ''));
}

/* Puts new children into a node, by the same rules. */
function fill(node, ...children) {
	const fresh = h('div', {}, ...children);

	node.replaceChildren(...fresh.childNodes);
	return node;
}

function number(value) {
	return NUMBER.format(value);
}

/* "3 minutes ago", both in Unix seconds of the router's clock. */
function ago(now, at) {
	const passed = Math.max(0, now - at);
	const unit = unitOf(passed);

	return AGO.format(-Math.floor(passed / unit[1]), unit[0]);
}

/* "in 2 hours", for so many seconds from now. */
function ahead(seconds) {
	const unit = unitOf(Math.max(0, seconds));

	return AGO.format(Math.ceil(Math.max(0, seconds) / unit[1]), unit[0]);
}

/* "2 hours", a length of time without a direction. */
function lasting(seconds) {
	const unit = unitOf(seconds);

	return new Intl.NumberFormat(LANGUAGE, { style: 'unit', unit: unit[0], unitDisplay: 'long' })
		.format(Math.round(seconds / unit[1]));
}

/* The routers of this world disagree on time zones with their owners' browsers: this is the browser's. */
function moment(at) {
	return MOMENT.format(new Date(at * 1000));
}

function clock(at) {
	return CLOCK.format(new Date(at * 1000));
}

function bytes(value) {
	const names = [ 'byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte' ];
	let step = 0;

	for (; value >= 1000 && step < names.length - 1; step++)
		value /= 1000;

	return new Intl.NumberFormat(LANGUAGE, {
		style: 'unit', unit: names[step], unitDisplay: step ? 'short' : 'long', maximumFractionDigits: value < 10 ? 1 : 0
	}).format(value);
}

const SOURCES = [ 'dynfw', 'nats', 'scan', 'manual' ];

function sourceName(source) {
	switch (source) {
	case 'dynfw': return 'Turris DynFW';
	case 'nats': return 'DisWall';
	case 'crowdsec': return 'CrowdSec';
	case 'scan': return _('This router');
	case 'manual': return _('Own blocks');
	default: return source || '?';
	}
}

/* So many hues there are for lists; those that come later share them. */
const HUES = 8;

/* Name of a list → its hue, in the order in which they were met, which is that of the file. */
const hues = new Map();

/* The class that gives a source its colour. No name out of data becomes a class. */
function sourceClass(source) {
	if (SOURCES.includes(source))
		return 'diswall-' + source;

	if (!source)
		return 'diswall-other';

	if (!hues.has(source))
		hues.set(source, hues.size % HUES);

	return 'diswall-list' + hues.get(source);
}

/* A list is replaced as a whole: nobody is struck off it by name. Its own name is none of these. */
function isList(source) {
	return !SOURCES.includes(source) && source != 'crowdsec';
}

/* A dot in the source's colour and its name. */
function sourceBadge(source) {
	return h('span', { 'class': 'diswall-source' },
		h('span', { 'class': 'diswall-dot ' + sourceClass(source), 'aria-hidden': 'true' }), sourceName(source));
}

function reason(given) {
	switch (given.kind) {
	case 'listed':
		return given.text ? _('on its list of %s').format(given.text) : _('on its list');
	case 'announced':
		return _('newly put on its list');
	case 'tagged':
		return given.text;
	case 'port':
		return given.protocol
			? _('touched closed port %s/%s').format(given.protocol, given.port)
			: _('touched closed port %s').format(given.port);
	case 'login':
		return _('failed log-ins: %s').format(given.text);
	default:
		return given.text || _('blocked by hand');
	}
}

/* "16,200 addresses", "2 networks", or both: a network is no address. */
function counted(addresses, networks) {
	const some = N_(addresses, '%s address', '%s addresses').format(number(addresses));
	const whole = networks ? N_(networks, '%s network', '%s networks').format(number(networks)) : '';

	return !whole ? some : addresses ? _('%s and %s').format(some, whole) : whole;
}

/* The entry of a Map that belongs to a name out of data: no object's own property ever answers. */
function pick(map, name, otherwise) {
	return map.has(name) ? map.get(name) : otherwise;
}

/* How a part is: its colour, its mark, its name. */
const PART_STATES = new Map([
	[ 'in_force', { kind: 'good', mark: '✓', name: () => _('In force') } ],
	[ 'waiting', { kind: 'wait', mark: '…', name: () => _('Waiting') } ],
	[ 'broken', { kind: 'bad', mark: '✕', name: () => _('Not in force') } ]
]);

const PART_TITLES = new Map([
	[ 'devices', () => _('Rules of the devices') ],
	[ 'feed.dynfw', () => 'Turris DynFW' ],
	[ 'feed.nats', () => 'DisWall' ],
	[ 'feed.crowdsec', () => 'CrowdSec' ],
	[ 'share', () => _('Sharing with DisWall') ],
	[ 'abuseipdb', () => _('Reports to AbuseIPDB') ],
	[ 'scan', () => _('Scan detection') ],
	[ 'login', () => _('Log-in detection') ],
	[ 'disconnect', () => _('Cutting of connections') ],
	[ 'keep', () => _('Keeping over a restart') ],
	[ 'log', () => _('Log') ],
	[ 'config', () => _('Configuration') ]
]);

/* What is not known is not taken for good. */
function partState(state) {
	return pick(PART_STATES, state, PART_STATES.get('broken'));
}

function partTitle(name) {
	if (name.startsWith('zone.'))
		return _('Rules of zone %s').format(name.slice(5));

	return pick(PART_TITLES, name, () => name.startsWith('feed.') ? _('List %s').format(name.slice(5)) : name)();
}

/* The worst of these parts, or none. */
function worst(parts) {
	const order = [ 'good', 'wait', 'bad' ];

	return parts.reduce((last, part) => {
		const state = partState(part.state);

		return last && order.indexOf(last.kind) >= order.indexOf(state.kind) ? last : state;
	}, null);
}

/* Until when a ban or an allowance holds. */
function end(entry) {
	if (entry.left !== null)
		return ahead(entry.left);

	return entry.until === null ? _('until taken back') : moment(entry.until);
}

/*
 * A message on top of the page, in sight wherever the reader is: what was done, or why not. It takes the place of the
 * one before, unless that was a failure.
 */
function tell(ui, messages, kind) {
	document.querySelectorAll('.diswall-told.info').forEach(node => node.remove());

	ui.addNotification(null, h('div', { 'role': kind == 'danger' ? 'alert' : 'status' },
		[].concat(messages).map(message => h('p', {}, message))), kind || 'info', 'diswall-told');
}

/* Why the buttons are grey, for a login that may only read. */
function lookOnly() {
	return L.hasViewPermission() === true ? '' : h('p', { 'class': 'diswall-note' }, _('This login may look at everything and change nothing.'));
}

/* Why there is nothing to show, and where to mend it. */
function failure(failed) {
	return h('div', { 'class': 'diswall-problem diswall-' + (failed.code == 'not_running' ? 'bad' : 'warn') }, failed.message,
		failed.code == 'not_running' ? h('p', { 'class': 'diswall-actions' }, h('a', {
			'class': 'btn cbi-button cbi-button-action', 'href': L.url('admin/services/diswall/overview')
		}, _('Start it on the overview…'))) : '');
}

/* Says so when an answer lets people wait; what stood there is grey until then. Resolves to the answer. */
function waiting(node, answer) {
	const late = setTimeout(() => {
		node.dataset.waiting = _('Asking…');
		node.setAttribute('aria-busy', 'true');
	}, 300);

	return answer.finally(() => {
		clearTimeout(late);
		node.removeAttribute('aria-busy');
	});
}

/* The style sheet all pages share; asked for once a page. */
function style() {
	const href = L.resource('diswall/style.css');

	if (!document.querySelector('link[data-diswall]'))
		document.head.appendChild(h('link', { 'rel': 'stylesheet', 'href': href, 'data-diswall': '' }));
}

/* LuCI gives a check box an empty label, and its title none: without this a screen reader says only "check box". */
function nameFields() {
	const name = node => node.querySelectorAll && node.querySelectorAll('.cbi-value input[type=checkbox]:not([aria-label])').forEach(box => {
		const title = box.closest('.cbi-value').querySelector('.cbi-value-title');

		if (title)
			box.setAttribute('aria-label', title.textContent.trim());
	});

	new MutationObserver(changes => changes.forEach(change => change.addedNodes.forEach(name)))
		.observe(document.body, { childList: true, subtree: true });
}

return baseclass.extend({
	SOURCES: SOURCES,
	LANGUAGE: LANGUAGE,
	h: h,
	fill: fill,
	number: number,
	ago: ago,
	ahead: ahead,
	lasting: lasting,
	moment: moment,
	clock: clock,
	bytes: bytes,
	sourceName: sourceName,
	sourceClass: sourceClass,
	isList: isList,
	sourceBadge: sourceBadge,
	reason: reason,
	counted: counted,
	pick: pick,
	partState: partState,
	partTitle: partTitle,
	worst: worst,
	end: end,
	tell: tell,
	lookOnly: lookOnly,
	failure: failure,
	waiting: waiting,
	style: style,
	nameFields: nameFields
});
