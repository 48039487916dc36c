'use strict';
'require view';
'require poll';
'require ui';
'require diswall.api as api';
'require diswall.chart as chart';
'require diswall.check as check';
'require diswall.file as file';
'require diswall.text as text';

/*
 * The page that answers: is the router protected, by whom, from what? It asks for status and new
 * events every 5 seconds and for the history every minute, and redraws only what differs.
 */

const h = text.h;
const REFRESH = 5;
const NEWEST = 15;

const FEED_STATES = new Map([
	[ 'off', () => _('Off') ],
	[ 'connecting', () => _('Connecting') ],
	[ 'synchronising', () => _('Taking the list') ],
	[ 'live', () => _('Live') ],
	[ 'partial', () => _('Connected in part') ],
	[ 'waiting', () => _('Not connected') ]
]);

/* A list that is fetched now and then is not connected to anything. */
const LIST_STATES = new Map([
	[ 'off', () => _('Off') ],
	[ 'connecting', () => _('Fetching') ],
	[ 'waiting', () => _('Not fetched') ]
]);

const MARKS = new Map([ [ 'good', '✓' ], [ 'wait', '…' ], [ 'warn', '!' ], [ 'bad', '✕' ], [ 'off', '–' ] ]);

const STATE_KINDS = new Map([
	[ 'protected', 'good' ], [ 'local', 'good' ], [ 'waiting', 'wait' ], [ 'degraded', 'warn' ], [ 'unprotected', 'bad' ], [ 'off', 'off' ]
]);

/* The one sentence on top. */
function sentence(status) {
	const figures = '%s, %s.'.format(
		_('%s blocked').format(text.counted(status.bans.v4 + status.bans.v6, status.bans.total - status.bans.v4 - status.bans.v6)),
		N_(status.dropped.packets_hour, '%s packet dropped in the last hour', '%s packets dropped in the last hour')
			.format(text.number(status.dropped.packets_hour)));

	switch (status.state) {
	case 'protected': return _('Protected: %s').format(figures);
	case 'local': return _('Protected without feeds: %s').format(figures);
	case 'waiting': return _('Not everything is in force yet: %s').format(figures);
	case 'degraded': return _('Protected in part: %s').format(figures);
	case 'unprotected': return _('Not protected: the firewall does not look at what diswall knows.');
	case 'off': return _('diswall is switched off.');
	default: return figures;
	}
}

function banner(kind, headline, detail) {
	return h('div', { 'class': 'diswall-banner diswall-' + kind },
		h('span', { 'class': 'diswall-mark', 'aria-hidden': 'true' }, text.pick(MARKS, kind, '!')),
		h('div', {}, h('strong', {}, headline), detail ? h('div', {}, detail) : ''));
}

/* An answer that contradicts itself is no good one: green needs every part. */
function kindOf(status) {
	const kind = text.pick(STATE_KINDS, status.state, 'warn');
	const worst = text.worst(status.parts);

	return kind == 'good' && worst && worst.kind != 'good' ? 'warn' : kind;
}

function statusBanner(status) {
	return banner(kindOf(status), sentence(status),
		_('Running for %s, version %s.').format(text.lasting(status.uptime), status.version)
			+ sent(status));
}

function sent(status) {
	const texts = [];

	if (status.sharing.bans || status.sharing.statistics)
		texts.push(sharing(status.sharing));
	if (status.parts.some(part => part.name == 'abuseipdb'))
		texts.push(_('Who fails to log in is reported to AbuseIPDB.'));
	return ' ' + (texts.join(' ') || _('What is banned here is sent to nobody.'));
}

function sharing(given) {
	if (given.bans && given.statistics)
		return _('What this router bans, and hourly statistics, are sent to DisWall.');

	return given.bans ? _('What this router bans is sent to DisWall.') : _('Hourly statistics are sent to DisWall.');
}

/* Parts that the firewall's rules carry: where they are not in force, the service loads them anew. */
function isOfRules(part) {
	return part.name.startsWith('zone.') || [ 'devices', 'scan', 'disconnect' ].includes(part.name);
}

/* What has the service start what is not running, and load the rules that are not in force. */
function mendButton(label) {
	return h('p', { 'class': 'diswall-actions' }, h('button', {
		'class': 'btn cbi-button cbi-button-action important', 'type': 'button', 'data-mend': '',
		'disabled': L.hasViewPermission() === true ? null : ''
	}, label));
}

