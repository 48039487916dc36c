'use strict';
'require view';
'require fs';
'require poll';
'require diswall.api as api';
'require diswall.file as file';
'require diswall.text as text';

/*
 * diswall's lines of the system log: bans first, then the rest, each newest first, what repeats folded into
 * one row with a count, a page at a time. A line may quote strangers: it is shown as text.
 */

const h = text.h;
const PAGE = 50;
const LEVELS = [ 'err', 'warn', 'notice', 'info', 'debug' ];
const LEVEL_NAMES = new Map([
	[ 'err', () => _('error') ], [ 'warn', () => _('warning') ], [ 'notice', () => _('notice') ], [ 'info', () => _('information') ], [ 'debug', () => _('detail') ]
]);
const KINDS = new Map([ [ 'emerg', 'bad' ], [ 'alert', 'bad' ], [ 'crit', 'bad' ], [ 'err', 'bad' ], [ 'warn', 'warn' ] ]);

/* "Sat Nov 21 20:20:46 2026 daemon.info diswall[1234]: text" → its parts, or null for other programs' lines. */
function parse(line) {
	const match = line.match(/^(\S+ +\S+ +\S+ +\S+ +\d{4}) \S+\.(\S+) diswall(?:\[\d+\])?: (.*)$/);

	return match ? { time: match[1], level: match[2], text: match[3] } : null;
}

/* A row for each different line, newest first, with how often it came and since when. Seconds make no line another. */
function folded(lines) {
	const rows = new Map();

	for (const line of lines) {
		const key = line.level + ' ' + line.text.replace(/\b\d+ s\b/g, '');
		const row = rows.get(key);

		if (row)
			Object.assign(row, { times: row.times + 1, first: line.time });
		else
			rows.set(key, Object.assign({ times: 1, first: line.time }, line));
	}

	return [ ...rows.values() ];
}

const isBan = line => /\bbanned\b/.test(line.text) || /^block: /.test(line.text);

function read() {
	return fs.exec_direct('/sbin/logread', [ '-l', '1000', '-e', 'diswall' ]).then(
		output => ({ lines: String(output || '').split('\n').map(parse).filter(line => line).reverse() }),
		error => api.isOver(error).then(over => {
			if (over)
				file.sayOver();

			return { failed: over ? _('This session is over. Log in again to go on.')
				: /\b403\b|[Ff]orbidden|[Dd]enied/.test(error.message)
					? _('This login has no right to do that.') : String(error.message || error).split('\n')[0] };
		}));
}

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load: read,

	render: function(log) {
		text.style();

		this.offset = 0;
		this.filter = h('input', {
			'class': 'cbi-input-text', 'type': 'text', 'id': 'diswall-words', 'placeholder': '203.0.113.9, scan, …', 'input': () => this.turn(0)
		});
		this.level = h('select', { 'class': 'cbi-input-select', 'id': 'diswall-level', 'change': () => this.turn(0) },
			h('option', { 'value': 'debug' }, _('everything')),
			h('option', { 'value': 'info' }, _('no details')),
			h('option', { 'value': 'warn' }, _('warnings and errors')),
			h('option', { 'value': 'err' }, _('errors alone')));
		this.place = h('div', { 'class': 'diswall-results' });
		this.log = log;
		this.show();

		poll.add(() => read().then(fresh => {
			this.log = fresh;
			this.show();
		}), 10);

		return h('div', { 'class': 'diswall' },
			h('h2', {}, _('Log')),
			h('div', { 'class': 'cbi-map-descr' }, _('What diswall wrote into the system log: bans first, the newest on top. A restart of the router empties it.')),
			h('div', { 'class': 'diswall-filter' },
				h('label', { 'for': 'diswall-words' }, _('Only lines with')), this.filter,
				h('label', { 'for': 'diswall-level' }, _('Shown')), this.level),
			this.place);
	},

	turn: function(offset) {
		this.offset = offset;
		this.show();
	},

	show: function() {
		if (this.log.failed)
			return text.fill(this.place, h('p', { 'class': 'diswall-problem diswall-bad' },
				_('The log could not be read: %s').format(this.log.failed)));

		const wanted = this.filter.value.trim().toLowerCase();
		const worst = LEVELS.indexOf(this.level.value);
		const rank = line => Math.max(0, LEVELS.indexOf(line.level));
		const rows = folded(this.log.lines.filter(line => rank(line) <= worst && line.text.toLowerCase().includes(wanted)));
		const ordered = rows.filter(isBan).concat(rows.filter(row => !isBan(row)));

		this.offset = Math.min(this.offset, Math.max(0, Math.floor((ordered.length - 1) / PAGE) * PAGE));

		const shown = ordered.slice(this.offset, this.offset + PAGE);
		const bans = shown.filter(isBan), others = shown.filter(row => !isBan(row));

		text.fill(this.place, shown.length
			? [ this.renderRows(_('Bans'), bans), this.renderRows(_('Everything else'), others), this.renderPager(ordered.length) ]
			: h('p', {}, this.log.lines.length ? _('No line matches.') : _('diswall has not logged anything yet. Bans stand here, and what goes wrong.')));
	},

	renderRows: function(title, rows) {
		return rows.length ? h('div', {}, h('h3', {}, title),
			h('table', { 'class': 'table diswall-table diswall-log' }, rows.map(row => h('tr', { 'class': 'tr' },
				h('td', { 'class': 'td diswall-time' }, row.time),
				h('td', { 'class': 'td' }, h('span', {
					'class': 'diswall-pill diswall-' + text.pick(KINDS, row.level, 'off')
				}, text.pick(LEVEL_NAMES, row.level, () => row.level)())),
				h('td', { 'class': 'td' }, row.text, row.times > 1 ? h('div', { 'class': 'diswall-note' },
					N_(row.times, '%s time since %s', '%s times since %s').format(text.number(row.times), row.first)) : ''))))) : '';
	},

	renderPager: function(count) {
		if (count <= PAGE)
			return '';

		const go = (label, sign, offset) => h('button', {
			'class': 'btn cbi-button cbi-button-neutral', 'type': 'button', 'aria-label': label, 'title': label,
			'disabled': offset < 0 || offset >= count ? '' : null, 'click': () => this.turn(offset)
		}, sign);

		return h('nav', { 'class': 'diswall-pager', 'aria-label': _('Pages') },
			go(_('Previous page'), '‹', this.offset - PAGE), ' ',
			h('span', {}, _('%s to %s of %s').format(text.number(this.offset + 1),
				text.number(Math.min(count, this.offset + PAGE)), text.number(count))), ' ',
			go(_('Next page'), '›', this.offset + PAGE));
	}
});
