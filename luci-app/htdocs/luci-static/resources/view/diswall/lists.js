'use strict';
'require view';
'require form';
'require poll';
'require ui';
'require uci';
'require diswall.api as api';
'require diswall.catalogue as catalogue';
'require diswall.countries as countries';
'require diswall.file as file';
'require diswall.text as text';
'require diswall.values as values';

/*
 * Lists of addresses and networks that are fetched: the catalogue's cards, and below a row for each section of the file, with what the daemon says
 * of the list of that name beside it, and a dialog for what it is and what it is for. The figures are asked for every
 * 5 seconds; the form stays as it is meanwhile.
 */

const h = text.h;
const REFRESH = 5;
const PATIENCE = 30;

const USES = new Map([
	[ 'block', () => _('blocks') ], [ 'allow', () => _('exempts from blocking') ], [ 'only', () => _('lets nobody else in') ]
]);

/* Names that have a meaning of their own to diswall: its sources and its sets. */
const TAKEN = [ 'dynfw', 'nats', 'crowdsec', 'scan', 'manual', 'allow', 'severed', 'once', 'cut' ];

/* Whether a section is switched off, as uci's flags are read. */
const isOff = name => [ '0', 'off', 'no', 'false', 'disabled' ].includes(uci.get('diswall', name, 'enabled'));

/* Why a new list cannot be called so; nothing if it can. */
function wrongName(name) {
	if (!values.isListName(name))
		return _('A name has 1 to 15 of a to z, 0 to 9 and _.');

	return TAKEN.includes(name) || uci.get('diswall', name) ? _('That name is taken; give the list another.') : '';
}

/* How a list is: the colour of its state, its word, and what is to be said of it. */
function condition(feed, source, name) {
	if (isOff(name))
		return { kind: 'off', word: _('Off'), notes: [] };

	if (!feed)
		return { kind: 'off', word: _('Not in force yet'), notes: [] };

	const there = source && source.v4 + source.v6 + source.networks > 0;
	const notes = [
		feed.error,
		feed.retry_in !== null ? _('Next try %s.').format(text.ahead(feed.retry_in)) : '',
		feed.lapses_in !== null ? _('Without it, the list lapses %s.').format(text.ahead(feed.lapses_in)) : '',
		source && source.cut ? N_(source.cut, '%s entry found no room.', '%s entries found no room.').format(text.number(source.cut)) : ''
	].concat(feed.notices.map(notice => notice.text)).filter(note => note);

	switch (feed.state) {
	case 'live': return { kind: 'good', word: _('In force'), notes: notes };
	case 'off': return { kind: 'off', word: _('Off'), notes: [ _('No feed is asked, because of the setting "Without feeds".') ] };
	case 'connecting':
	case 'synchronising': return { kind: 'wait', word: _('Fetching'), notes: notes };
	default: return there ? { kind: 'warn', word: _('Former list in force'), notes: notes } : { kind: 'bad', word: _('Not fetched'), notes: notes };
	}
}

/* The countries and autonomous systems that a list is made of. */
function places(name) {
	const words = [].concat(uci.get('diswall', name, 'country') || []);
	const numbers = [].concat(uci.get('diswall', name, 'asn') || []).map(number => 'AS' + String(number).replace(/^AS/i, ''));

	return words.map(countries.title).concat(numbers).join(', ');
}

/* What the cells of one list say. */
function cells(name, status) {
	const feed = status && status.feeds.find(candidate => candidate.list && candidate.name == name);
	const source = status && feed && status.sources.find(candidate => candidate.name == name);
	const entries = source ? source.v4 + source.v6 + source.networks : 0;
	const state = status ? condition(feed, source, name) : { kind: 'off', word: _('Unknown'), notes: [] };

	return {
		entries: [
			h('div', {}, source ? text.counted(source.v4 + source.v6, source.networks) : '–'),
			places(name) ? h('div', { 'class': 'diswall-said' }, places(name)) : '',
			feed && feed.list == 'only' && entries ? h('div', { 'class': 'diswall-said' }, _('shut out: all who are not on it')) : ''
		],
		fetched: feed && feed.last_message !== null
			? h('span', { 'title': text.moment(feed.last_message) }, text.ago(status.now, feed.last_message))
			: entries ? _('kept from before') : '–',
		dropped: source && feed.list != 'allow' ? [
			h('div', {}, _('%s in the last hour').format(text.number(source.packets_hour))),
			h('div', {}, _('%s in all').format(text.number(source.packets)))
		] : '–',
		state: [
			h('span', { 'class': 'diswall-pill diswall-' + state.kind }, state.word),
			state.notes.map(note => h('div', { 'class': 'diswall-said' }, note))
		]
	};
}

