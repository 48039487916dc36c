'use strict';
'require view';
'require form';
'require diswall.file as file';
'require diswall.grid as grid';
'require diswall.text as text';
'require diswall.trial as trial';
'require diswall.values as values';

/*
 * What the owner adds: blocks of addresses and networks, whole or only some protocol and ports, and
 * patterns of failed log-ins in the log.
 */

const PROTOCOLS = new Map([ [ 'tcp', () => 'TCP' ], [ 'udp', () => 'UDP' ], [ 'icmp', () => 'ICMP' ] ]);
const ACTIONS = new Map([ [ 'drop', () => _('drop silently') ], [ 'reject', () => _('reject') ] ]);

function logPatterns(map) {
	const section = map.section(grid.Section, 'logwatch', _('Failed log-ins of other programs'),
		_('diswall knows the log lines of ssh, LuCI, mail, telephony, VPN and common web services. A pattern teaches it those of another program; try it on a line below.'));

	section.anonymous = true;
	section.addremove = true;
	section.nodescriptions = true;
	section.addbtntitle = _('Add pattern');

	let option = section.option(form.Flag, 'enabled', _('Enabled'), _('Off: the lines are not looked at.'));

	option.default = '1';
	option.rmempty = false;
	option.modalonly = true;

	option = section.option(form.Value, 'name', _('Name'), _('What the reason of the ban says.'));
	option.placeholder = 'vpn';
	option.validate = values.watchName;

	option = section.option(form.ListValue, 'preset', _('Service'), _('One whose messages are known, or patterns of your own.'));
	option.value('', _('own patterns'));
	for (const service of values.loginServices)
		option.value(service, service);
	/* What these give is HTML to LuCI, which says "none" where nothing is set. */
	option.textvalue = function(name) {
		return '%h'.format(this.cfgvalue(name) || _('own patterns'));
	};

	option = section.option(form.DynamicList, 'program', _('Programs'), _('Whose lines to look at; none means those of all.'));
	option.placeholder = 'openvpn';
	option.validate = values.program;
	option.textvalue = function(name) {
		return '%h'.format([].concat(this.cfgvalue(name) || _('all programs')).join(', '));
	};

	option = section.option(form.DynamicList, 'pattern', _('Patterns'),
		_('The whole message: &lt;HOST&gt; is the address, &lt;WORD&gt; a word, &lt;NUM&gt; a number, * any text. Write * for what the other side chooses.'));
	option.rmempty = false;
	option.depends('preset', '');
	option.retain = true;
	option.validate = values.pattern;

	option = section.option(form.Value, 'attempts', _('Failures'), _('So many of an address within the time below are too many.'));
	option.placeholder = '5';
	option.validate = values.number(1, 100);
	option.modalonly = true;

	option = section.option(form.Value, 'window', _('Within'), _('The time in which failures are counted.'));
	option.placeholder = '10m';
	option.validate = values.duration;
	option.modalonly = true;

	option = section.option(form.Value, 'source', _('Log'), _('"auto" for the system log, or the path of a file.'));
	option.placeholder = 'auto';
	option.validate = values.logSource;
	option.modalonly = true;
}

return view.extend({
	load: file.load,

	render: function(state) {
		text.style();
		text.nameFields();

		const map = new form.Map('diswall', _('Own blocks'),
			_('Addresses and networks that you block yourself, until you take the block away.'));

		file.guard(this, map, state);

		const section = map.section(grid.Section, 'block');

		section.anonymous = true;
		section.addremove = true;
		section.nodescriptions = true;
		section.addbtntitle = _('Add');
		section.introduction = _('You block nobody yourself yet. Put here an address or a whole network that shall never get in. What feeds, lists and this router ban needs nothing here.');

		let option = section.option(form.Value, 'ip', _('Address or network'), _('What to block, of either family, or the full name of a host.'));

		option.rmempty = false;
		option.placeholder = '203.0.113.0/24';
		/* In the dialog the option belongs to a section of the dialog's own. */
		option.validate = function(name, value) {
			const chosen = option => this.section.formvalue(name, option);

			if (values.isEverything(value) && chosen('force') != '1')
				return _('That would block every address of its family');

			if (values.isName(value.trim()) && (chosen('proto') || chosen('action') || chosen('log') == '1'))
				return _('A host is blocked by its name as a whole: any protocol, the action of the settings, no log of its own');

			return values.netOrName(name, value);
		};
		option.write = grid.writeWithoutBlanks;

		option = section.option(form.Value, 'comment', _('Comment'), _('Why, for yourself. What is longer than 120 bytes is cut.'));

		option = section.option(form.ListValue, 'proto', _('Protocol'), _('Only packets of this protocol.'));
		option.value('', _('any'));
		option.value('tcp', 'TCP');
		option.value('udp', 'UDP');
		option.value('icmp', 'ICMP');
		option.optional = true;
		option.textvalue = function(name) {
			return text.pick(PROTOCOLS, this.cfgvalue(name), () => _('any'))();
		};

		option = section.option(form.DynamicList, 'dest_port', _('Destination ports'),
			_('Ports or ranges; none means every port.'));
		option.placeholder = '22';
		option.validate = values.portRange;
		/* What this gives is HTML to LuCI. */
		option.textvalue = function(name) {
			const ports = [].concat(this.cfgvalue(name) || []);

			return ports.length ? '%h'.format(ports.join(', ')) : _('every port');
		};
		option.depends('proto', 'tcp');
		option.depends('proto', 'udp');

		option = section.option(form.ListValue, 'action', _('Action'), _('What happens to the packets.'));
		option.value('', _('as in the settings'));
		option.value('drop', _('drop silently'));
		option.value('reject', _('reject'));
		option.optional = true;
		option.textvalue = function(name) {
			return text.pick(ACTIONS, this.cfgvalue(name), () => _('as in the settings'))();
		};

		option = section.option(form.Flag, 'log', _('Log'), _('Log its packets, whatever the settings say.'));
		option.modalonly = true;

		option = section.option(form.Flag, 'force', _('Even everything'),
			_('Needed to block every address: nothing from outside gets in any more.'));
		option.modalonly = true;

		logPatterns(map);

		return map.render().then(node => text.h('div', { 'class': 'diswall' }, state.notice, node, trial.box()));
	}
});
