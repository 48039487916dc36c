'use strict';
'require view';
'require form';
'require ui';
'require uci';
'require diswall.api as api';
'require diswall.file as file';
'require diswall.text as text';
'require diswall.values as values';

/*
 * Every option of /etc/config/diswall but the lists of addresses, which have pages of their own.
 * One form of seven tabs; an option says which of diswall's sections it belongs to.
 */

const h = text.h;
const TYPES = { main: 'diswall', dynfw: 'dynfw', nats: 'nats', crowdsec: 'crowdsec', abuseipdb: 'abuseipdb', scan: 'scan', login: 'login' };
const KINDS = new Map([ [ 'info', 'good' ], [ 'warning', 'warn' ], [ 'danger', 'bad' ] ]);
const PATIENCE = 20;
/* The tabs that an address may open: ?tab=NAME. */
const TABS = [ 'general', 'dynfw', 'nats', 'crowdsec', 'abuseipdb', 'detection', 'firewall', 'report', 'advanced' ];

/* Makes options of one tab that belong to one section; writes make the section if the file lacks it. */
function optionsOf(section, tab, name) {
	return (widget, option, title, description, settings) => {
		const made = section.taboption(tab, widget, '_%s_%s'.format(name, option), title, description);
		const write = made.write;

		made.ucisection = name;
		made.ucioption = option;
		made.write = function() {
			if (!uci.get('diswall', name))
				uci.add('diswall', TYPES[name], name);

			return write.apply(this, arguments);
		};

		for (const key in settings || {})
			if (key != 'values')
				made[key] = settings[key];

		for (const value of (settings && settings.values) || [])
			made.value(value[0], value[1]);

		return made;
	};
}

function note(section, tab, name, content) {
	const made = section.taboption(tab, form.DummyValue, name);

	made.render = () => h('div', { 'class': 'cbi-value diswall-note' }, content);
}

const YES = { default: '1', rmempty: false };
const NO = { default: '0', rmempty: false };

function general(section) {
	const option = optionsOf(section, 'general', 'main');

	option(form.Flag, 'enabled', _('Enabled'), _('Off: diswall blocks nothing and its rules leave the firewall.'), YES);
	option(form.Flag, 'local_only', _('Without feeds'),
		_('A feed is a server, or a list on the web, that tells this router whom to block. With this none is asked; what this router sees itself, lists out of files, own blocks and allowances go on.'), NO);
	option(form.ListValue, 'log_level', _('Log level'), _('How much diswall writes to the system log.'), {
		default: 'info',
		values: [ [ 'error', _('errors') ], [ 'warn', _('warnings') ], [ 'info', _('information') ],
			[ 'debug', _('debugging') ], [ 'trace', _('everything') ] ]
	});
	option(form.Value, 'max_entries', _('Most bans'),
		_('Of all feeds together. What is above is cut, and a warning says so. "auto" is what a quarter of this router\'s memory has room for.'),
		{ placeholder: 'auto', validate: values.orWord('auto', values.number(1, 4194304)) });
	option(form.Value, 'state_dir', _('State directory'),
		_('Where bans are kept over a restart. The default is in memory: after a reboot the lists come anew; what you blocked or allowed for a time is on flash all the same. A directory on flash, such as /etc/diswall/kept or a new /srv/diswall, keeps all of it and is written at most every 12 hours. When this is changed, what is kept goes along.'),
		{ placeholder: '/var/lib/diswall', validate: values.path });
}

function dynfw(section) {
	const option = optionsOf(section, 'dynfw', 'dynfw');

	note(section, 'dynfw', '_dynfw_note', [
		h('p', {}, _('Turris DynFW is a list of attackers, gathered by CZ.NIC from routers and honeypots and kept up to the second. The router receives it and sends nothing.')),
		h('p', {}, _('The data are licensed CC BY-NC-SA 4.0: free for non-commercial use, with CZ.NIC named as the author.'))
	]);
	option(form.Flag, 'enabled', _('Enabled'), _('Block what Turris DynFW lists.'), YES);
	option(form.Value, 'server', _('Server'), _('Host name or address.'),
		{ placeholder: 'sentinel.turris.cz', validate: values.server });
	option(form.Value, 'port', _('Port'), _('TCP port of the server.'), { placeholder: '7087', validate: values.port });
	option(form.Value, 'server_key', _('Server key'),
		_('By this key the router knows the true server, and encrypts what they say (CURVE). Empty for Turris\' own; "none" for a relay of your own without encryption.'),
		{ placeholder: 'D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTikU*', validate: values.serverKey });
	option(form.Value, 'key_url', _('Key address'),
		_('Where a changed key is published. It is asked only when the server has refused the key for 10 minutes; "none" for never.'),
		{ placeholder: 'https://repo.turris.cz/sentinel/dynfw.pub', validate: values.https });
	option(form.Value, 'max_age', _('Keep for'),
		_('Without contact for longer, the bans of this feed lapse.'), { placeholder: '24h', validate: values.duration });
	option(form.Flag, 'events', _('Follow events'),
		_('Also receive what Turris\' sensors see of the attackers, for `diswall watch` on the command line. It costs some traffic.'), NO);
}

