'use strict';
'require view';
'require poll';
'require ui';
'require diswall.api as api';
'require diswall.chart as chart';
'require diswall.check as check';
'require diswall.text as text';

/*
 * The page that answers: is the router protected, by whom, from what? It asks for status and new
 * events every 5 seconds and for the history every minute, and redraws only what differs.
 */

const h = text.h;
const REFRESH = 5;
const NEWEST = 15;

const FEED_STATES = {
	off: { kind: 'off', name: () => _('Off') },
	connecting: { kind: 'warn', name: () => _('Connecting') },
	synchronising: { kind: 'warn', name: () => _('Taking the list') },
	live: { kind: 'good', name: () => _('Live') },
	waiting: { kind: 'bad', name: () => _('Not connected') }
};

const STATE_KINDS = { protected: 'good', local: 'good', degraded: 'warn', unprotected: 'bad', off: 'off' };

/* The one sentence on top. */
function sentence(status) {
	const figures = '%s, %s.'.format(
		N_(status.bans.total, '%s address blocked', '%s addresses blocked').format(text.number(status.bans.total)),
		N_(status.dropped.packets_hour, '%s packet dropped in the last hour', '%s packets dropped in the last hour')
			.format(text.number(status.dropped.packets_hour)));

	switch (status.state) {
	case 'protected': return _('Protected: %s').format(figures);
	case 'local': return _('Protected without feeds: %s').format(figures);
	case 'degraded': return _('Protected in part: %s').format(figures);
	case 'unprotected': return _('Not protected: the firewall does not hold diswall\'s rules.');
	case 'off': return _('diswall is switched off.');
	default: return figures;
	}
}

function banner(kind, headline, detail) {
	return h('div', { 'class': 'diswall-banner diswall-' + kind },
		h('span', { 'class': 'diswall-mark', 'aria-hidden': 'true' }, { good: '✓', warn: '!', bad: '✕', off: '–' }[kind]),
		h('div', {}, h('strong', {}, headline), detail ? h('div', {}, detail) : ''));
}

function statusBanner(status) {
	return banner(STATE_KINDS[status.state] || 'warn', sentence(status),
		_('Running for %s, version %s.').format(text.lasting(status.uptime), status.version)
			+ (status.sharing.bans || status.sharing.statistics ? ' ' + sharing(status.sharing) : ' ' + _('Nothing is sent.')));
}

function sharing(given) {
	if (given.bans && given.statistics)
		return _('What this router bans, and hourly statistics, are sent to DisWall.');

	return given.bans ? _('What this router bans is sent to DisWall.') : _('Hourly statistics are sent to DisWall.');
}

function problems(status) {
	/* What concerns a feed stands on its card. */
	return status.problems.filter(problem => !problem.key.startsWith('feed.')).map(problem => h('p', {
		'class': 'diswall-problem diswall-' + ({ error: 'bad', warning: 'warn' }[problem.severity] || 'off')
	}, problem.text));
}

function card(title, kind, state, lines, button) {
	return h('section', { 'class': 'diswall-card diswall-' + kind, 'aria-label': title },
		h('h4', {}, title, ' ', h('span', { 'class': 'diswall-pill diswall-' + kind }, state)),
		lines.filter(line => line).map(line => h('p', {}, line)), button || '');
}

function feedLines(feed, now) {
	return [
		feed.state == 'off' ? '' : N_(feed.entries, '%s address', '%s addresses').format(text.number(feed.entries)),
		feed.error,
		feed.state == 'waiting' && feed.retry_in !== null ? _('Next try %s.').format(text.ahead(feed.retry_in)) : '',
		feed.state != 'off' && feed.last_message !== null
			? _('Last message %s.').format(text.ago(now, feed.last_message)) : '',
		feed.lapses_in !== null ? _('Its bans lapse %s.').format(text.ahead(feed.lapses_in)) : '',
		feed.state != 'off' && !feed.encrypted && !feed.notices.length ? _('The connection is not encrypted.') : ''
	].concat(feed.notices.map(notice => notice.text));
}