/* What a card says of its list that is switched on. */
function onCard(name, status) {
	if (!status)
		return '';

	const feed = status.feeds.find(candidate => candidate.list && candidate.name == name);
	const source = feed && status.sources.find(candidate => candidate.name == name);
	const state = condition(feed, source, name);
	const there = source && source.v4 + source.v6 + source.networks > 0;
	const figures = [
		there ? text.counted(source.v4 + source.v6, source.networks) : '',
		feed && feed.last_message !== null ? _('fetched %s').format(text.ago(status.now, feed.last_message)) : there ? _('kept from before') : ''
	].filter(words => words);

	return [ h('span', { 'class': 'diswall-pill diswall-' + state.kind }, state.word), ' ', figures.join(', '),
		state.notes.map(note => h('div', { 'class': 'diswall-said' }, note)) ];
}

/* What a list is, for who has none. */
function introduction() {
	return h('div', { 'class': 'diswall-intro' },
		h('p', {}, _('A list is a file of addresses and networks that somebody keeps on the web, or that lies on this router. diswall fetches it now and then and blocks what is on it, exempts it from blocking, or lets nobody else in. None is switched on by itself. The cards above are lists that others keep for everybody; here are your own.')),
		h('p', {}, _('For example:')),
		h('ul', {},
			h('li', {}, _('"farm": a list whose address you have from somebody. All the rest may stay as it is.')),
			h('li', {}, _('"away": the networks of some countries, and no address. With the use "lets nobody else in" they are the only ones that may come.'))),
		h('p', {}, _('It is fetched right after "Save & Apply", and its row says what came of it.')));
}

const Grid = form.GridSection.extend({
	/* LuCI's own field for the name has no label, and knows other rules. */
	renderSectionAdd: function() {
		const problem = h('span', { 'role': 'status', 'aria-live': 'polite', 'class': 'diswall-outcome diswall-bad' });
		const add = ui.createHandlerFn(this, ev => {
			const name = input.value.trim();
			const wrong = wrongName(name);

			text.fill(problem, wrong);
			return wrong ? input.focus() : this.handleAdd(ev, name);
		});
		const input = h('input', {
			'class': 'cbi-input-text', 'id': 'diswall-list-name', 'type': 'text', 'maxlength': '15', 'placeholder': 'drop',
			'disabled': this.map.readonly ? '' : null,
			'keydown': ev => {
				if (ev.key == 'Enter') {
					ev.preventDefault();
					button.click();
				}
			}
		});
		const button = h('button', {
			'class': 'btn cbi-button cbi-button-add', 'type': 'button', 'disabled': this.map.readonly ? '' : null, 'click': add
		}, _('Add list'));

		return h('div', { 'class': 'cbi-section-create' }, h('div', { 'class': 'diswall-filter' },
			h('label', { 'for': 'diswall-list-name' }, _('Name of a new list')), input, button, problem));
	},

	renderContents: function() {
		return Promise.resolve(this.super('renderContents', arguments)).then(node =>
			h('div', {}, this.cfgsections().length ? '' : introduction(), node));
	}
});

/* A column that is not of the file: `show(name)` gives its node. */
function column(section, option, title, show) {
	const made = section.option(form.DummyValue, option, title);

	made.modalonly = false;
	made.textvalue = show;
}

/* An option that only the dialog has. */
function optionsOf(section) {
	return (widget, option, title, description, settings) => {
		const made = section.option(widget, option, title, description);

		made.modalonly = true;

		for (const key in settings || {})
			if (key != 'values' && key != 'when')
				made[key] = settings[key];

		for (const value of (settings && settings.values) || [])
			made.value(value[0], value[1]);

		for (const need of (settings && settings.when) || [])
			made.depends(need);

		return made;
	};
}

const BLOCKING = [ { use: 'block' }, { use: 'only' } ];
const WITH_PORTS = BLOCKING.flatMap(need => [ 'any', 'tcp', 'udp' ].map(proto => Object.assign({ proto: proto }, need)));