function nats(section) {
	const option = optionsOf(section, 'nats', 'nats');

	note(section, 'nats', '_nats_note', [
		h('p', {}, _('DisWall is a list of attackers shared by its users. With the account "default" the router receives long bans only and needs no registration.')),
		h('p', {}, _('The server learns the router\'s address, account and host name. Nothing else is sent unless it is switched on below.'))
	]);
	option(form.Flag, 'enabled', _('Enabled'), _('Block what DisWall lists.'), YES);
	option(form.DynamicList, 'server', _('Servers'), _('Host name or address: DisWall\'s server, or those of a hub of your own, which shares bans among your routers. Several are tried in turn.'),
		{ placeholder: 'diswall.stream', validate: values.server });
	option(form.Value, 'port', _('Port'), _('TCP port of the server.'), { placeholder: '4222', validate: values.port });
	option(form.Value, 'client_name', _('Account'), _('Your login at DisWall, or "default".'),
		{ placeholder: 'default', validate: values.clientName });
	option(form.Value, 'client_pass', _('Password'), _('The account\'s password. Without encryption it can be read on its way.'),
		{ placeholder: 'default', password: true, validate: values.clientPass });
	option(form.Value, 'nkey_file', _('File with the login\'s key'),
		_('Only at a server of your own, in place of the password: the path of a file with the secret key (NKEY), a line that begins with SU. The key itself never leaves this router.'),
		{ optional: true, validate: values.path });
	option(form.Value, 'hostname', _('Host name'),
		_('What the server calls this router. By default its host name; with the account "default" only "openwrt".'),
		{ optional: true, validate: values.hostPart });
	option(form.Flag, 'tls', _('Encrypt'), _('Encrypts the connection (TLS). DisWall\'s public server does not offer it.'), NO);
	option(form.Value, 'ca_file', _('Accepted authorities'), _('The path of a file with the certificates that are trusted (PEM); empty for the router\'s own.'),
		{ optional: true, validate: values.path }).depends('_nats_tls', '1');
	option(form.Flag, 'share_bans', _('Share bans'),
		_('Sends to DisWall, and so to its users, which addresses this router bans and why. Never what came from a feed.'), NO);
	option(form.Flag, 'send_statistics', _('Send statistics'),
		_('Sends to DisWall, every hour, how many addresses were banned and how many packets and bytes were dropped and accepted.'), NO);
	option(form.Value, 'quorum', _('Others that must agree'),
		_('While a hub of your own is away: so many other logins must report an address before it is banned. 0: nothing is taken from them.'),
		{ placeholder: '2', validate: values.quorum });
	option(form.Flag, 'refresh', _('Begin anew with every packet'),
		_('The time of a ban starts again whenever the banned address tries something.'), NO);
}

