'use strict';

/* What of the package can be judged without a browser: rights, menu, translations, value checks. */

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const po = require('./po.js');
const { ACL } = require('./router.js');
const { BINARY } = require('./world.js');

const APP = path.join(__dirname, '..');
const RESOURCES = path.join(APP, 'htdocs/luci-static/resources');

function files(directory) {
	return fs.readdirSync(directory, { withFileTypes: true }).flatMap(entry => entry.isDirectory()
		? files(path.join(directory, entry.name)) : [ path.join(directory, entry.name) ]);
}

const sources = files(RESOURCES).filter(file => file.endsWith('.js')).map(file => [ file, fs.readFileSync(file, 'utf8') ]);

test('the rights name exactly the methods that diswall rpcd has', { skip: !BINARY && 'needs DISWALL' }, () => {
	const offered = JSON.parse(spawnSync(BINARY, [ 'rpcd', 'list' ], { encoding: 'utf8' }).stdout);
	const granted = ACL.read.ubus.diswall.concat(ACL.write.ubus.diswall);

	assert.deepStrictEqual(granted.slice().sort(), Object.keys(offered).sort());
	assert.strictEqual(new Set(granted).size, granted.length, 'no method is granted twice');
});

test('reading rights change nothing', () => {
	for (const method of [ 'allow', 'disallow', 'block', 'unblock', 'kick', 'resync' ])
		assert.ok(!ACL.read.ubus.diswall.includes(method) && ACL.write.ubus.diswall.includes(method), method);

	assert.deepStrictEqual(ACL.read.uci, [ 'diswall' ]);
});

test('every menu entry has its page and asks for the rights', () => {
	const menu = JSON.parse(fs.readFileSync(path.join(APP, 'root/usr/share/luci/menu.d/luci-app-diswall.json')));

	assert.deepStrictEqual(menu['admin/services/diswall'].depends.acl, [ 'luci-app-diswall' ]);

	for (const [ name, entry ] of Object.entries(menu))
		if (entry.action.type == 'view')
			assert.ok(fs.existsSync(path.join(RESOURCES, 'view', entry.action.path + '.js')), name);
});

test('every text of the pages is in the template and in Czech, and nothing else is', () => {
	const wanted = new Set(sources.flatMap(([ , source ]) => [ ...po.used(source) ]));
	const menu = JSON.parse(fs.readFileSync(path.join(APP, 'root/usr/share/luci/menu.d/luci-app-diswall.json')));

	for (const entry of Object.values(menu))
		wanted.add(entry.title);

	wanted.add(ACL.description);

	const key = entry => entry.plural ? entry.id + '\u0001' + entry.plural : entry.id;
	const template = po.read(path.join(APP, 'po/templates/diswall.pot'));
	const czech = po.read(path.join(APP, 'po/cs/diswall.po'));

	assert.deepStrictEqual(template.entries.map(key).sort(), [ ...wanted ].sort(), 'run po/update');
	assert.deepStrictEqual(czech.entries.map(key).sort(), [ ...wanted ].sort());

	for (const entry of czech.entries) {
		assert.strictEqual(entry.texts.filter(text => text).length, entry.plural ? 3 : 1, 'Czech for: ' + entry.id);

		const places = text => (text.match(/%[sdh]/g) || []).length;

		for (const text of entry.texts)
			assert.strictEqual(places(text), places(entry.id), 'the same %s in: ' + text);
	}
});

