'use strict';
'require view';
'require diswall.api as api';
'require diswall.graph as graph';
'require diswall.text as text';

/*
 * What was dropped, by whom, from where and when; what each source is good for. Shows what the daemon has counted, and
 * says of how many packets a figure is.
 */

const h = text.h;
const cell = (title, ...content) => h('td', { 'class': 'td', 'data-title': title }, content);
const heads = titles => h('tr', { 'class': 'tr table-titles' }, titles.map(title => h('th', { 'class': 'th', 'scope': 'col' }, title)));
const note = words => h('p', { 'class': 'diswall-note' }, words);

const ORIGINS = new Map([
	[ 'config', () => _('Your allowance') ],
	[ 'command', () => _('Allowance for a time') ],
	[ 'nats', () => _('Allowance from DisWall') ]
]);

function section(title, ...content) {
	return h('div', { 'class': 'cbi-section' }, h('h3', {}, title), content);
}

function packets(count) {
	return N_(count, '%s packet', '%s packets').format(text.number(count));
}

function summary(report) {
	if (report.since === null)
		return [ _('Nothing was counted yet on these days; a report is worth reading from tomorrow on.') ];

	const counted = report.by_day.reduce((sum, day) => sum + day.hours.filter(hour => hour >= 0).length, 0);

	return [
		_('%s (%s) dropped, new bans: %s.').format(packets(report.packets), text.bytes(report.bytes), text.number(report.bans)),
		N_(counted, 'Figures since %s, of %s hour.', 'Figures since %s, of %s hours.').format(text.moment(report.since), text.number(counted)),
		report.days > report.kept ? _('At most %s days are kept.').format(text.number(report.kept)) : ''
	];
}

/* How much is known of ports, countries and senders. */
function looked(report) {
	if (report.trouble)
		return _('No dropped packet can be looked at: %s').format(report.trouble);

	if (!report.looked)
		return report.looks ? _('Nothing to show yet: ports, countries and senders are known from dropped packets, of which diswall looks at a few a second.')
			: _('Dropped packets are not looked at. The switch is in the settings, under "Report".');

	return [
		_('Known from the %s that were looked at, of %s dropped: at most 5 a second of each source.').format(packets(report.looked), text.number(report.packets)),
		report.outgoing ? _('On the way out, from inside to a banned host: %s.').format(text.number(report.outgoing)) : ''
	].join(' ');
}

function service(protocol, port) {
	return port ? '%d/%s'.format(port, protocol) : protocol;
}

function rows(list, label, value, tone) {
	return list.map(each => ({ label: label(each), value: value(each), figure: text.number(value(each)), tone: tone ? tone(each) : '' }));
}

/* A list of places by what it has, every other source by its name. */
function titleOf(source) {
	const name = text.sourceName(source.name);

	return source.title && source.title != source.name && name == source.name ? '%s (%s)'.format(source.name, source.title) : name;
}

function bySource(report, width) {
	const sources = report.sources.filter(source => source.packets + source.bans > 0).sort((a, b) => b.packets - a.packets);

	return sources.length ? [
		sources[0].packets ? graph.bars(rows(sources, titleOf, source => source.packets, source => text.sourceClass(source.name)), _('By source'), width) : '',
		h('table', { 'class': 'table diswall-table' }, heads([ _('Source'), _('Dropped'), _('Bytes'), _('New bans') ]),
			sources.map(source => h('tr', { 'class': 'tr' },
				cell(_('Source'), titleOf(source), source.gone ? [ ' ', h('span', { 'class': 'diswall-pill diswall-off' }, _('no longer configured')) ] : ''),
				cell(_('Dropped'), text.number(source.packets)), cell(_('Bytes'), text.bytes(source.bytes)), cell(_('New bans'), text.number(source.bans)))))
	] : note(_('Nothing was dropped.'));
}

function byPlace(report, width) {
	const list = report.places.map(place => ({ title: place.title, packets: place.packets }));

	if (report.looked)
		list.push({ title: _('not known'), packets: report.unplaced });

	return [
		list.length ? graph.bars(rows(list, place => place.title, place => place.packets), _('By country'), width) : '',
		note(report.placed ? _('Countries are those of the country lists that are configured; what is in none of them is not known.')
			: _('Which country a packet came from is known only where a list of that country is switched on, and none is.')),
		report.placed ? '' : h('p', {}, h('a', { 'class': 'btn cbi-button cbi-button-action', 'href': L.url('admin/services/diswall/lists') }, _('Show lists…')))
	];
}

function byPort(report, width) {
	const list = report.ports.slice(0, 10);

	return [
		list.length ? graph.bars(rows(list, port => service(port.protocol, port.port), port => port.packets), _('By port'), width) : '',
		note(looked(report))
	];
}

