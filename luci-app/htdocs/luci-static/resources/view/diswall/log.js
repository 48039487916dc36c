'use strict';
'require view';
'require fs';
'require poll';
'require diswall.text as text';

/*
 * diswall's lines of the system log, newest first. A line may quote strangers: it is shown as text.
 */

const h = text.h;
const SHOWN = 500;
const LEVELS = [ 'err', 'warn', 'notice', 'info', 'debug' ];

/* "Sat Nov 21 20:20:46 2026 daemon.info diswall[1234]: text" → its parts, or null for other programs' lines. */
function parse(line) {
	const match = line.match(/^(\S+ +\S+ +\S+ +\S+ +\d{4}) \S+\.(\S+) diswall(?:\[\d+\])?: (.*)$/);

	return match ? { time: match[1], level: match[2], text: match[3] } : null;
}

function read() {
	return fs.exec_direct('/sbin/logread', [ '-l', '1000', '-e', 'diswall' ]).then(
		output => ({ lines: String(output || '').split('\n').map(parse).filter(line => line).reverse() }),
		error => ({ failed: String(error.message || error) }));
}

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load: read,

	render: function(log) {
		text.style();

		this.filter = h('input', {
			'class': 'cbi-input-text', 'type': 'text', 'id': 'diswall-words', 'input': () => this.show()
		});
		this.level = h('select', { 'class': 'cbi-input-select', 'id': 'diswall-level', 'change': () => this.show() },
			h('option', { 'value': 'debug' }, _('everything')),
			h('option', { 'value': 'info' }, _('information')),
			h('option', { 'value': 'warn' }, _('warnings')),
			h('option', { 'value': 'err' }, _('errors')));
		this.place = h('div', { 'class': 'diswall-results' });
		this.log = log;
		this.show();

		poll.add(() => read().then(fresh => {
			this.log = fresh;
			this.show();
		}), 10);

		return h('div', { 'class': 'diswall' },
			h('h2', {}, _('Log')),
			h('div', { 'class': 'diswall-filter' },
				h('label', { 'for': 'diswall-words' }, _('Only lines with')), this.filter,
				h('label', { 'for': 'diswall-level' }, _('from')), this.level),
			this.place);
	},

	show: function() {
		if (this.log.failed)
			return text.fill(this.place, h('p', {}, _('The log could not be read: %s').format(this.log.failed)));

		const wanted = this.filter.value.trim().toLowerCase();
		const worst = LEVELS.indexOf(this.level.value);
		const rank = line => {
			const index = LEVELS.indexOf(line.level);

			return index < 0 ? 0 : index;
		};
		const lines = this.log.lines.filter(line => rank(line) <= worst && line.text.toLowerCase().includes(wanted));

		text.fill(this.place, lines.length
			? h('table', { 'class': 'table diswall-table diswall-log' }, lines.slice(0, SHOWN).map(line => h('tr', { 'class': 'tr' },
				h('td', { 'class': 'td diswall-time' }, line.time),
				h('td', { 'class': 'td' }, h('span', {
					'class': 'diswall-pill diswall-' + ({ err: 'bad', crit: 'bad', warn: 'warn' }[line.level] || 'off')
				}, line.level)),
				h('td', { 'class': 'td' }, line.text))))
			: h('p', {}, this.log.lines.length ? _('No line matches.') : _('diswall has not logged anything yet.')));
	}
});
