'use strict';

/*
 * Every option that the daemon knows against the pages: each has a field with a help text, and a field takes
 * exactly the values that `diswall config check` takes. The daemon itself says which options there are.
 */

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { world, on } = require('./stage.js');
const { BINARY } = require('./world.js');

const REAL = { skip: !BINARY && 'needs DISWALL' };

/* Type of section → the name of its one section, or null where there may be many. */
const SECTIONS = { diswall: 'main', dynfw: 'dynfw', nats: 'nats', crowdsec: 'crowdsec', abuseipdb: 'abuseipdb', scan: 'scan', login: 'login', logwatch: null, list: null, allow: null, block: null };

/* A type of which each section has a name. */
const NAMED = { list: 'farm' };

/* What a section needs so that the option in question is all that can be wrong. */
const REST = {
	logwatch: { pattern: 'failed for <HOST>' }, list: { url: 'https://lists.example.org/farm.txt' }, allow: { ip: '192.0.2.7' }, block: { ip: '192.0.2.7', proto: 'tcp' }
};

const LISTS = [ 'zone', 'device', 'honeypot_port', 'ban_time', 'service', 'program', 'pattern', 'dest_port', 'scopes', 'origins', 'scenarios_containing', 'scenarios_not_containing', 'types', 'categories', 'country', 'asn', 'country_url', 'asn_url' ];
/* url is a list of config list alone, server of config nats. */
const isList = (type, option) => LISTS.includes(option) || type == 'list' && option == 'url' || type == 'nats' && option == 'server';
const FLAG = 'flag';

