'use strict';
'require baseclass';
'require diswall.text as text';

/*
 * A chart of stacked bars, one an hour, a colour a source, as inline SVG made with DOM calls. It can be
 * read without seeing it: the drawing has a summary for a label, and the same figures stand in a table.
 */

const HEIGHT = 200;
const LEFT = 46;
const BOTTOM = 22;
const TOP = 10;

const h = text.h;

function svg(tag, attributes, children) {
	const node = document.createElementNS('http://www.w3.org/2000/svg', tag);

	for (const name in attributes)
		node.setAttribute(name, attributes[name]);

	for (const child of children || [])
		node.appendChild(typeof child == 'string' ? document.createTextNode(child) : child);

	return node;
}

/* A round number that is not far above the value. */
function roundUp(value) {
	const power = Math.pow(10, Math.floor(Math.log10(Math.max(1, value))));
	const step = [ 1, 1.5, 2, 3, 4, 5, 6, 8, 10 ].find(factor => factor * power >= value);

	return step * power;
}

/* history → [{ from, total, parts: [[source, value]…] }], total null for an hour without a record. */
function hours(history, measure) {
	const length = Math.min(168, Math.max(0, ...history.sources.map(source => source[measure].length)));
	const result = [];

	for (let i = 0; i < length; i++) {
		const parts = [];
		let known = false, total = 0;

		for (const source of history.sources) {
			const value = source[measure][source[measure].length - length + i];

			if (!Number.isFinite(value) || value < 0)
				continue;

			known = true;
			total += value;

			if (value > 0)
				parts.push([ source.name, value ]);
		}

		result.push({ from: history.end - (length - i) * history.step, total: known ? total : null, parts: parts });
	}

	return result;
}

function hourName(from, many) {
	return new Intl.DateTimeFormat(text.LANGUAGE, {
		weekday: many ? 'short' : undefined, hour: '2-digit', minute: '2-digit', hourCycle: 'h23'
	}).format(new Date(from * 1000));
}

function describe(bar, many) {
	if (bar.total === null)
		return '%s: %s'.format(hourName(bar.from, many), _('no record'));

	return '%s: %s'.format(hourName(bar.from, many),
		[ text.number(bar.total) ].concat(bar.parts.length > 1
			? '(' + bar.parts.map(part => text.sourceName(part[0]) + ' ' + text.number(part[1])).join(', ') + ')'
			: bar.parts.map(part => '(' + text.sourceName(part[0]) + ')')).join(' '));
}

function axis(top, width) {
	return [ 0, top / 2, top ].flatMap(value => {
		const y = HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top;

		return [
			svg('line', { x1: LEFT, x2: width, y1: y, y2: y, 'class': 'diswall-grid' }),
			svg('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end', 'class': 'diswall-tick' },
				[ value === Math.floor(value)
					? new Intl.NumberFormat(text.LANGUAGE, { notation: 'compact' }).format(value) : '' ])
		];
	});
}

function ticks(bars, step, width) {
	const many = bars.length > 48;
	const every = width < 500 ? 6 : 4;
	const result = [];

	bars.forEach((bar, index) => {
		const date = new Date(bar.from * 1000);
		const due = many ? date.getHours() == 0 : date.getHours() % every == 0;

		if (due && index * step < width - LEFT - 34)
			result.push(svg('text', { x: LEFT + index * step, y: HEIGHT - 6, 'class': 'diswall-tick' }, [
				new Intl.DateTimeFormat(text.LANGUAGE, many
					? { weekday: 'short' }
					: { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(date)
			]));
	});

	return result;
}

function column(bar, index, step, top, many) {
	const scale = (HEIGHT - BOTTOM - TOP) / top;
	const width = Math.max(1, step - (many ? 0.5 : 3));
	const x = LEFT + index * step;
	let y = HEIGHT - BOTTOM;

	const rects = bar.parts.map(part => {
		const height = Math.max(0.75, part[1] * scale);

		y -= height;
		return svg('rect', { x: x, y: y, width: width, height: height, 'class': 'diswall-bar ' + text.sourceClass(part[0]) });
	});

	/* The whole column takes the pointer, so that small hours can be read too. */
	rects.push(svg('rect', {
		x: x, y: TOP, width: step, height: HEIGHT - BOTTOM - TOP,
		'class': bar.total === null ? 'diswall-gap' : 'diswall-hit'
	}, [ svg('title', {}, [ describe(bar, many) ]) ]));

	return svg('g', {}, rects);
}

function table(bars, sources, many) {
	return h('details', { 'class': 'diswall-figures' },
		h('summary', {}, _('The same as a table')),
		h('div', { 'class': 'diswall-scroll', 'tabindex': '0', 'role': 'region', 'aria-label': _('Figures by the hour') },
			h('table', { 'class': 'table' },
				h('tr', { 'class': 'tr table-titles' },
					h('th', { 'class': 'th', 'scope': 'col' }, _('Hour')),
					sources.map(source => h('th', { 'class': 'th', 'scope': 'col' }, text.sourceName(source)))),
				bars.filter(bar => bar.total !== null).reverse().map(bar => h('tr', { 'class': 'tr' },
					h('td', { 'class': 'td', 'data-title': _('Hour') }, hourName(bar.from, many)),
					sources.map(source => h('td', { 'class': 'td', 'data-title': text.sourceName(source) },
						text.number((bar.parts.find(part => part[0] == source) || [ source, 0 ])[1]))))))));
}

/* `history`: the answer of api.history(); `measure`: packets or bans; `title`: what is drawn; `width`: in pixels. */
function draw(history, measure, title, width) {
	const bars = hours(history, measure);
	const sources = history.sources.map(source => source.name);
	const many = bars.length > 48;
	const most = Math.max(1, ...bars.map(bar => bar.total || 0));
	const total = bars.reduce((sum, bar) => sum + (bar.total || 0), 0);
	const peak = bars.find(bar => bar.total === most);
	const top = Math.max(2, roundUp(most));
	const step = (width - LEFT) / Math.max(1, bars.length);

	const summary = total > 0
		? _('%s: %s in all, most in the hour from %s with %s').format(
			title, text.number(total), hourName(peak.from, many), text.number(most))
		: _('%s: none').format(title);

	return h('div', {},
		svg('svg', {
			viewBox: '0 0 %d %d'.format(width, HEIGHT), 'class': 'diswall-chart', role: 'img', 'aria-label': summary
		}, [].concat(axis(top, width), ticks(bars, step, width), bars.map((bar, index) => column(bar, index, step, top, many)))),
		h('p', { 'class': 'diswall-legend' }, sources.map(source => [ text.sourceBadge(source), ' ' ]),
			bars.some(bar => bar.total === null) ? h('span', { 'class': 'diswall-source' },
				h('span', { 'class': 'diswall-dot diswall-uncounted', 'aria-hidden': 'true' }), _('not counted')) : ''),
		total > 0 ? '' : h('p', { 'class': 'diswall-note' },
			_('Nothing in these hours. What comes is drawn here by itself, a bar for each hour.')),
		table(bars, sources, many));
}

return baseclass.extend({
	draw: draw
});