function what(option) {
	option(form.Flag, 'enabled', _('Enabled'), _('Off: not fetched, and not in force.'), { default: '1', rmempty: false });
	option(form.DynamicList, 'url', _('Addresses'),
		_('https, http, or the path of a file on this router. Several together are one list.'),
		{ optional: true, placeholder: 'https://lists.example.org/drop.txt', validate: values.place });
	option(form.DynamicList, 'country', _('Countries'),
		_('Countries and continents whose networks belong to the list. A list that only looks at what comes from there does not keep hosts at home from calling there: for that the direction is "both".'),
		{ optional: true, placeholder: 'cz', values: countries.choices().map(choice => [ choice[0], withSize(choice) ]), validate: values.country });
	option(form.DynamicList, 'asn', _('Autonomous systems'), _('Providers whose networks belong to the list, each by its number, such as 64496 (AS64496).'),
		{ optional: true, placeholder: '64496', validate: values.asn });
	option(form.ListValue, 'use', _('Use'),
		_('What becomes of what is listed. With "lets nobody else in", addresses you allow, your own network and calls from inside go on.'), {
			default: 'block', values: [ ...USES ].map(use => [ use[0], use[1]() ]), modalonly: null,
			textvalue: function(name) {
				return text.pick(USES, this.cfgvalue(name) || 'block', () => '?')();
			}
		});
	option(form.Value, 'format', _('Form'),
		_('How the list is written. Empty finds out; or plain, csv or csv:COLUMN, spamhaus, dshield, ranges, rir:COUNTRY, suricata; names: host names, which are looked up and followed.'),
		{ placeholder: 'auto', validate: values.listFormat });
	option(form.Value, 'interval', _('Fetch every'), _('A tenth more or less, from 10m to 30d.'),
		{ placeholder: '12h', validate: values.interval });
}

/* A country with about how many networks it has and what they take, before anybody chooses it: see src/owner/catalogue.rs. */
function withSize(choice) {
	const [ v4, v6 ] = countries.networks([ choice[0] ]);

	return _('%s, about %s networks, %s').format(choice[1], text.number(v4 + v6), text.bytes(178 * v4 + 266 * v6));
}

function where(option) {
	option(form.ListValue, 'direction', _('Direction'), _('Whether hosts at home may still call what is listed.'), {
		default: 'src', when: [ { use: 'block' } ],
		values: [ [ 'src', _('from what is listed') ], [ 'dst', _('to what is listed') ], [ 'src-dst', _('both') ] ]
	});
	option(form.DynamicList, 'zone', _('Zones'), _('Zones of the firewall it holds in; empty for those of the settings.'),
		{ optional: true, when: BLOCKING, placeholder: 'wan', validate: values.zone });
	option(form.ListValue, 'proto', _('Protocol'), _('Only packets of this protocol.'), {
		default: 'any', when: BLOCKING, values: [ [ 'any', _('any') ], [ 'tcp', 'TCP' ], [ 'udp', 'UDP' ], [ 'icmp', 'ICMP' ] ]
	});
	option(form.DynamicList, 'dest_port', _('Destination ports'), _('Ports or ranges; none means every port.'),
		{ optional: true, when: WITH_PORTS, placeholder: '443', validate: values.portRange });
	option(form.ListValue, 'action', _('Action'), _('What happens to the packets.'), {
		optional: true, when: BLOCKING,
		values: [ [ '', _('as in the settings') ], [ 'drop', _('drop silently') ], [ 'reject', _('reject') ] ]
	});
	option(form.ListValue, 'log_drops', _('Log blocked packets'), _('To the kernel\'s log, at most five a second.'), {
		optional: true, when: BLOCKING,
		values: [ [ '', _('as in the settings') ], [ '1', _('yes') ], [ '0', _('no') ] ]
	});
}

function how(option) {
	option(form.Value, 'login', _('Login'),
		_('For a server that wants one: name:password, or the path of a file that has it.'),
		{ optional: true, password: true, validate: values.listLogin });
	option(form.DynamicList, 'country_url', _('Addresses of countries'), _('Where a country\'s networks are, with {country} for its letters; empty for ipdeny.com.'),
		{ optional: true, placeholder: 'https://lists.example.org/{country}.txt', validate: values.countryPlace });
	option(form.DynamicList, 'asn_url', _('Addresses of autonomous systems'), _('Where their networks are, with {asn} for the number; empty for ipverse.'),
		{ optional: true, placeholder: 'https://lists.example.org/{asn}.txt', validate: values.asnPlace });
	option(form.Value, 'max_age', _('Keep for'),
		_('A list that could not be fetched for longer lapses; 0 for never.'),
		{ placeholder: '30d', validate: values.durationOrNone });
	option(form.Flag, 'keep', _('Keep on flash'),
		_('There again right after a reboot. It is written at most every 12 hours.'), { default: '0' });
}