const NETS = [ '192.0.2.7', '192.0.2.0/24', '192.0.2.7/24', '192.0.2.7/33', '256.1.1.1', '01.2.3.4', '1.2.3', '1.2.3.4 5', ' 192.0.2.7',
	'2001:db8::7', '2001:db8::/32', '2001:db8::1/32', '::ffff:192.0.2.1', '2001:db8::7%eth0', 'host.example', '192.0.2.0/x',
	'192.0.2.128/25', '192.0.2.7/0', 'host.1', 'HOST.example.', '-host.example',  '192.0.2.64/25', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7', '1::2::3', '2001:db8::/127', '2001:db8::1/127', '0.0.0.0/0', '::/0' ];
const COMMENTS = [ 'office', 'a b', 'é'.repeat(60), 'é'.repeat(61), 'a'.repeat(120), 'a'.repeat(121), '<b>bold</b>' ];
const PORTS = [ '1', '65535', '0', '65536', '70000', '22a', '-1' ];
const RANGES = [ '22', '6000-6010', '6010-6000', '0-5', '1-70000', '5-5', 'ssh', '1-2-3' ];
const DURATIONS = [ '24h', '90', '15m', '1w', '0', '-1h', '1y', '3650d', '3651d', 'h', '99999999999', '1.5h' ];
const PATHS = [ '/var/lib/diswall', 'var/lib', '/a/../b', '/a..b' ];
const SERVERS = [ 'sentinel.turris.cz', '192.0.2.1', '2001:db8::1', '1.2.3', 'a:1', '-x.cz', 'a_b.cz', 'x.cz.', 'a b' ];
const HUNDRED = [ '1', '100', '0', '101', 'five' ];
const NAMES = [ 'diswall', 'fw4', '4fw', '_x', 'x_1', 'a-b', 'a'.repeat(32), 'a'.repeat(33) ];
const LOGS = [ 'auto', '/var/log/auth.log', 'auth.log', '/var/../x' ];

/* Values to try; for a field with a choice, those that it must not offer. */
const VALUES = {
	diswall: {
		enabled: FLAG, local_only: FLAG, log_level: [ 'loud' ], table: NAMES, set_prefix: NAMES,
		zone: [ 'wan', 'wan6', 'wan 6', 'guest-1', '-x', 'a'.repeat(33) ], device: [ 'eth0', 'pppoe-wan', 'eth0.2', 'a'.repeat(16), 'a/b', '..' ],
		action: [ 'accept' ], log_drops: FLAG, states: [ 'established' ], direction: [ 'dst' ], disconnect: FLAG,
		max_entries: [ 'auto', '1', '0', '4194304', '4194305', '-1', 'many', '1.5' ], state_dir: PATHS,
		report: FLAG, report_mail: [ 'root', 'owner@example.org', 'a.b+c@x', '-oQ/tmp', '.a@b', '@b', 'a@', 'a b@c', 'a@b@c', 'a@-b', 'a@b..c', 'a@[192.0.2.1]', 'a,b@c', '<a@b>',
			'a;id@b', '|sh', '/etc/passwd', 'ž@b', 'x'.repeat(64) + '@b', 'x'.repeat(65) + '@b', 'x@' + 'a.'.repeat(94) + 'b', 'x@' + 'a.'.repeat(95) + 'b', 'x@' + 'a'.repeat(63), 'x@' + 'a'.repeat(64) ],
		report_day: [ 'Monday', 'now' ], report_hour: [ '0', '23', '24', '-1', 'six' ],
		control: [ '/run/x.sock', '/' + 'a'.repeat(106), '/' + 'a'.repeat(107), 'x.sock' ]
	},
	dynfw: {
		enabled: FLAG, server: SERVERS, port: PORTS,
		server_key: [ 'D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTikU*', 'none', 'short', 'D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTik~*' ],
		key_url: [ 'https://repo.turris.cz/sentinel/dynfw.pub', 'none', 'http://x.cz/', 'https://', 'https://x.cz:70000/', 'https://x.cz:8443/k',
			'https://[2001:db8::1]/k', 'https://x.cz/a b' ],
		max_age: DURATIONS, events: FLAG
	},
	nats: {
		enabled: FLAG, server: SERVERS, port: PORTS, client_name: [ 'default', 'a.b', 'a b', 'a*', 'a>', 'a'.repeat(64), 'a'.repeat(65), 'ä' ],
		client_pass: [ 'default', 'with blank', 'x'.repeat(256), 'x'.repeat(257) ],
		hostname: [ 'router', 'my.router', 'my router', 'a'.repeat(65) ], tls: FLAG, ca_file: [ '/etc/ssl/ca.pem', 'ca.pem' ],
		nkey_file: PATHS, quorum: [ '0', '2', '16', '17', '-1', '1.5', 'two' ],
		share_bans: FLAG, send_statistics: FLAG, refresh: FLAG
	},
	crowdsec: {
		enabled: FLAG, url: [ 'http://192.168.1.5:8080/', 'https://lapi.example', 'http://[fd00::2]:8080/crowdsec/', 'http://a/?x=1', 'http://a/#x', 'http://me:x@a/',
			'http://a b/', '192.168.1.5:8080', '/etc/passwd', 'file:///x', 'http:///x' ],
		api_key: [ 'it-is+a/key=', 'a key', 'x'.repeat(256), 'x'.repeat(257), 'é' ], api_key_file: PATHS, cert: PATHS, key: PATHS,
		interval: [ '10s', '2', '1s', '1h', '3601', '0', 'x' ], scopes: [ 'ip', 'range', 'country', 'as' ],
		origins: [ 'CAPI', 'a,b', 'a b', 'x'.repeat(128), 'x'.repeat(129) ], scenarios_containing: [ 'crowdsecurity/ssh', 'a,b', 'é' ],
		scenarios_not_containing: [ 'http-', 'a,b' ], dedup: FLAG, usage_metrics: FLAG, types: [ 'ban', 'captcha', 'throttle' ]
	},
	abuseipdb: {
		enabled: FLAG, key: [ 'it-is+a/key=', 'a key', 'x'.repeat(256), 'x'.repeat(257), 'é' ], key_file: PATHS,
		daily_limit: [ '1', '1000', '50000', '50001', '0', '-1', '1.5', 'many' ],
		categories: [ 'ssh:18,22', 'a:b:18', 'scan:14', 'sip:18', 'sip:a:18', 'openvpn:18', 'strongswan:18,15', 'ssh', 'ssh:', ':18', 'ssh:18,', 'ssh:0', 'ssh:x', 'ssh:1818', 'é:18', 'x'.repeat(25) + ':1', 'x'.repeat(26) + ':1',
			'a:1,2,3,4,5,6,7,8', 'a:1,2,3,4,5,6,7,8,9' ]
	},
	scan: {
		enabled: FLAG, nflog_group: [ '0', '1914', '65535', '65536', 'x' ], honeypot_port: RANGES, ban_time: DURATIONS, forget_after: DURATIONS,
		high_port: PORTS, high_port_packets: HUNDRED, ipv6_prefix: [ '56' ], refresh: FLAG
	},
	login: {
		enabled: FLAG, service: [ 'ssh', 'luci', 'smtp', 'imap', 'sip', 'ftp', 'nginx', 'home-assistant', 'telnet' ], attempts: HUNDRED, window: DURATIONS, source: LOGS,
		proof: [ 'maybe' ]
	},
	logwatch: {
		enabled: FLAG, name: [ 'vpn', 'a.b/c', 'a b', 'a'.repeat(25), 'a'.repeat(26) ], preset: [ 'telnet' ], program: [ 'openvpn', 'postfix/smtpd', 'sshd[1]', 'a'.repeat(65) ],
		pattern: [ 'failed for <HOST>', '<HOST>:<NUM> TLS Auth Error: *', '* from <HOST>', 'no host', '<HOST> and <HOST>', '* <HOST> *', '*<HOST> x',
			'from <HOST>*', 'from <HOST>:<NUM>*', 'from <HOST>:<NUM> *', 'from <HOST>:<WORD>', '*:<HOST>', '* :<HOST>', '*a<NUM>:<HOST>',
			'<HOST><WORD> x', '<WORD>x <HOST>', '<WORD>, <HOST>', '<NUM>7 <HOST>', '<HOST>a', '<HOST>g', '<HOST>.', '* x <HOST> y', 'x <HOST> * <WORD> *',
			'a*b*c <HOST>', '<HOST>:<PORT> (<TIMES>)', '<NAME>: <HOST>', '<NAME>a <HOST>', '* x=<HOST>,<REST>', '<REST> <HOST>', '<HOST> <REST>*x',
			'<HOST> <REST>*', '<HOST>, <REST>', '<HOST><REST>', '* <HOST><NAME> x', '* x <HOST>:<NAME>, *', '* x <HOST>:<PORT>, *', '<WORD>é <HOST>', 'x'.repeat(506) + '<HOST>', 'x'.repeat(507) + '<HOST>' ],
		attempts: HUNDRED, window: DURATIONS, source: LOGS
	},
	list: {
		url: [ 'https://lists.example.org/farm.txt', 'http://[2001:db8::1]:8080', 'https://x.example?x@y', 'file:///etc/list', '/etc/a list', 'file://list', 'etc/list',
			'ftp://x.example/', 'https:///x', 'https://x.example/a b', 'https://x.example/"', 'https://x.example/\\', 'https://me:secret@x.example/', 'HTTPS://x.example/',
			'https://x.example/' + 'a'.repeat(2030), 'https://x.example/' + 'a'.repeat(2031), 'https://x.example/é' ],
		country: [ 'cz', 'CZ', 'uk', 'europe', 'xx', 'eu', 'cze', 'north_america', 'north america', 'constructor' ], asn: [ '64496', 'AS64496', 'as1', '0', '4294967295', '4294967296', 'AS', '-1', '1.5' ],
		country_url: [ 'https://lists.example.org/{country}.txt', '/etc/{country}', 'https://lists.example.org/cz.txt', 'https://lists.example.org/{asn}.txt' ],
		asn_url: [ 'https://lists.example.org/{asn}.txt', 'file:///etc/{asn}', 'https://lists.example.org/{ASN}.txt' ],
		format: [ 'auto', 'plain', 'csv', 'csv:2', 'csv:64', 'csv:0', 'csv:65', 'csv:2:;', 'csv:2:tab', 'csv:2:x', 'csv:2:.', 'csv:2:::', 'csv:2::', 'csv:+2', 'csv:', 'spamhaus',
			'dshield', 'ranges', 'rir', 'rir:CZ', 'rir:cz', 'rir:', 'suricata', 'names', 'names:1', 'json' ],
		interval: [ '12h', '10m', '599', '600s', '30d', '31d', '0', 'x' ], max_age: DURATIONS, enabled: FLAG, use: [ 'deny' ], direction: [ 'both' ],
		zone: [ 'wan', 'wan 6', '-x' ], proto: [ 'gre' ], dest_port: RANGES, action: [ 'accept' ], log_drops: [ 'maybe' ],
		login: [ 'me:secret', ':', '/etc/diswall/login', 'secret', 'm:' + 'x'.repeat(254), 'm:' + 'x'.repeat(255), 'é:' + 'x'.repeat(253), 'é:' + 'x'.repeat(254) ], keep: FLAG
	},
	allow: { ip: NETS, comment: COMMENTS },
	block: { ip: NETS, comment: COMMENTS, proto: [ 'gre' ], dest_port: RANGES, action: [ 'accept' ], log: FLAG, force: FLAG }
};

function check(text) {
	const file = path.join(world.dir, 'tried');

	fs.writeFileSync(file, text);
	return spawnSync(BINARY, [ 'config', 'check', file ], { encoding: 'utf8' });
}

function section(type, options) {
	const name = SECTIONS[type] || NAMED[type];

	return `config ${type}${name ? ` '${name}'` : ''}\n` + Object.entries(options).map(([ option, value ]) =>
		`\t${isList(type, option) ? 'list' : 'option'} ${option} '${value}'\n`).join('');
}

/* With a warning too: what the file may say, a page may not refuse, or its owner could save nothing there any more. */
const accepted = (type, option, value) => check(section(type, Object.assign({}, REST[type], { [option]: value }))).status === 0;

/* What the daemon itself says it knows: { type: [option…] }. */
function known() {
	const said = check(Object.keys(SECTIONS).map(type => section(type, Object.assign({ nosuch: '1' }, REST[type]))).join('\n') + 'config nosuch\n').stdout;
	const types = said.match(/known types are ([\w, \n]+)/)[1].split(/, | and /).map(word => word.trim());

	return Object.fromEntries(types.map(type => [ type, said.match(new RegExp(`config ${type} knows ([\\w, ]+)`))[1].split(', ') ]));
}

/* What the button is called that makes one, where it is not "Add". */
const ADDS = { logwatch: 'Add pattern', list: 'Add list' };

/* The fields of each type of section: where they are, and how to get there. */
const FORMS = {
	settings: [ 'diswall', 'dynfw', 'nats', 'crowdsec', 'abuseipdb', 'scan', 'login' ], allowed: [ 'allow' ], rules: [ 'block', 'logwatch' ], lists: [ 'list' ]
};

async function withForm(type, use) {
	const name = Object.keys(FORMS).find(page => FORMS[page].includes(type));

	await on(name, {}, async page => {
		if (name == 'settings')
			/* What other fields depend on. */
			await page.locator('[data-name=_nats_tls] input[type=checkbox]').evaluate(box => box.click());
		else {
			if (NAMED[type])
				await page.getByLabel('Name of a new list').fill(NAMED[type]);

			await page.getByRole('button', { name: ADDS[type] || 'Add', exact: true }).click();
			await page.locator('.modal [data-name]').first().waitFor();

			if (type == 'block')
				await page.locator('.modal [data-name=proto] select').selectOption('tcp');
		}

		const root = name == 'settings' ? '.cbi-map' : '.modal';

		await use(page, option => `${root} [data-name="${name == 'settings' ? `_${SECTIONS[type]}_${option}` : option}"]`);
	});
}

/* Types a value; what the field thinks of it. A choice: whether it is offered. */
function typed(page, selector, value) {
	return page.locator(selector).evaluate((field, text) => {
		const choice = field.querySelector('select');

		if (choice)
			return [ ...choice.options ].some(option => option.value == text);

		const input = field.querySelector('.add-item input') || field.querySelector('input:not([type=hidden])');

		input.value = text;

		for (const event of [ 'input', 'keyup', 'change', 'blur', 'focusout' ])
			input.dispatchEvent(new Event(event, { bubbles: event != 'blur' }));

		const wrong = input.classList.contains('cbi-input-invalid');

		input.value = '';
		input.dispatchEvent(new Event('keyup', { bubbles: true }));
		return !wrong;
	}, value);
}

test('the values to try are for exactly the options that the daemon knows', REAL, () => {
	const options = known();

	assert.deepStrictEqual(Object.keys(options).sort(), Object.keys(VALUES).sort());

	for (const [ type, names ] of Object.entries(options))
		assert.deepStrictEqual(names.slice().sort(), Object.keys(VALUES[type]).sort(), type);
});

for (const type of Object.keys(VALUES))
	test(`every option of config ${type} has a field with a help text`, () => withForm(type, async (page, field) => {
		for (const option of Object.keys(VALUES[type])) {
			const found = page.locator(field(option));

			assert.strictEqual(await found.count(), 1, `${type}.${option}`);
			assert.match(await found.locator('.cbi-value-description').textContent(), /\w/, `${type}.${option} has no help`);
			assert.strictEqual(await found.locator('input[type=checkbox]').count() > 0, VALUES[type][option] === FLAG, `${type}.${option}`);
		}
	}));

for (const type of Object.keys(VALUES))
	test(`the fields of config ${type} take what diswall config check takes`, REAL, () => withForm(type, async (page, field) => {
		for (const [ option, values ] of Object.entries(VALUES[type]).filter(([ , values ]) => values !== FLAG)) {
			const offered = await page.locator(field(option)).evaluate(node => [ ...node.querySelectorAll('option') ].map(one => one.value));

			for (const value of offered.filter(one => one).concat(values))
				assert.strictEqual(await typed(page, field(option), value), accepted(type, option, value), `${type}.${option} '${value}'`);
		}
	}));

test('everything can be blocked by who says so twice', REAL, () => withForm('block', async (page, field) => {
	const everything = { ip: '0.0.0.0/0', force: '1' };

	await page.locator(field('force') + ' input[type=checkbox]').evaluate(box => box.click());
	assert.strictEqual(await typed(page, field('ip'), everything.ip), true);
	assert.strictEqual(check(section('block', everything)).status, 0);
}));

test('a host is blocked by its name as a whole', REAL, () => withForm('block', async (page, field) => {
	const host = { ip: 'bad.example.org' };

	assert.strictEqual(await typed(page, field('ip'), host.ip), false);
	assert.notStrictEqual(check(section('block', Object.assign({ proto: 'tcp' }, host))).status, 0);
	await page.locator(field('proto') + ' select').selectOption('');
	assert.strictEqual(await typed(page, field('ip'), host.ip), true);
	assert.strictEqual(check(section('block', host)).status, 0);
}));
