'use strict';
'require baseclass';
'require ui';
'require diswall.api as api';
'require diswall.text as text';

/*
 * The catalogue of well-known lists as cards by category, each with a switch and with what it would cost before it is
 * switched on. What does not fit cannot be; what is switched on is in force at once.
 */

const h = text.h;

const CATEGORIES = new Map([
	[ 'crime', () => _('Criminals\' networks and malware') ], [ 'attackers', () => _('Attackers') ],
	[ 'collections', () => _('Several lists in one') ], [ 'spam', () => _('Senders of spam') ],
	[ 'resolvers', () => _('Name servers past your own (DNS over HTTPS)') ], [ 'anonymity', () => _('Who hides: Tor, VPN, proxies') ],
	[ 'unassigned', () => _('Networks that nobody has') ]
]);

const RISKS = new Map([
	[ 'low', { kind: 'good', name: () => _('seldom hits the innocent') } ],
	[ 'medium', { kind: 'warn', name: () => _('sometimes hits the innocent') } ],
	[ 'high', { kind: 'bad', name: () => _('often hits the innocent') } ]
]);

const DIRECTIONS = new Map([
	[ 'src', () => _('Keeps out what comes from there') ], [ 'dst', () => _('Keeps hosts at home from calling there') ],
	[ 'src-dst', () => _('Keeps out what comes from there, and hosts at home from calling there') ]
]);

/* About how long a list is, and what of the free memory it takes. */
function size(item, free) {
	if (item.memory === null || item.hosts === null)
		return _('Its size is known once it has been fetched.');

	const long = item.hosts ? text.counted(item.hosts, item.networks) : N_(item.networks, '%s network', '%s networks').format(text.number(item.networks));

	return _('About %s, %s of this router\'s %s free.').format(long, text.bytes(item.memory), text.bytes(free));
}

function licence(item) {
	const known = item.licence && item.licence != 'unknown' ? item.licence : _('unknown');

	return [ _('Licence: %s').format(known), item.commercial === false ? [ ' ', h('strong', {}, _('Not for commercial use.')) ] : '' ];
}

/* An address out of data may lead to the web and nowhere else. */
function home(item) {
	return /^https:\/\//.test(item.home) ? h('a', { 'href': item.home, 'target': '_blank', 'rel': 'noreferrer noopener' }, _('Home page')) : '';
}

const Catalogue = baseclass.extend({
	/*
	 * `changed` is called when something was switched; the form below shows other sections then. `state(name)` gives what
	 * is to be said of a list that is on.
	 */
	__init__: function(readonly, changed, state) {
		this.readonly = readonly;
		this.changed = changed;
		this.state = state;
		this.open = new Set([ 'crime', 'attackers' ]);
		this.node = h('div', { 'class': 'diswall-catalogue' });
	},

	show: function(answer) {
		if (answer.failed)
			return text.fill(this.node, text.failure(answer.failed));

		const recommended = answer.lists.filter(item => item.recommended && !item.enabled);
		const known = [ ...CATEGORIES.keys() ];

		/* At first what is on is in sight; from then on what the reader opened. */
		if (!this.shown)
			answer.lists.filter(item => item.enabled).forEach(item => this.open.add(item.category));

		this.shown = true;

		const of = category => answer.lists.filter(item => (known.includes(item.category) ? item.category : 'collections') == category);

		return text.fill(this.node,
			h('p', {}, _('%s of this router\'s memory are free; lists may take half of it, and %s entries.').format(text.bytes(answer.memory_free), text.number(answer.room))),
			recommended.length ? h('div', { 'class': 'diswall-ask' },
				h('button', {
					'class': 'btn cbi-button cbi-button-positive', 'type': 'button', 'disabled': this.readonly ? '' : null,
					'click': ui.createHandlerFn(this, 'turn', recommended.map(item => item.name), true)
				}, _('Switch on what is recommended for this router')),
				h('span', { 'class': 'diswall-note' }, recommended.map(item => item.title).join(', '))) : '',
			known.map(category => this.renderCategory(category, of(category), answer.memory_free)));
	},

	renderCategory: function(category, items, free) {
		const on = items.filter(item => item.enabled).length;

		return items.length ? h('details', {
			'open': this.open.has(category) ? '' : null,
			'toggle': ev => ev.target.open ? this.open.add(category) : this.open.delete(category)
		},
		h('summary', {}, h('strong', {}, CATEGORIES.get(category)()), ' ', h('span', { 'class': 'diswall-note' }, _('%s of %s on').format(text.number(on), text.number(items.length)))),
		h('div', { 'class': 'diswall-cards' }, items.map(item => this.renderCard(item, free)))) : '';
	},

	renderCard: function(item, free) {
		const risk = text.pick(RISKS, item.risk, RISKS.get('high'));
		const stopped = !item.enabled && item.refusal;
		const box = h('input', {
			'type': 'checkbox', 'role': 'switch', 'aria-label': item.title, 'checked': item.enabled ? '' : null,
			'disabled': this.readonly || stopped ? '' : null,
			'change': ev => {
				const wanted = ev.target.checked;

				ev.target.disabled = true;
				return this.turn([ item.name ], wanted);
			}
		});

		return h('section', { 'class': 'diswall-card diswall-' + (item.enabled ? 'good' : 'off'), 'aria-label': item.title, 'data-list': item.name },
			h('h4', {}, h('label', { 'class': 'diswall-switch' }, box, ' ', item.title),
				item.recommended && !item.enabled ? h('span', { 'class': 'diswall-pill diswall-good' }, _('recommended')) : ''),
			/* In po/update from the catalogue itself. */
			h('p', {}, _(item.about)),
			item.enabled ? h('div', { 'class': 'diswall-list-state', 'data-state': item.name }, this.state(item.name)) : '',
			h('p', { 'class': 'diswall-said' }, size(item, free)),
			stopped ? h('p', { 'class': 'diswall-problem diswall-warn' }, _('It does not fit: %s').format(item.refusal)) : '',
			h('p', { 'class': 'diswall-said' }, text.pick(DIRECTIONS, item.direction, DIRECTIONS.get('src'))(), '; ',
				h('span', { 'class': 'diswall-outcome diswall-' + risk.kind }, risk.name())),
			h('p', { 'class': 'diswall-said' }, licence(item), ' ', home(item)));
	},

	/* Says anew how the lists are that are on; a screen reader and a selection stay calm where nothing changed. */
	tell: function() {
		this.node.querySelectorAll('[data-state]').forEach(place => {
			const fresh = h('div', {}, this.state(place.dataset.state));

			if (fresh.innerHTML !== place.innerHTML)
				place.replaceChildren(...fresh.childNodes);
		});
	},

	/* Switches these lists and shows what there is then. */
	turn: function(names, on) {
		return api.switch({ names: names, on: on, force: false }).then(answer => {
			if (answer.failed)
				text.tell(ui, answer.failed.message, 'danger');
			else
				text.tell(ui, answer.done.map(done => done.text), 'info');

			return Promise.all([ this.refresh(), answer.failed ? null : this.changed() ]);
		});
	},

	refresh: function() {
		return api.lists().then(answer => this.show(answer));
	}
});

return baseclass.extend({ Catalogue: Catalogue });