function feedCard(feed, now) {
	const state = FEED_STATES[feed.state] || { kind: 'off', name: () => feed.state };

	return card(text.sourceName(feed.name), state.kind, state.name(), feedLines(feed, now));
}

function scanCard(status) {
	const own = status.sources.find(source => source.name == 'scan');
	const held = own ? own.v4 + own.v6 : 0;
	const on = status.scan.state == 'on';

	return card(text.sourceName('scan'), on ? 'good' : status.scan.state == 'error' ? 'bad' : 'off',
		on ? _('Watching') : status.scan.state == 'error' ? _('Not working') : _('Off'), [
			status.scan.state == 'off' ? '' : N_(held, '%s address', '%s addresses').format(text.number(held)),
			status.scan.error,
			on ? _('Banned in the last hour: %s').format(text.number(status.scan.bans_hour)) : '',
			on && status.scan.suspects ? _('Under suspicion: %s').format(text.number(status.scan.suspects)) : ''
		]);
}

function firewallCard(status) {
	const good = status.firewall.state == 'ok';

	return card(_('Firewall'), good ? 'good' : status.state == 'off' ? 'off' : 'bad', good ? _('In force') : _('Rules missing'), [
		_('Guarded zones: %s').format(status.firewall.zones.join(', ') || '–'),
		_('Dropped since %s: %s packets, %s').format(text.moment(status.dropped.since),
			text.number(status.dropped.packets), text.bytes(status.dropped.bytes)),
		status.firewall.error
	]);
}