function stubborn(report) {
	return report.hosts.length ? h('table', { 'class': 'table diswall-table' },
		heads([ _('Address'), _('Packets looked at'), _('Days'), _('Last'), _('Country'), _('Banned by') ]),
		report.hosts.map(host => h('tr', { 'class': 'tr' },
			cell(_('Address'), h('a', { 'class': 'diswall-link', 'href': L.url('admin/services/diswall/overview') + '?address=' + encodeURIComponent(host.address) }, host.address)),
			cell(_('Packets looked at'), text.number(host.packets)),
			cell(_('Days'), text.number(host.days)),
			cell(_('Last'), text.moment(host.last), host.protocol ? ', ' + service(host.protocol, host.port) : ''),
			cell(_('Country'), host.place || '–'),
			cell(_('Banned by'), host.sources.length ? host.sources.map(source => [ text.sourceBadge(source), ' ' ]) : _('nobody now'),
				host.reason.kind ? h('div', {}, text.reason(host.reason)) : '')))) : note(_('Nobody yet. Who comes again and again although banned stands here.'));
}

function share(part, whole) {
	return whole ? _('%s of %s').format(text.number(part), text.number(whole)) : '–';
}

function adds(report) {
	const sources = report.sources.filter(source => source.compared > 0);

	return sources.length ? [
		h('table', { 'class': 'table diswall-table' }, heads([ _('Source'), _('Entries nobody else has'), _('Dropped by nobody else') ]),
			sources.map(source => h('tr', { 'class': 'tr' },
				cell(_('Source'), titleOf(source)),
				cell(_('Entries nobody else has'), share(source.only, source.compared)),
				cell(_('Dropped by nobody else'), share(source.alone, source.looked))))),
		note([ _('Entries that no other source has now, and packets looked at that none of the others would have dropped. A source with hardly any of both can be switched off.'),
			sources.some(source => source.compared < source.entries) ? ' ' + _('Of long lists a part was compared, evenly spread.') : '' ])
	] : note(_('No source has anything yet.'));
}

function allowed(report) {
	return report.allowed.length ? [
		h('table', { 'class': 'table diswall-table' }, heads([ _('Address'), _('Allowed by'), _('Banned by'), _('Comment') ]),
			report.allowed.map(each => h('tr', { 'class': 'tr' },
				cell(_('Address'), each.address), cell(_('Allowed by'), text.pick(ORIGINS, each.origin, () => each.origin)()),
				cell(_('Banned by'), each.sources.map(source => [ text.sourceBadge(source), ' ' ])), cell(_('Comment'), each.comment || '–')))),
		note(_('How many packets these sent is not counted. Shown: %s of %s.').format(text.number(report.allowed.length), text.number(report.allowed_total)))
	] : note(_('Nothing that is allowed is on a list or banned.'));
}

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load: () => api.report({ days: 7 }),

	render: function(report) {
		text.style();
		this.days = 7;
		this.place = h('div', { 'aria-live': 'polite' });
		window.addEventListener('resize', () => this.show(this.report));
		/* The width is known only once the page is in the document. */
		requestAnimationFrame(() => this.show(report));
		this.show(report);

		return h('div', { 'class': 'diswall' },
			h('h2', {}, _('Report')),
			h('div', { 'class': 'diswall-choices' },
				h('span', { 'role': 'radiogroup', 'aria-label': _('How far back') }, [ 1, 7, 14 ].map(days => h('label', { 'class': 'diswall-choice' },
					h('input', {
						'type': 'radio', 'name': 'diswall-days', 'value': String(days), 'checked': days == this.days ? '' : null,
						'change': () => this.ask(days)
					}), ' ', days == 1 ? _('Today') : N_(days, '%s day', '%s days').format(text.number(days))))),
				h('a', { 'class': 'btn cbi-button cbi-button-action', 'href': L.url('admin/services/diswall/settings') + '?tab=report' }, _('Send it by mail…'))),
			this.place);
	},

	/* The answer to the last question alone is shown. */
	ask: function(days) {
		this.days = days;
		return text.waiting(this.place, api.report({ days: days })).then(report => days == this.days ? this.show(report) : null);
	},

	show: function(report) {
		this.report = report;

		if (report.failed)
			return text.fill(this.place, text.failure(report.failed));

		/* Lists have the colours that they have on the overview. */
		report.sources.forEach(source => text.sourceClass(source.name));

		const width = Math.max(240, (this.place.clientWidth || 720) - 24);
		const half = width > 640 ? Math.floor(width / 2) - 24 : width;
		const open = this.place.querySelector('details[open]') !== null;

		text.fill(this.place,
			summary(report).filter(words => words).map(words => h('p', {}, words)),
			section(_('By day and hour'), report.by_day.length ? graph.field(report.by_day, _('Dropped packets'), width) : note(_('Nothing was dropped.'))),
			h('div', { 'class': 'diswall-pair' },
				section(_('By country'), byPlace(report, half)),
				section(_('By port'), byPort(report, half))),
			section(_('By source'), bySource(report, width)),
			section(_('The ten most stubborn'), stubborn(report)),
			section(_('What each source adds'), adds(report)),
			section(_('Allowed although banned'), allowed(report)));

		if (open)
			this.place.querySelector('details').open = true;
	}
});
