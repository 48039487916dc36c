'use strict';
'require baseclass';
'require diswall.text as text';

/*
 * Charts of the report, as inline SVG made with DOM calls: bars with a label each, and a field of hours. Each has a
 * summary for a label; the bars' figures are texts in the drawing, the field's are in a table.
 */

const NS = 'http://www.w3.org/2000/svg';
const ROW = 34;
const CELL = 18;
const LEFT = 64;
const h = text.h;

function svg(tag, attributes, ...children) {
	const node = document.createElementNS(NS, tag);

	for (const name in attributes)
		node.setAttribute(name, attributes[name]);

	for (const child of children.flat())
		node.appendChild(typeof child == 'string' ? document.createTextNode(child) : child);

	return node;
}

/* What fits into so many pixels of a small font. */
function fitting(label, width) {
	const most = Math.max(8, Math.floor(width / 7.5));

	return label.length > most ? label.slice(0, most - 1) + '…' : label;
}

/* `rows`: [{ label, value, figure, tone }]; `title`: what is drawn. */
function bars(rows, title, width) {
	const most = Math.max(1, ...rows.map(row => row.value));
	const summary = rows.length ? _('%s: most is %s with %s').format(title, rows[0].label, rows[0].figure) : title;

	return svg('svg', {
		viewBox: '0 0 %d %d'.format(width, Math.max(1, rows.length) * ROW), 'class': 'diswall-chart', role: 'img', 'aria-label': summary
	}, rows.map((row, index) => {
		const y = index * ROW;

		return svg('g', { 'class': row.tone || '' },
			svg('text', { x: 0, y: y + 13, 'class': 'diswall-tick' }, fitting(row.label, width - 12 - row.figure.length * 8)),
			svg('text', { x: width, y: y + 13, 'text-anchor': 'end', 'class': 'diswall-tick' }, row.figure),
			svg('rect', { x: 0, y: y + 18, width: width, height: 9, rx: 2, 'class': 'diswall-track' }),
			row.value > 0 ? svg('rect', { x: 0, y: y + 18, width: Math.max(2, width * row.value / most), height: 9, rx: 2, 'class': 'diswall-length' }) : [],
			svg('title', {}, '%s: %s'.format(row.label, row.figure)));
	}));
}

/* The hours of the days, by the clock of whoever reads: [{ at, packets }], packets below 0 for what was not counted. */
function hoursOf(days) {
	return days.flatMap(day => day.hours.slice(0, 24).map((packets, hour) => ({ at: day.start + hour * 3600, packets: packets })));
}

function dayName(at) {
	return new Intl.DateTimeFormat(text.LANGUAGE, { weekday: 'short', day: 'numeric' }).format(new Date(at * 1000));
}

function hourName(at) {
	return new Intl.DateTimeFormat(text.LANGUAGE, { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(new Date(at * 1000));
}

/* One row a day of the reader's, one cell an hour, the darker the more. */
function field(days, title, width) {
	const hours = hoursOf(days).filter(hour => hour.packets >= 0);
	const names = [ ...new Set(hours.map(hour => new Date(hour.at * 1000).toDateString())) ];
	const most = Math.max(1, ...hours.map(hour => hour.packets));
	const peak = hours.find(hour => hour.packets == most);
	const step = (width - LEFT) / 24;
	const total = hours.reduce((sum, hour) => sum + hour.packets, 0);
	const first = name => hours.find(hour => new Date(hour.at * 1000).toDateString() == name).at;

	const summary = peak && total > 0
		? _('%s: %s in all, most in the hour from %s with %s').format(title, text.number(total), hourName(peak.at), text.number(most))
		: _('%s: none').format(title);

	return h('div', {},
		svg('svg', {
			viewBox: '0 0 %d %d'.format(width, (names.length + 1) * CELL), 'class': 'diswall-chart', role: 'img', 'aria-label': summary
		},
		[ 0, 6, 12, 18 ].map(hour => svg('text', { x: LEFT + hour * step, y: 12, 'class': 'diswall-tick' }, String(hour).padStart(2, '0'))),
		names.map((name, index) => svg('text', { x: 0, y: (index + 1) * CELL + 13, 'class': 'diswall-tick' }, dayName(first(name)))),
		hours.map(hour => {
			const date = new Date(hour.at * 1000);

			return svg('rect', {
				x: LEFT + date.getHours() * step + 1, y: (names.indexOf(date.toDateString()) + 1) * CELL + 1,
				width: Math.max(2, step - 2), height: CELL - 2, rx: 2, 'class': 'diswall-heat',
				/* Nothing is seen as well: the hour was counted. */
				'fill-opacity': (hour.packets ? 0.2 + 0.8 * Math.sqrt(hour.packets / most) : 0.06).toFixed(2)
			}, svg('title', {}, '%s: %s'.format(hourName(hour.at), text.number(hour.packets))));
		})),
		h('details', { 'class': 'diswall-figures' },
			h('summary', {}, _('The same as a table')),
			h('div', { 'class': 'diswall-scroll', 'tabindex': '0', 'role': 'region', 'aria-label': _('Figures by the hour') },
				h('table', { 'class': 'table' },
					h('tr', { 'class': 'tr table-titles' },
						h('th', { 'class': 'th', 'scope': 'col' }, _('Hour')), h('th', { 'class': 'th', 'scope': 'col' }, title)),
					hours.slice().reverse().map(hour => h('tr', { 'class': 'tr' },
						h('td', { 'class': 'td', 'data-title': _('Hour') }, hourName(hour.at)),
						h('td', { 'class': 'td', 'data-title': title }, text.number(hour.packets))))))));
}

return baseclass.extend({
	bars: bars,
	field: field
});
