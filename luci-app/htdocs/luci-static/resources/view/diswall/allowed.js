'use strict';
'require view';
'require form';
'require fs';
'require ui';
'require uci';
'require diswall.api as api';
'require diswall.check as check';
'require diswall.file as file';
'require diswall.grid as grid';
'require diswall.text as text';
'require diswall.values as values';

/*
 * Allowances: the owner's in UCI, to be edited; those for a time and DisWall's beside them, to be read.
 */

const h = text.h;
const PAGE = 100;

/* The address this browser comes from, by LuCI's own helper, which prints an object. */
function ownAddress() {
	return fs.exec_direct('/usr/libexec/luci-peeraddr')
		.then(answer => String(JSON.parse(answer).remote_addr || '').replace(/^::ffff:(?=[0-9]+[.])/, ''));
}

return view.extend({
	load: function() {
		return Promise.all([
			api.allowances({ origin: 'nats', limit: PAGE }),
			api.allowances({ origin: 'command', limit: PAGE }),
			file.load()
		]);
	},

	render: function(answers) {
		text.style();

		const map = new form.Map('diswall', _('Allowed addresses'),
			_('diswall never blocks these. An allowance opens nothing: the firewall\'s own rules still decide.'));

		file.guard(this, map, answers[2]);

		const section = map.section(grid.Section, 'allow', _('Your allowances'));

		section.anonymous = true;
		section.addremove = true;
		section.nodescriptions = true;
		section.addbtntitle = _('Add');
		section.introduction = _('You allow nobody yet. Put here whom diswall must never lock out: your office, a friend\'s router, a service that is blocked by mistake.');

		let option = section.option(form.Value, 'ip', _('Address or network'), _('What is never blocked, of either family, or the full name of a host.'));

		option.rmempty = false;
		option.placeholder = '198.51.100.7';
		option.validate = values.netOrName;
		option.write = grid.writeWithoutBlanks;

		option = section.option(form.Value, 'comment', _('Comment'), _('Why, for yourself. What is longer than 120 bytes is cut.'));

		this.map = map;

		return map.render().then(node => h('div', { 'class': 'diswall' },
			answers[2].notice, node,
			h('div', { 'class': 'cbi-section-create' }, h('button', {
				'class': 'btn cbi-button cbi-button-add', 'type': 'button', 'disabled': map.readonly ? '' : null,
				'click': ui.createHandlerFn(this, 'allowOwn')
			}, _('Add my own address'))),
			this.timed = h('div', {}, this.renderOthers(_('For a time'), answers[1], !map.readonly)),
			this.renderOthers(_('From DisWall'), answers[0])));
	},

	allowOwn: function() {
		return ownAddress().then(address => {
			if (!values.isNet(address))
				return text.tell(ui, _('The address this browser comes from could not be found out.'), 'warning');

			return api.check({ address: address }).then(result => {
				if (!result.failed && result.verdict == 'protected')
					return text.tell(ui, _('%s needs no allowance: %s').format(address, result.protected), 'info');

				if (uci.sections('diswall', 'allow').some(section => section.ip == address))
					return text.tell(ui, _('%s is on the list already.').format(address), 'info');

				return this.add(address);
			});
		}, error => api.isOver(error).then(over => over ? file.sayOver()
			: text.tell(ui, String(error.message || error).split('\n')[0], 'danger')));
	},

	/* As if it had been typed in: it takes force with Save & Apply. */
	add: function(address) {
		const name = uci.add('diswall', 'allow');

		uci.set('diswall', name, 'ip', address);
		uci.set('diswall', name, 'comment', _('my own address'));

		return this.map.save(null, true).then(() =>
			text.tell(ui, _('%s was added. It takes force with Save & Apply.').format(address), 'info'));
	},

	/* Takes one back that ends by itself, now. */
	takeBack: function(address) {
		return check.act('disallow', { addresses: [ address ] })
			.then(() => api.allowances({ origin: 'command', limit: PAGE }))
			.then(answer => text.fill(this.timed, this.renderOthers(_('For a time'), answer, true)));
	},

	/* `writable`: whether each can be taken back here; absent where nobody can. */
	renderOthers: function(title, answer, writable) {
		const cell = (name, ...content) => h('td', { 'class': 'td', 'data-title': name }, content);

		if (answer.failed || !answer.allowances.length)
			return '';

		return h('div', { 'class': 'cbi-section' },
			h('h3', {}, title),
			h('table', { 'class': 'table diswall-table' },
				h('tr', { 'class': 'tr table-titles' },
					[ _('Address or network'), _('Comment'), _('Ends') ].map(name => h('th', { 'class': 'th', 'scope': 'col' }, name)),
					writable === undefined ? '' : h('th', { 'class': 'th', 'scope': 'col' }, h('span', { 'class': 'diswall-hidden' }, _('Actions')))),
				answer.allowances.map(allowance => h('tr', { 'class': 'tr' },
					cell(_('Address or network'), allowance.address),
					cell(_('Comment'), allowance.comment || '–'),
					cell(_('Ends'), text.end(allowance)),
					writable === undefined ? '' : h('td', { 'class': 'td cbi-section-actions' }, h('div', {}, h('button', {
						'class': 'btn cbi-button cbi-button-remove', 'type': 'button', 'disabled': writable ? null : '',
						'aria-label': '%s: %s'.format(_('Take back'), allowance.address),
						'click': ui.createHandlerFn(this, 'takeBack', allowance.address)
					}, _('Take back'))))))),
			answer.matched > answer.allowances.length
				? h('p', { 'class': 'diswall-note' }, _('and %s more').format(text.number(answer.matched - answer.allowances.length)))
				: '');
	}
});