function cards(status) {
	return status.feeds.map(feed => feedCard(feed, status.now))
		.concat(status.scan.state ? scanCard(status) : [], firewallCard(status));
}

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load: function() {
		return Promise.all([
			api.status(),
			api.history({ hours: 24 }),
			api.events({ limit: NEWEST, kinds: [ 'ban' ] })
		]);
	},

	render: function(answers) {
		text.style();

		this.hours = 24;
		this.measure = 'packets';
		this.newest = [];
		this.places = {
			banner: h('div', { 'role': 'status', 'aria-live': 'polite' }),
			problems: h('div', {}),
			cards: h('div', { 'class': 'diswall-cards' }),
			chart: h('div', {}),
			newest: h('div', {})
		};
		this.box = check.box(L.hasViewPermission() === true);

		const page = h('div', { 'class': 'diswall' },
			h('h2', {}, 'diswall'),
			this.places.banner,
			this.places.problems,
			this.places.cards,
			h('div', { 'class': 'cbi-section' },
				h('h3', {}, _('Why is this address blocked?')), this.box.node),
			h('div', { 'class': 'cbi-section' },
				h('h3', {}, _('By the hour')), this.renderChoices(), this.places.chart),
			h('div', { 'class': 'cbi-section' },
				h('h3', {}, _('Newest bans')), this.places.newest),
			h('p', { 'class': 'diswall-note' },
				_('The addresses of Turris DynFW are licensed CC BY-NC-SA 4.0 by CZ.NIC: not for commercial use.')));

		this.showStatus(answers[0]);
		this.showHistory(answers[1]);
		this.showEvents(answers[2]);

		poll.add(() => Promise.all([
			api.status().then(status => this.showStatus(status)),
			api.events({ cursor: this.cursor, limit: NEWEST, kinds: [ 'ban' ] }).then(events => this.showEvents(events))
		]), REFRESH);
		poll.add(() => this.loadHistory(), 60);

		window.addEventListener('resize', () => this.showHistory(this.history));
		/* The width is known only once the page is in the document. */
		requestAnimationFrame(() => this.showHistory(this.history));

		const asked = new URLSearchParams(location.search).get('address');

		if (asked)
			this.box.ask(asked);

		return page;
	},

	renderChoices: function() {
		const choice = (group, label, value, chosen, pick) => h('label', { 'class': 'diswall-choice' },
			h('input', {
				'type': 'radio', 'name': 'diswall-' + group, 'value': value, 'checked': chosen ? '' : null,
				'change': () => pick(value)
			}), ' ', label);

		const pickMeasure = value => {
			this.measure = value;
			this.showHistory(this.history);
		};

		const pickHours = value => {
			this.hours = Number(value);
			return this.loadHistory();
		};

		return h('div', { 'class': 'diswall-choices' },
			h('span', { 'role': 'radiogroup', 'aria-label': _('What is drawn') },
				choice('measure', _('Dropped packets'), 'packets', true, pickMeasure), ' ',
				choice('measure', _('New bans'), 'bans', false, pickMeasure)),
			h('span', { 'role': 'radiogroup', 'aria-label': _('How far back') },
				choice('hours', _('24 hours'), '24', true, pickHours), ' ',
				choice('hours', _('7 days'), '168', false, pickHours)));
	},

	/* A node whose content is made anew only when its description differs: a screen reader stays calm. */
	put: function(name, nodes) {
		const place = this.places[name];
		const fresh = h('div', {}, nodes);

		if (fresh.innerHTML !== place.innerHTML)
			place.replaceChildren(...fresh.childNodes);
	},

	showStatus: function(status) {
		if (status.failed) {
			const stopped = status.failed.code == 'not_running';

			this.put('banner', banner(stopped ? 'bad' : 'warn',
				stopped ? _('diswall is not running') : _('The state is unknown'), status.failed.message));
			this.put('problems', []);
			this.put('cards', []);
			return;
		}

		this.put('banner', statusBanner(status));
		this.put('problems', problems(status));
		this.put('cards', cards(status));
	},

	loadHistory: function() {
		return api.history({ hours: this.hours }).then(history => this.showHistory(history));
	},

	showHistory: function(history) {
		this.history = history;

		if (history.failed)
			return this.put('chart', h('p', { 'class': 'diswall-note' }, _('No figures: %s').format(history.failed.message)));

		/* Keeps the table open or closed as the reader left it. */
		const open = this.places.chart.querySelector('details[open]') !== null;

		this.places.chart.replaceChildren(chart.draw(history, this.measure,
			this.measure == 'bans' ? _('New bans') : _('Dropped packets'), this.places.chart.clientWidth || 720));

		if (open)
			this.places.chart.querySelector('details').open = true;
	},

	showEvents: function(answer) {
		if (answer.failed) {
			if (!this.newest.length)
				this.put('newest', h('p', { 'class': 'diswall-note' }, _('No events: %s').format(answer.failed.message)));
			return;
		}

		if (answer.restarted || this.cursor === undefined)
			this.newest = [];

		if (this.cursor !== undefined && !answer.restarted && !answer.events.length)
			return;

		this.cursor = answer.cursor;
		this.newest = answer.events.slice().reverse().concat(this.newest).slice(0, NEWEST);
		this.places.newest.replaceChildren(this.newest.length
			? this.renderNewest() : h('p', { 'class': 'diswall-note' }, _('Nobody was banned since diswall started.')));
	},

	renderNewest: function() {
		const cell = (title, ...content) => h('td', { 'class': 'td', 'data-title': title }, content);

		return h('table', { 'class': 'table diswall-table' },
			h('tr', { 'class': 'tr table-titles' },
				[ _('Time'), _('Address'), _('Banned by'), _('Reason') ].map(title => h('th', { 'class': 'th', 'scope': 'col' }, title))),
			this.newest.map(event => h('tr', { 'class': 'tr' },
				cell(_('Time'), h('span', { 'title': text.moment(event.at) }, text.clock(event.at))),
				cell(_('Address'), h('button', {
					'class': 'diswall-link', 'type': 'button', 'title': _('Why is this address blocked?'),
					'click': () => {
						this.box.input.focus();
						return this.box.ask(event.address);
					}
				}, event.address)),
				cell(_('Banned by'), text.sourceBadge(event.source)),
				cell(_('Reason'), text.reason(event.reason)))));
	}
});