/* The one listener for these: notices are made anew whenever one of them differs. */
function mendOnClick(place, then) {
	place.addEventListener('click', event => {
		const button = event.target.closest('[data-mend], [data-again]');

		if (!button)
			return;

		const source = button.dataset.again;

		button.disabled = true;
		button.classList.add('spinning');
		(source ? api.resync({ source: source }) : api.reload()).then(answer => {
			button.disabled = false;
			button.classList.remove('spinning');

			if (answer.failed)
				text.tell(ui, answer.failed.message, 'danger');
			else if (source)
				text.tell(ui, _('%s is asked again. What comes of it stands here in a few seconds.').format(text.sourceName(source)), 'info');

			return then();
		});
	});
}

/* `tab`: of the settings; LuCI's own address has no place for it. */
function linkButton(label, page, tab) {
	return h('a', { 'class': 'btn cbi-button cbi-button-action', 'href': L.url('admin/services/diswall/' + page) + (tab ? '?tab=' + tab : '') }, label);
}

/* Where the settings of a part are that may be wrong. */
const SETTINGS = new Map([
	[ 'feed.dynfw', 'dynfw' ], [ 'feed.nats', 'nats' ], [ 'feed.crowdsec', 'crowdsec' ], [ 'share', 'nats' ],
	[ 'abuseipdb', 'abuseipdb' ], [ 'login', 'detection' ], [ 'keep', 'general' ]
]);

/* What can be done about a part that is not in force, without a command line. */
function partActions(part) {
	const feed = part.name.startsWith('feed.') ? part.name.slice(5) : '';
	const tab = text.pick(SETTINGS, part.name, '');
	const offered = [
		feed ? h('button', {
			'class': 'btn cbi-button cbi-button-action', 'type': 'button', 'data-again': feed,
			'disabled': L.hasViewPermission() === true ? null : ''
		}, _('Try again now')) : '',
		tab ? linkButton(_('Open its settings…'), 'settings', tab) : feed ? linkButton(_('Show lists…'), 'lists') : ''
	].filter(node => node);

	return offered.length ? h('div', { 'class': 'diswall-actions' }, offered) : '';
}

/* What is not in force: why, what is lost, what to do where no button does it, or where that one does not help. */
function partNotice(part) {
	const state = text.partState(part.state);

	return h('div', { 'class': 'diswall-problem diswall-' + state.kind },
		h('strong', {}, text.partTitle(part.name)), ' ', h('span', { 'class': 'diswall-pill diswall-' + state.kind }, state.name()),
		part.why ? h('div', {}, part.why) : '',
		part.lost ? h('div', {}, _('Meanwhile: %s').format(part.lost)) : '',
		part.remedy ? h('div', {}, (isOfRules(part) ? _('If the button does not help: %s') : _('What to do: %s')).format(part.remedy)) : '',
		partActions(part));
}

function problems(status) {
	/* What is wrong with the file is said above, with all its lines. */
	const wrong = status.parts.filter(part => part.state != 'in_force' && part.name != 'config');
	/* What concerns a feed stands on its card, what a part says is said. */
	const rest = status.problems.filter(problem => !problem.key.startsWith('feed.') && problem.key != 'config'
		&& !wrong.some(part => part.why && problem.text.includes(part.why)));
	const mend = wrong.some(part => part.state == 'broken' && isOfRules(part)) ? [ mendButton(_('Load the rules again')) ] : [];

	return mend.concat(wrong.map(partNotice), rest.map(problem => problem.severity == 'notice' ? h('p', {}, problem.text)
		: h('p', { 'class': 'diswall-problem diswall-' + (problem.severity == 'error' ? 'bad' : 'warn') }, problem.text)));
}

/* `state`: { kind, name() }; none: switched off. */
function card(title, state, lines, button) {
	const kind = state ? state.kind : 'off';

	return h('section', { 'class': 'diswall-card diswall-' + kind, 'aria-label': title },
		h('h4', {}, title, ' ', h('span', { 'class': 'diswall-pill diswall-' + kind }, state ? state.name() : _('Off'))),
		lines.filter(line => line).map(line => h('p', {}, line)), button || '');
}