test('no page makes HTML of text', () => {
	for (const [ file, source ] of sources)
		for (const danger of [ /\.innerHTML\s*=(?!=)/, /insertAdjacentHTML/, /document\.write/, /\beval\(/, /rawhtml/, /[^.\w]E\('/ ])
			assert.ok(!danger.test(source), file + ': ' + danger);
});

/* The module as LuCI would load it, without a browser. */
function loadValues() {
	String.prototype.format = function(...args) {
		return this.replace(/%s/g, () => args.shift());
	};

	const source = fs.readFileSync(path.join(RESOURCES, 'diswall/values.js'), 'utf8');

	return new Function('baseclass', '_', source)({ extend: properties => properties }, text => text);
}

test('values are accepted or refused as the daemon does', { skip: !BINARY && 'needs DISWALL' }, () => {
	const values = loadValues();
	const dir = fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'diswall-values-'));
	const file = path.join(dir, 'diswall');
	const sections = { main: 'diswall', dynfw: 'dynfw', nats: 'nats', scan: 'scan', login: 'login' };
	const table = [
		[ 'allow', 'ip', values.net, [ '192.0.2.7', '192.0.2.0/24', '192.0.2.7/24', '192.0.2.7/33', '256.1.1.1', '01.2.3.4', '1.2.3',
			'2001:db8::7', '2001:db8::/32', '2001:db8::1/32', '::ffff:192.0.2.1', '2001:db8::7%eth0', 'host.example', '192.0.2.0/x',
			'192.0.2.128/25', '192.0.2.64/25', '::/0', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7', '1::2::3', '2001:db8::/127', '2001:db8::1/127' ] ],
		[ 'allow', 'comment', values.comment, [ 'office', 'é'.repeat(60), 'é'.repeat(61), 'a'.repeat(121), 'with\ttab' ] ],
		[ 'main', 'max_entries', values.number(1, 4194304), [ '1', '0', '4194304', '4194305', '-1', 'many', '1.5' ] ],
		[ 'main', 'table', values.nftName, [ 'fw4', '4fw', 'a-b', 'a'.repeat(32), 'a'.repeat(33) ] ],
		[ 'main', 'set_prefix', values.nftName, [ 'diswall', '_x', 'x_1' ] ],
		[ 'main', 'zone', values.zone, [ 'wan', 'wan 6', 'guest-1', '-x', 'a'.repeat(33) ] ],
		[ 'main', 'device', values.device, [ 'eth0', 'pppoe-wan', 'eth0.2', 'a'.repeat(16), 'a/b', '..' ] ],
		[ 'main', 'state_dir', values.path, [ '/var/lib/diswall', 'var/lib', '/a/../b', '/a..b' ] ],
		[ 'main', 'control', values.socketPath, [ '/run/x.sock', '/' + 'a'.repeat(106), '/' + 'a'.repeat(107) ] ],
		[ 'dynfw', 'server', values.server, [ 'sentinel.turris.cz', '192.0.2.1', '2001:db8::1', '1.2.3', 'a:1', '-x.cz', 'a_b.cz', 'x.cz.' ] ],
		[ 'dynfw', 'port', values.port, [ '1', '65535', '0', '65536', '70000', '22a' ] ],
		[ 'dynfw', 'server_key', values.serverKey, [ 'D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTikU*', 'none', 'short', 'D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTik~*' ] ],
		[ 'dynfw', 'key_url', values.https, [ 'https://repo.turris.cz/sentinel/dynfw.pub', 'none', 'http://x.cz/', 'https://', 'https://x.cz:70000/',
			'https://x.cz:8443/k', 'https://[2001:db8::1]/k', 'https://x.cz/a b' ] ],
		[ 'dynfw', 'max_age', values.duration, [ '24h', '90', '15m', '1w', '0', '-1h', '1y', '3650d', '3651d', 'h', '99999999999' ] ],
		[ 'nats', 'client_name', values.clientName, [ 'default', 'a.b', 'a b', 'a*', 'a'.repeat(64), 'a'.repeat(65), 'ä' ] ],
		[ 'nats', 'client_pass', values.clientPass, [ 'default', 'x'.repeat(256), 'x'.repeat(257) ] ],
		[ 'nats', 'hostname', values.hostPart, [ 'router', 'my.router', 'my router', 'a'.repeat(65) ] ],
		[ 'nats', 'ca_file', values.path, [ '/etc/ssl/ca.pem', 'ca.pem' ] ],
		[ 'scan', 'nflog_group', values.number(0, 65535), [ '0', '1914', '65536' ] ],
		[ 'scan', 'honeypot_port', values.portRange, [ '22', '6000-6010', '6010-6000', '0-5', '1-70000', '5-5', 'ssh' ] ],
		[ 'scan', 'ban_time', values.duration, [ '15m', '1d', '0', 'x' ] ],
		[ 'scan', 'forget_after', values.duration, [ '30d', '-30d' ] ],
		[ 'login', 'service', values.loginService, [ 'ssh', 'luci', 'smtp', 'sip', 'ftp', 'telnet' ] ],
		[ 'login', 'attempts', values.number(1, 100), [ '1', '100', '0', '101' ] ],
		[ 'login', 'source', values.logSource, [ 'auto', '/var/log/auth.log', 'auth.log' ] ],
		[ 'scan', 'high_port', values.port, [ '49152', '0' ] ],
		[ 'scan', 'high_port_packets', values.number(1, 100), [ '1', '100', '0', '101' ] ]
	];

	try {
		for (const [ section, option, check, candidates ] of table)
			for (const value of candidates) {
				const kind = [ 'zone', 'device', 'honeypot_port', 'ban_time', 'service' ].includes(option) ? 'list' : 'option';
				const rest = section == 'allow' && option != 'ip' ? "\toption ip '192.0.2.7'\n" : '';

				fs.writeFileSync(file, `config ${sections[section] || section}${sections[section] ? ` '${section}'` : ''}\n${rest}\t${kind} ${option} '${value}'\n`);

				const answer = spawnSync(BINARY, [ 'config', 'check', file ], { encoding: 'utf8' });

				assert.strictEqual(check('section', value) === true, answer.status === 0,
					`${option} '${value}': ${answer.stdout}${answer.stderr}`);
			}
	}
	finally {
		fs.rmSync(dir, { recursive: true });
	}
});
