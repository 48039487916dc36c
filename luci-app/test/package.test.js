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
	for (const method of [ 'allow', 'disallow', 'block', 'unblock', 'clear', 'kick', 'resync', 'restore', 'switch' ])
		assert.ok(!ACL.read.ubus.diswall.includes(method) && ACL.write.ubus.diswall.includes(method), method);

	/* The file has a password in it. rpcd: a list under `write` would not let even the owner's login read. */
	assert.strictEqual(ACL.read.uci, undefined);
	assert.deepStrictEqual(ACL.write.uci, { diswall: [ 'read', 'write' ] });
});

test('every menu entry has its page and asks for the rights', () => {
	const menu = JSON.parse(fs.readFileSync(path.join(APP, 'root/usr/share/luci/menu.d/luci-app-diswall.json')));

	assert.deepStrictEqual(menu['admin/services/diswall'].depends.acl, [ 'luci-app-diswall' ]);

	/* A broken file must not take the pages away. */
	assert.ok(!JSON.stringify(menu).includes('"uci"'));

	for (const [ name, entry ] of Object.entries(menu))
		if (entry.action.type == 'view')
			assert.ok(fs.existsSync(path.join(RESOURCES, 'view', entry.action.path + '.js')), name);
});

/*
 * LuCI reads JSON by ucode's json(file), 1024 bytes at a time: a line end alone in a piece of its own is "trailing
 * garbage" to it, and the whole file counts for nothing. One menu of 1025 bytes took every page out of LuCI.
 */
test('no JSON file of the package ends right behind a piece that ucode reads', () => {
	for (const file of files(path.join(APP, 'root')).filter(name => name.endsWith('.json'))) {
		const text = fs.readFileSync(file, 'utf8');

		assert.doesNotThrow(() => JSON.parse(text), file);
		assert.ok(Buffer.byteLength(text.trimEnd()) % 1024 !== 0, `${file}: make it a byte longer or shorter`);
	}
});

test('every text of the pages is in the template and in Czech, and nothing else is', () => {
	const wanted = new Set(sources.flatMap(([ , source ]) => [ ...po.used(source) ]));
	const menu = JSON.parse(fs.readFileSync(path.join(APP, 'root/usr/share/luci/menu.d/luci-app-diswall.json')));

	for (const entry of Object.values(menu))
		wanted.add(entry.title);

	wanted.add(ACL.description);

	for (const list of require('../../openwrt/files/catalogue.json').lists)
		wanted.add(list.about);

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

test('no name out of data is looked up in an object literal', () => {
	for (const [ file, source ] of sources) {
		/* { … }[name], and CONSTANT[name] for a constant that is an object literal. */
		const objects = [ ...source.matchAll(/const ([A-Z_]+) = \{/g) ].map(match => match[1]);
		const asked = [ ...source.matchAll(/\b([A-Z][A-Z_]+)\[(?!\d)([^\]]+)\]/g) ].filter(match => objects.includes(match[1]));
		/* Names that the pages' own text gives: of methods, of sections, of units that a pattern has picked. */
		const own = [ 'PARAMS[method]', 'PARAMS[name]', 'ANSWERS[method]', 'MARK[method]', 'TYPES[name]', 'UNITS[match[2]', 'UNITS[match[2]]' ];

		assert.deepStrictEqual(asked.map(match => match[0]).filter(text => !own.includes(text)), [], file);
		assert.ok(!/\}\[[a-z]/.test(source), file);
	}
});

test('no page makes HTML of text', () => {
	for (const [ file, source ] of sources)
		for (const danger of [ /\.innerHTML\s*=(?!=)/, /insertAdjacentHTML/, /document\.write/, /\beval\(/, /rawhtml/, /[^.\w]E\('/ ])
			assert.ok(!danger.test(source), file + ': ' + danger);
});
