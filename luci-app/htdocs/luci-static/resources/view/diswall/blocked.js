'use strict';
'require view';
'require ui';
'require diswall.api as api';
'require diswall.check as check';
'require diswall.text as text';

/*
 * Every banned address, a page at a time: filtering, sorting and paging are the daemon's work, so a
 * page costs the same whether there are a hundred bans or 200,000.
 */

const h = text.h;
const PAGE = 50;
const DOWNLOAD_PAGE = 1000;

const COLUMNS = [
	[ 'address', () => _('Address') ],
	[ 'source', () => _('Banned by') ],
	[ null, () => _('Reason') ],
	[ 'since', () => _('Since') ],
	[ 'until', () => _('Ends') ]
];

/* A CSV field. What a spreadsheet would take for a formula is made text: strangers write reasons. */
function csvField(value) {
	const field = /^[=+@\t\r-]/.test(value) ? "'" + value : value;

	return '"' + field.replace(/"/g, '""') + '"';
}

function csvLine(ban) {
	const iso = at => new Date(at * 1000).toISOString();

	return [
		ban.address, ban.source, ban.reason.kind, ban.reason.text, ban.reason.protocol,
		ban.reason.port ? String(ban.reason.port) : '', iso(ban.since), ban.until === null ? '' : iso(ban.until)
	].map(csvField).join(',');
}

/* A list is long, and stands beside the bans; one that exempts bans nobody. */
function isShownAlone(feed) {
	return feed.name == 'crowdsec' || feed.list && feed.list != 'allow';
}

function save(name, lines) {
	const url = URL.createObjectURL(new Blob([ lines.join('\r\n'), '\r\n' ], { type: 'text/csv' }));
	const link = h('a', { 'href': url, 'download': name });

	document.body.appendChild(link);
	link.click();
	link.remove();
	setTimeout(() => URL.revokeObjectURL(url), 10000);
}

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	load: function() {
		this.query = { sort: 'since', desc: true, offset: 0, limit: PAGE };
		return Promise.all([ api.bans(this.query), api.status() ]);
	},

	render: function(answers) {
		text.style();

		this.writable = L.hasViewPermission() === true;
		this.place = h('div', { 'class': 'diswall-results' });
		this.said = h('p', { 'class': 'diswall-note', 'role': 'status', 'aria-live': 'polite' });
		this.show(answers[0]);

		return h('div', { 'class': 'diswall' },
			h('h2', {}, _('Blocked addresses')),
			h('div', { 'class': 'cbi-map-descr' },
				_('Whom diswall keeps out now, by whose word and why. "Allow" keeps an address free for good; "Unblock" frees it until somebody bans it again.')),
			text.lookOnly(),
			this.renderFilter(answers[1].failed ? [] : answers[1].feeds.filter(isShownAlone).map(feed => feed.name)), this.said, this.place);
	},

	/* `others`: names of lists, whose entries are shown only when one is chosen. */
	renderFilter: function(others) {
		const search = h('input', {
			'class': 'cbi-input-text', 'type': 'text', 'id': 'diswall-search', 'autocomplete': 'off',
			'placeholder': '203.0.113.0/24, ssh, …'
		});

		const source = h('select', { 'class': 'cbi-input-select', 'id': 'diswall-source', 'change': () => submit() },
			h('option', { 'value': '' }, others.length ? _('everybody but lists') : _('everybody')),
			text.SOURCES.concat(others).map(name => h('option', { 'value': name }, text.sourceName(name))));

		const submit = () => this.ask({
			search: search.value.trim() || undefined, source: source.value || undefined, offset: 0
		});

		return h('form', {
			'class': 'diswall-filter',
			'submit': ev => {
				ev.preventDefault();
				return submit();
			}
		},
		h('label', { 'for': 'diswall-search' }, _('Address, network or reason')), search,
		h('label', { 'for': 'diswall-source' }, _('banned by')), source,
		h('button', { 'class': 'btn cbi-button cbi-button-action', 'type': 'submit' }, _('Search')), ' ',
		h('button', {
			'class': 'btn cbi-button cbi-button-neutral', 'type': 'button', 'click': ui.createHandlerFn(this, 'download')
		}, _('Download CSV')));
	},

	ask: function(changes) {
		this.query = Object.assign({}, this.query, changes);

		/* Answers may overtake each other; only the newest question counts. */
		const asked = this.query;

		return text.waiting(this.place, api.bans(asked)).then(answer => {
			if (asked === this.query)
				this.show(answer);
		});
	},

	show: function(answer) {
		if (answer.failed) {
			this.said.textContent = '';
			text.fill(this.place, text.failure(answer.failed));
			return;
		}

		/* Bans ended while we were on the last page: go back to one that exists. */
		if (!answer.bans.length && answer.matched > 0 && answer.offset > 0)
			return this.ask({ offset: Math.floor((answer.matched - 1) / PAGE) * PAGE });

		this.said.textContent = answer.matched == answer.total
			? N_(answer.total, '%s ban', '%s bans').format(text.number(answer.total))
			: _('%s of %s bans').format(text.number(answer.matched), text.number(answer.total));

		text.fill(this.place, answer.bans.length ? [ this.renderTable(answer), this.renderPager(answer) ]
			: h('p', {}, answer.total ? _('No banned address matches.')
				: _('Nobody is banned yet. What feeds know comes by itself, and so does who scans this router or guesses passwords.')));
	},

	renderTable: function(answer) {
		return h('table', { 'class': 'table diswall-table' },
			h('tr', { 'class': 'tr table-titles' },
				COLUMNS.map(column => this.renderHead(column[0], column[1]())),
				h('th', { 'class': 'th', 'scope': 'col' }, h('span', { 'class': 'diswall-hidden' }, _('Actions')))),
			answer.bans.map(ban => this.renderRow(ban, answer.now)));
	},

	renderHead: function(sort, title) {
		if (!sort)
			return h('th', { 'class': 'th', 'scope': 'col' }, title);

		const chosen = this.query.sort == sort;
		const order = chosen ? (this.query.desc ? 'descending' : 'ascending') : 'none';

		return h('th', { 'class': 'th', 'scope': 'col', 'aria-sort': order },
			h('button', {
				'class': 'diswall-link', 'type': 'button',
				'click': () => this.ask({ sort: sort, desc: chosen ? !this.query.desc : sort == 'since', offset: 0 })
					.then(() => {
						const again = this.place.querySelectorAll('th button')[COLUMNS.filter(c => c[0]).findIndex(c => c[0] == sort)];

						if (again)
							again.focus();
					})
			}, title, chosen ? h('span', { 'aria-hidden': 'true' }, this.query.desc ? ' ▾' : ' ▴') : ''));
	},

	renderRow: function(ban, now) {
		const cell = (title, ...content) => h('td', { 'class': 'td', 'data-title': title }, content);
		const button = (label, kind, method) => h('button', {
			'class': 'btn cbi-button cbi-button-' + kind, 'type': 'button', 'disabled': this.writable ? null : '',
			'aria-label': '%s: %s'.format(label, ban.address), 'title': label,
			'click': ui.createHandlerFn(this, () => check.act(method, { addresses: [ ban.address ] }).then(() => this.ask({})))
		}, label);

		return h('tr', { 'class': 'tr' },
			cell(_('Address'), h('button', {
				'class': 'diswall-link', 'type': 'button', 'title': _('Why is this address blocked?'),
				'click': () => this.explain(ban.address)
			}, ban.address), ban.withheld ? h('div', { 'class': 'diswall-note' }, _('Not in force: %s').format(ban.withheld)) : ''),
			cell(_('Banned by'), text.sourceBadge(ban.source)),
			cell(_('Reason'), text.reason(ban.reason)),
			cell(_('Since'), h('span', { 'class': 'diswall-span', 'title': text.moment(ban.since) }, text.ago(now, ban.since))),
			cell(_('Ends'), h('span', { 'class': 'diswall-span', 'title': ban.until === null ? '' : text.moment(ban.until) }, text.end(ban))),
			h('td', { 'class': 'td cbi-section-actions' },
				h('div', {}, button(_('Allow'), 'positive', 'allow'),
					text.isList(ban.source) ? '' : [ ' ', button(_('Unblock'), 'action', 'unblock') ])));
	},

	renderPager: function(answer) {
		const last = Math.floor((answer.matched - 1) / PAGE) * PAGE;
		const go = (label, sign, offset) => h('button', {
			'class': 'btn cbi-button cbi-button-neutral', 'type': 'button', 'aria-label': label, 'title': label,
			'disabled': offset < 0 || offset > last || offset == answer.offset ? '' : null,
			'click': () => this.ask({ offset: offset })
		}, sign);

		return h('nav', { 'class': 'diswall-pager', 'aria-label': _('Pages') },
			go(_('First page'), '«', 0), ' ', go(_('Previous page'), '‹', answer.offset - PAGE), ' ',
			h('span', {}, _('%s to %s of %s').format(text.number(answer.offset + 1),
				text.number(answer.offset + answer.bans.length), text.number(answer.matched))), ' ',
			go(_('Next page'), '›', answer.offset + PAGE), ' ', go(_('Last page'), '»', last));
	},

	explain: function(address) {
		const answer = h('div', { 'role': 'status' }, h('em', { 'class': 'spinning' }, _('Asking…')));

		ui.showModal(_('Why is this address blocked?'), [
			answer,
			h('div', { 'class': 'right' }, h('button', {
				'class': 'btn cbi-button', 'type': 'button', 'click': () => {
					ui.hideModal();
					return this.ask({});
				}
			}, _('Close')))
		]);

		return check.show(answer, address, this.writable);
	},

	/* All bans that pass the filter, the newest first (the order that costs the daemon least), a thousand a request. */
	download: function() {
		const query = Object.assign({}, this.query, { sort: 'since', desc: true, limit: DOWNLOAD_PAGE });
		const lines = [ 'address,source,kind,text,protocol,port,since,until' ];
		const seen = new Set();

		const more = offset => api.bans(Object.assign({}, query, { offset: offset })).then(answer => {
			if (answer.failed)
				return text.tell(ui, answer.failed.message, 'danger');

			/* Bans come and go between the requests: none is written twice. */
			for (const ban of answer.bans) {
				const key = ban.address + ' ' + ban.source;

				if (!seen.has(key))
					lines.push(csvLine(ban));

				seen.add(key);
			}

			this.said.textContent = _('%s of %s bans').format(text.number(seen.size), text.number(answer.matched));

			if (answer.bans.length == DOWNLOAD_PAGE)
				return more(offset + DOWNLOAD_PAGE);

			save('diswall-%s.csv'.format(new Date().toISOString().slice(0, 10)), lines);
		});

		return more(0);
	}
});