return view.extend({
	load: function() {
		return Promise.all([ api.status(), file.load(), api.lists() ]);
	},

	render: function(answers) {
		text.style();
		text.nameFields();

		this.places = new Map();
		this.trouble = h('div', { 'role': 'status', 'aria-live': 'polite' });

		const map = new form.Map('diswall', '', _('Your own lists, and those that a card has switched on.'));

		file.guard(this, map, answers[1]);

		const section = map.section(Grid, 'list');

		section.addremove = true;
		section.anonymous = false;
		section.nodescriptions = true;
		section.modaltitle = name => _('List %s').format(name);

		const option = optionsOf(section);

		what(option);
		column(section, '_entries', _('Entries'), name => this.place(name, 'entries'));
		column(section, '_fetched', _('Fetched'), name => this.place(name, 'fetched'));
		column(section, '_dropped', _('Dropped packets'), name => this.place(name, 'dropped'));
		column(section, '_state', _('State'), name => h('div', {}, this.place(name, 'state'), this.renderFetch(name, map.readonly)));
		where(option);
		how(option);

		poll.add(() => api.status().then(status => this.show(status)), REFRESH);

		/* The cards write the file themselves: what uci knows of it is old then. */
		this.cards = new catalogue.Catalogue(map.readonly, () => {
			uci.unload('diswall');
			return Promise.all([ map.load(), api.status() ]).then(answers => {
				this.status = answers[1].failed ? null : answers[1];
				return map.reset();
			});
		}, name => onCard(name, this.status));

		this.show(answers[0]);
		this.cards.show(answers[2]);
		return map.render().then(node => h('div', { 'class': 'diswall' }, answers[1].notice, this.trouble,
			h('h2', {}, _('Lists')),
			h('div', { 'class': 'cbi-map-descr' }, _('Addresses and networks from lists that others keep. A card switches a list on: it is fetched at once, and again every few hours.')),
			uci.sections('diswall', 'list').length ? h('p', {}, h('a', {
				'class': 'btn cbi-button cbi-button-action', 'href': '#diswall-own',
				'click': ev => {
					/* LuCI has a <base> of its own in some themes. */
					ev.preventDefault();
					document.getElementById('diswall-own').scrollIntoView();
					document.getElementById('diswall-own').focus();
				}
			}, _('To the lists of this router…'))) : '',
			this.cards.node,
			h('h3', { 'id': 'diswall-own', 'tabindex': '-1' }, _('Lists of this router')),
			h('p', {}, _('A list keeps out who calls in. Hosts at home may still call what is listed, a country for example, unless its direction is "both".')),
			node));
	},

	/* Where one figure of a list stands; filled anew with every status. LuCI makes its cells anew now and then. */
	place: function(name, kind) {
		const made = h('div', { 'class': 'diswall-list-' + kind });

		if (!this.places.has(name))
			this.places.set(name, new Map());

		this.places.get(name).set(kind, made);
		return text.fill(made, cells(name, this.status)[kind]);
	},

	renderFetch: function(name, readonly) {
		const label = _('Fetch now: %s').format(name);

		return h('button', {
			'class': 'btn cbi-button cbi-button-action', 'type': 'button', 'aria-label': label,
			'disabled': readonly || isOff(name) ? '' : null,
			'click': ui.createHandlerFn(this, 'fetchNow', name)
		}, _('Fetch now'));
	},

	show: function(status) {
		this.status = status.failed ? null : status;
		text.fill(this.trouble, status.failed ? text.failure(status.failed) : '');
		this.cards.tell();
		this.places.forEach((kinds, name) => {
			const said = cells(name, this.status);

			kinds.forEach((place, kind) => {
				const fresh = h('div', {}, said[kind]);

				/* A screen reader and a selection stay calm. */
				if (fresh.innerHTML !== place.innerHTML)
					place.replaceChildren(...fresh.childNodes);
			});
		});
	},

	/* Asks for the list, and waits for what comes of it. */
	fetchNow: function(name) {
		const messages = status => (status.feeds.find(feed => feed.name == name) || { messages: 0 }).messages;
		const since = Date.now();

		return api.status().then(before => before.failed ? this.show(before) : api.resync({ source: name }).then(answer => {
			if (answer.failed)
				return text.tell(ui, answer.failed.message, 'danger');

			const wait = () => new Promise(resolve => setTimeout(resolve, 1000)).then(() => api.status()).then(status => {
				this.show(status);

				const feed = status.failed ? null : status.feeds.find(candidate => candidate.name == name);
				const source = feed && status.sources.find(candidate => candidate.name == name);

				if (!feed)
					return;

				if (feed.state == 'live' && messages(status) > messages(before))
					return text.tell(ui, _('%s was fetched: %s.').format(name, source ? text.counted(source.v4 + source.v6, source.networks) : text.counted(feed.entries, 0)), 'info');

				const passed = (Date.now() - since) / 1000;

				if (feed.state == 'waiting' && passed >= 3)
					return text.tell(ui, _('%s was not fetched: %s').format(name, feed.error), 'danger');

				if (passed < PATIENCE)
					return wait();

				return text.tell(ui, _('%s is still being fetched.').format(name), 'warning');
			});

			return wait();
		}));
	}
});