function crowdsec(section) {
	const option = optionsOf(section, 'crowdsec', 'crowdsec');

	note(section, 'crowdsec', '_crowdsec_note', [
		h('p', {}, _('CrowdSec is a program for servers that finds attackers in their logs. If you run it, on another machine or on this router, diswall can block whom it bans. Each router needs a key of its own: `cscli bouncers add NAME`, where CrowdSec runs, makes one.'))
	]);
	option(form.Flag, 'enabled', _('Enabled'), _('Block whom CrowdSec bans.'), NO);
	option(form.Value, 'url', _('Address'),
		_('Where CrowdSec answers, its "local API". Over https:// the router\'s curl or wget is started for each question.'),
		{ placeholder: 'http://127.0.0.1:8080/', validate: values.localApi });
	option(form.Value, 'api_key', _('Key'), _('What `cscli bouncers add` says.'), { optional: true, password: true, validate: values.apiKey });
	option(form.Value, 'api_key_file', _('File with the key'), _('In place of the key: it stands in the first line.'),
		{ optional: true, validate: values.path });
	option(form.Value, 'cert', _('Certificate'), _('In place of a key, over https://: a PEM file.'), { optional: true, validate: values.path });
	option(form.Value, 'key', _('The certificate\'s key'), _('A PEM file.'), { optional: true, validate: values.path });
	option(form.Value, 'interval', _('Time between two questions'), _('From 2s to 1h: in seconds (s), minutes (m) or hours (h).'), { placeholder: '10s', validate: values.pollInterval });
	option(form.DynamicList, 'scopes', _('About'), _('Whether single addresses or whole networks are taken. Empty: both.'),
		{ optional: true, validate: values.decisionScope, values: [ [ 'ip', _('Addresses') ], [ 'range', _('Networks') ] ] });
	option(form.DynamicList, 'origins', _('Origins'), _('Only bans that come from here: crowdsec (its own), cscli (by hand), CAPI (its community), lists. Empty: all.'),
		{ optional: true, validate: values.word });
	option(form.DynamicList, 'scenarios_containing', _('Scenarios with'), _('A scenario is the rule by which CrowdSec bans, such as ssh-bf. Only bans by one whose name has one of these words are taken. Empty: all.'),
		{ optional: true, validate: values.word });
	option(form.DynamicList, 'scenarios_not_containing', _('Scenarios without'), _('No ban by a scenario whose name has one of these words is taken.'),
		{ optional: true, validate: values.word });
	option(form.Flag, 'dedup', _('Only the longest ban'),
		_('Of several about the same address. Without it a shorter one is in force again when the longer one is taken back; that costs memory.'), YES);
	option(form.Flag, 'usage_metrics', _('Report back'),
		_('Tells CrowdSec every half an hour how much was dropped and how many of its bans are in force, where it wants to know. No address is sent.'), YES);
	option(form.DynamicList, 'types', _('Block for'), _('CrowdSec can also want somebody to solve a riddle first (captcha); who has to can be blocked as well.'),
		{ optional: true, validate: values.decisionType, values: [ [ 'ban', _('Bans') ], [ 'captcha', _('Riddles (captcha)') ] ] });
}

function abuseipdb(section) {
	const option = optionsOf(section, 'abuseipdb', 'abuseipdb');

	note(section, 'abuseipdb', '_abuseipdb_note', [
		h('p', {}, _('AbuseIPDB is a public register of attackers on the web. It is told whom this router bans for failed log-ins over TCP: address, time, service and categories. No user name and nothing of this router is sent. Scans are not reported: their sender may be forged.'))
	]);
	option(form.Flag, 'enabled', _('Enabled'), _('Report who fails to log in.'), NO);
	option(form.Value, 'key', _('Key'), _('Of your account at AbuseIPDB.'), { optional: true, password: true, validate: values.apiKey });
	option(form.Value, 'key_file', _('File with the key'), _('In place of the key: it stands in the first line.'),
		{ optional: true, validate: values.path });
	option(form.Value, 'daily_limit', _('Most reports a day'), _('What a free account may send is 1000.'),
		{ placeholder: '1000', validate: values.dailyLimit });
	option(form.DynamicList, 'categories', _('Categories'),
		_('AbuseIPDB\'s numbers for kinds of attack, where others than the usual are wanted, or for a log of your own: SERVICE:18,22.'),
		{ optional: true, placeholder: 'ssh:18,22', validate: values.reportCategories });
}

function detection(section) {
	const option = optionsOf(section, 'detection', 'scan');

	option(form.Flag, 'enabled', _('Watch closed ports'),
		_('Ban who touches a port that nobody serves. It needs no feed.'), YES);
	option(form.DynamicList, 'honeypot_port', _('Ban at the first packet to'),
		_('Ports or ranges that no honest stranger knocks at. Empty for the default list: ports up to 1024 and those of databases and remote desktops.'),
		{ optional: true, placeholder: '3389', validate: values.portRange });
	option(form.DynamicList, 'ban_time', _('Length of bans'),
		_('The first, the second, and so on; the last holds from then on. Empty: 15 minutes, 30 minutes, an hour, then hours, then days.'),
		{ optional: true, placeholder: '15m', validate: values.duration });
	option(form.Value, 'forget_after', _('Forget after'),
		_('After so long without a ban, an address begins anew with the shortest.'),
		{ placeholder: '30d', validate: values.duration });
	option(form.Flag, 'refresh', _('Begin anew with every packet'),
		_('The time of a ban starts again whenever the banned address tries something.'), NO);
	option(form.ListValue, 'ipv6_prefix', _('IPv6 bans'), _('A subscriber often has a whole network to scan from.'), {
		default: '128', values: [ [ '128', _('the address alone') ], [ '64', _('the whole /64 network') ] ]
	});

	const login = optionsOf(section, 'detection', 'login');

	login(form.Flag, 'enabled', _('Watch failed log-ins'),
		_('Ban who fails to log in too often, as the system log tells. Patterns of your own are on the page "Own blocks".'), YES);
	login(form.DynamicList, 'service', _('Services'), _('Empty for ssh, luci, smtp, imap, sip and ftp. Also: %s').format(values.loginServices.slice(6).join(', ')),
		{ optional: true, placeholder: 'ssh', validate: values.loginService });
	login(form.Value, 'attempts', _('Failures'), _('So many of an address within the time below are too many.'),
		{ placeholder: '5', validate: values.number(1, 100) });
	login(form.Value, 'window', _('Within'), _('The time in which failures are counted.'),
		{ placeholder: '10m', validate: values.duration });
	login(form.Value, 'source', _('Log'), _('"auto" for the system log, or the path of a file.'),
		{ placeholder: 'auto', validate: values.logSource });
	login(form.ListValue, 'proof', _('Proof'),
		_('A failure counts only if the kernel saw a connection from there. Without proof, whoever can write into a log can have any address banned.'), {
			default: 'auto', values: [ [ 'auto', _('for this machine\'s services') ], [ 'always', _('always') ], [ 'never', _('never') ] ]
		});
}