/* A part that is switched off says what it would give, and where its switch is. */
function offCard(title, gives, tab) {
	return card(title, null, [ gives ], h('p', {}, linkButton(_('Switch it on…'), 'settings', tab)));
}

function partOf(status, name) {
	const part = status.parts.find(each => each.name == name);

	return part ? text.partState(part.state) : null;
}

/* What a feed is, for who has never heard of it. */
const ABOUT = new Map([
	[ 'dynfw', () => _('Attackers that CZ.NIC sees at routers and honeypots, kept up to the second.') ],
	[ 'nats', feed => feed.hub ? _('What your other routers see, by a hub of your own.') : _('Whom the users of DisWall ban.') ],
	[ 'crowdsec', () => _('Whom your CrowdSec bans.') ]
]);

function feedLines(feed, now) {
	return [
		text.pick(ABOUT, feed.name, () => '')(feed),
		'%s: %s'.format(text.pick(FEED_STATES, feed.state, () => feed.state)(), text.counted(feed.entries, 0)),
		feed.error,
		feed.retry_in !== null ? _('Next try %s.').format(text.ahead(feed.retry_in)) : '',
		feed.last_message !== null ? _('Last message %s.').format(text.ago(now, feed.last_message)) : '',
		feed.hub ? (feed.hub_heard !== null ? _('It follows a hub, last heard of %s.').format(text.ago(now, feed.hub_heard))
			: _('It follows a hub that has not been heard of yet.')) : '',
		feed.lapses_in !== null ? _('Its bans lapse %s.').format(text.ahead(feed.lapses_in)) : '',
		!feed.encrypted && !feed.notices.length ? _('The connection is not encrypted.') : ''
	].concat(feed.notices.map(notice => notice.text));
}

function feedCard(status, feed) {
	const title = text.sourceName(feed.name);

	if (feed.state != 'off')
		return card(title, partOf(status, 'feed.' + feed.name), feedLines(feed, status.now));

	return status.local_only
		? offCard(title, _('No feed is asked, because of the setting "Without feeds".'), 'general')
		: offCard(title, feed.name == 'dynfw'
			? _('Would block what CZ.NIC gathers of attackers from routers and honeypots, kept up to the second. It sends nothing.')
			: _('Would block what the users of DisWall ban. It needs no registration and sends nothing by itself.'), feed.name);
}

/* How many addresses and networks of a list there are; the feed itself counts both as entries. */
function held(status, feed) {
	const source = status.sources.find(each => each.name == feed.name);

	return source ? text.counted(source.v4 + source.v6, source.networks) : text.counted(feed.entries, 0);
}

/* All lists on one card, a line each: there may be many. */
function listsCard(feeds, status) {
	const parts = status.parts.filter(part => feeds.some(feed => part.name == 'feed.' + feed.name));

	return card(_('Lists'), text.worst(parts), feeds.map(feed => '%s: %s'.format(text.sourceName(feed.name),
		feed.state == 'live' || feed.entries ? held(status, feed) : text.pick(LIST_STATES, feed.state, () => feed.state)())),
	h('p', {}, linkButton(_('Show lists…'), 'lists')));
}

function scanCard(status) {
	const own = status.sources.find(source => source.name == 'scan');
	const state = partOf(status, 'scan');

	return state ? card(text.partTitle('scan'), state, [
		_('Bans who touches a port that nobody serves.'),
		own ? _('Banned now: %s').format(text.counted(own.v4 + own.v6, own.networks)) : '',
		_('Banned in the last hour: %s').format(text.number(status.scan.bans_hour)),
		status.scan.suspects ? _('Under suspicion: %s').format(text.number(status.scan.suspects)) : ''
	]) : offCard(text.partTitle('scan'), _('Would ban who touches a port that nobody serves. It needs no feed.'), 'detection');
}

function loginCard(status) {
	const state = partOf(status, 'login');

	return state ? card(text.partTitle('login'), state, [ _('Bans who fails to log in too often, at ssh for example.') ])
		: offCard(text.partTitle('login'), _('Would ban who fails to log in too often, as the log tells.'), 'detection');
}