function firewall(section) {
	const option = optionsOf(section, 'firewall', 'main');

	option(form.DynamicList, 'zone', _('Guarded zones'), _('Zones of the firewall whose incoming packets are checked.'),
		{ placeholder: 'wan', validate: values.zone });
	option(form.ListValue, 'action', _('Blocked packets'), _('What happens to them.'), {
		default: 'drop', values: [ [ 'drop', _('drop silently') ], [ 'reject', _('reject') ] ]
	});
	option(form.ListValue, 'states', _('Checked packets'),
		_('To look only at those that open a connection costs running traffic nothing; a ban ends connections anyway, as set below.'), {
			default: 'new', values: [ [ 'new', _('those that open a connection') ], [ 'all', _('every packet') ] ]
		});
	option(form.ListValue, 'direction', _('Direction'), _('Whether the hosts at home may still call a banned address.'), {
		default: 'src',
		values: [ [ 'src', _('from banned addresses') ], [ 'src-dst', _('from and to banned addresses') ] ]
	});
	option(form.Flag, 'disconnect', _('Disconnect'), _('A ban also ends the connections the address has.'), YES);
	option(form.Flag, 'log_drops', _('Log blocked packets'), _('To the kernel\'s log, at most five a second.'), NO);
}

function report(section) {
	const option = optionsOf(section, 'report', 'main');

	option(form.Flag, 'report', _('Look at dropped packets'),
		_('A few a second, so that the report knows ports, countries and senders. Nothing of it leaves the router.'), YES);
	option(form.Value, 'report_mail', _('Send to'),
		_('A mail address that gets the report every week, through msmtp or sendmail, whichever is installed. Empty: nobody gets it.'),
		{ placeholder: 'owner@example.org', validate: values.mailAddress });
	option(form.ListValue, 'report_day', _('Day of the week'), _('On which the report is sent.'), {
		default: 'mon',
		values: [ [ 'mon', _('Monday') ], [ 'tue', _('Tuesday') ], [ 'wed', _('Wednesday') ], [ 'thu', _('Thursday') ],
			[ 'fri', _('Friday') ], [ 'sat', _('Saturday') ], [ 'sun', _('Sunday') ] ]
	});
	option(form.Value, 'report_hour', _('From hour'),
		_('The full hour of the router\'s clock. What cannot be sent is tried again each hour of that day.'),
		{ placeholder: '6', validate: values.number(0, 23) });
}

/* What hardly anybody has to change. */
function advanced(section) {
	const option = optionsOf(section, 'advanced', 'main');

	note(section, 'advanced', '_advanced_note', h('p', {}, _('What hardly anybody has to change.')));

	option(form.Value, 'control', _('Control socket'), _('Where the command line and these pages reach the daemon.'),
		{ placeholder: '/var/run/diswall/control.sock', validate: values.socketPath });
	option(form.Value, 'table', _('nftables table'), _('The firewall\'s table that has the sets of blocked addresses, of family inet.'),
		{ placeholder: 'fw4', validate: values.nftName });
	option(form.Value, 'set_prefix', _('Prefix of the sets'), _('What the names of the sets begin with.'),
		{ placeholder: 'diswall', validate: values.nftName });
	option(form.DynamicList, 'device', _('Devices'),
		_('Only for a machine without this firewall: the devices to guard, by default every one but lo.'),
		{ optional: true, validate: values.device });

	const scan = optionsOf(section, 'advanced', 'scan');

	scan(form.Value, 'nflog_group', _('NFLOG group'),
		_('Number of the channel by which the firewall tells diswall of packets to closed ports. Change it only if another program uses it.'),
		{ placeholder: '1914', validate: values.number(0, 65535) });
	scan(form.Value, 'high_port', _('Doubtful from port'),
		_('From this port on a single packet may be a late one of a forgotten connection.'),
		{ placeholder: '49152', validate: values.port });
	scan(form.Value, 'high_port_packets', _('Packets to a doubtful port'),
		_('So many within an hour are a scan.'), { placeholder: '3', validate: values.number(1, 100) });
}