function firewallCard(status) {
	const guards = status.parts.filter(part => part.name.startsWith('zone.') || part.name == 'devices');
	const zones = guards.map(part => '%s: %s'.format(part.name.startsWith('zone.') ? _('Zone %s').format(part.name.slice(5))
		: text.partTitle(part.name), text.partState(part.state).name()));

	return card(_('Firewall'), text.worst(guards), zones.concat(
		_('Dropped since %s: %s packets, %s').format(text.moment(status.dropped.since),
			text.number(status.dropped.packets), text.bytes(status.dropped.bytes))));
}

/* What has no card of its own. */
function otherCard(status) {
	const others = status.parts.filter(part => [ 'disconnect', 'keep', 'log', 'config' ].includes(part.name));

	return card(_('Everything else'), text.worst(others), others.map(part =>
		'%s: %s'.format(text.partTitle(part.name), text.partState(part.state).name())));
}

function cards(status) {
	const lists = status.feeds.filter(feed => feed.list);

	return status.state == 'off' ? [ offCard('diswall', _('Nothing is blocked, and no rule of diswall is in the firewall.'), 'general') ]
		: status.feeds.filter(feed => !feed.list).map(feed => feedCard(status, feed))
			.concat(lists.length ? listsCard(lists, status) : [], scanCard(status), loginCard(status), firewallCard(status), otherCard(status));
}

/* The pages on which the wrong entries of the file can be mended. */
function placesOf(answer) {
	const pages = [
		[ 'rules', _('Open your own blocks'), /; config (block|logwatch)\b/ ], [ 'allowed', _('Open the allowed addresses'), /; config allow\b/ ],
		[ 'lists', _('Open the lists'), /; config list\b/ ]
	];
	const texts = answer.failed ? [] : answer.problems.map(problem => problem.text);
	const fitting = pages.filter(page => texts.some(words => page[2].test(words)));

	return texts.some(words => !pages.some(page => page[2].test(words))) || !fitting.length
		? fitting.concat([ [ 'settings', _('Open the settings') ] ]) : fitting;
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
			file: h('div', {}),
			problems: h('div', {}),
			cards: h('div', { 'class': 'diswall-cards' }),
			chart: h('div', {}),
			newest: h('div', {})
		};
		/* What there is nothing to say of while nobody counts. */
		this.places.figures = h('div', {},
			h('div', { 'class': 'cbi-section' },
				h('h3', {}, _('By the hour')), this.renderChoices(), this.places.chart),
			h('div', { 'class': 'cbi-section' },
				h('h3', {}, _('Newest bans')), this.places.newest));
		this.box = check.box(L.hasViewPermission() === true);
		mendOnClick(this.places.problems, () => api.status().then(status => this.showStatus(status)));

		const page = h('div', { 'class': 'diswall' },
			h('h2', {}, 'diswall'),
			h('div', { 'class': 'cbi-map-descr' }, _('Keeps addresses that are known to attack others away from this router and your network.')),
			text.lookOnly(),
			this.places.banner,
			this.places.file,
			this.places.problems,
			this.places.cards,
			h('div', { 'class': 'cbi-section' },
				h('h3', {}, _('Why is this address blocked?')), this.box.node),
			this.places.figures,
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
			return text.waiting(this.places.chart, this.loadHistory());
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

	/* The file itself is looked at only while something is said against it. */
	showFile: function(wrong) {
		if (!wrong || this.wrong)
			return wrong ? undefined : this.put('file', this.wrong = '');

		this.wrong = true;
		return api.config().then(answer => text.fill(this.places.file, answer.failed ? '' : file.notice(answer),
			h('p', { 'class': 'diswall-actions' }, placesOf(answer).map(place => linkButton(place[1], place[0])))));
	},

	showStatus: function(status) {
		this.showFile(!status.failed && (status.problems.some(problem => problem.key == 'config')
			|| status.parts.some(part => part.name == 'config' && part.state == 'broken')));
		this.places.figures.hidden = !!status.failed;

		if (status.failed) {
			const stopped = status.failed.code == 'not_running';

			this.put('banner', banner(stopped ? 'bad' : 'warn', stopped ? _('diswall is not running') : _('The state is unknown'),
				stopped ? _('Who was blocked stays blocked until the time for it is over. Nobody new is blocked.') : status.failed.message));
			this.put('problems', stopped ? [ mendButton(_('Start diswall')) ] : []);
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
				cell(_('Time'), h('span', { 'class': 'diswall-whole', 'title': text.moment(event.at) }, text.clock(event.at))),
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