/* Follows a feed until it took a list after `before`, failed, or patience ends. Resolves to [kind, sentence]. */
function follow(name, before, patience) {
	return api.feeds().then(answer => {
		const feed = answer.failed ? null : answer.feeds.find(candidate => candidate.name == name);

		if (!feed)
			return [ 'danger', answer.failed ? answer.failed.message : _('diswall does not know this feed.') ];

		if (feed.state == 'off')
			return [ 'warning', _('%s is switched off.').format(text.sourceName(name)) ];

		if (feed.state == 'live' && feed.lists > before)
			return [ 'info', N_(feed.entries, '%s answered: %s address.', '%s answered: %s addresses.')
				.format(text.sourceName(name), text.number(feed.entries)) ];

		if ((feed.state == 'waiting' || feed.state == 'partial') && patience < PATIENCE - 2)
			return [ 'danger', feed.error ];

		if (patience <= 0)
			return [ 'warning', _('%s is connected, but has sent no list for %s seconds.').format(text.sourceName(name), PATIENCE) ];

		return new Promise(resolve => setTimeout(resolve, 1000)).then(() => follow(name, before, patience - 1));
	});
}

function test(name, place) {
	text.fill(place, h('em', { 'class': 'spinning' }, _('Asking…')));

	return api.feeds()
		.then(answer => (answer.failed ? 0 : (answer.feeds.find(feed => feed.name == name) || { lists: 0 }).lists))
		.then(before => api.resync({ source: name }).then(answer => answer.failed
			? [ 'danger', answer.failed.message ] : follow(name, before, PATIENCE)))
		.then(outcome => text.fill(place, h('span', {
			'class': 'diswall-outcome diswall-' + text.pick(KINDS, outcome[0], 'warn')
		}, outcome[1])));
}

function testButton(section, tab, name, writable) {
	const made = section.taboption(tab, form.DummyValue, '_test_' + name);

	made.render = () => {
		const place = h('span', { 'role': 'status', 'aria-live': 'polite' });

		return h('div', { 'class': 'cbi-value' },
			h('label', { 'class': 'cbi-value-title' }, _('Connection')),
			h('div', { 'class': 'cbi-value-field' },
				h('button', {
					'class': 'btn cbi-button cbi-button-action', 'type': 'button', 'disabled': writable ? null : '',
					'click': ui.createHandlerFn(this, () => test(name, place))
				}, _('Test connection')), ' ', place,
				h('div', { 'class': 'cbi-value-description' },
					_('With the settings as they were last applied: asks for a fresh list and waits for it.'))));
	};
}

return view.extend({
	load: file.load,

	render: function(state) {
		text.style();
		text.nameFields();

		const map = new form.Map('diswall', _('Settings'));
		const writable = L.hasViewPermission() === true;

		file.guard(this, map, state);

		const section = map.section(form.NamedSection, 'main', 'diswall');

		section.addremove = false;
		section.tab('general', _('General'));
		section.tab('dynfw', 'DynFW');
		section.tab('nats', _('DisWall account'));
		section.tab('crowdsec', 'CrowdSec');
		section.tab('abuseipdb', 'AbuseIPDB');
		section.tab('detection', _('Detection'));
		section.tab('firewall', _('Firewall'));
		section.tab('report', _('Report'));
		section.tab('advanced', _('Advanced'));

		general(section);
		dynfw(section);
		testButton(section, 'dynfw', 'dynfw', writable);
		nats(section);
		testButton(section, 'nats', 'nats', writable);
		crowdsec(section);
		abuseipdb(section);
		detection(section);
		firewall(section);
		report(section);
		advanced(section);

		return map.render().then(node => {
			const wanted = TABS.find(tab => tab == new URLSearchParams(location.search).get('tab'));

			/* Once the page is in the document: only then do the tabs answer. */
			if (wanted)
				requestAnimationFrame(() => document.querySelector('li[data-tab=%s] a'.format(wanted)).click());

			return h('div', { 'class': 'diswall' }, state.notice, node);
		});
	}
});
