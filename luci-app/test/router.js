'use strict';

/*
 * A router for the tests: serves LuCI's pages (the stand-in, or the tree in LUCI_DIR), answers ubus
 * over HTTP as rpcd does, keeps /etc/config/diswall in a file, and passes calls of the object `diswall`
 * to the real rpcd face. It listens on loopback only.
 */

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const APP = path.join(__dirname, '..');
const STANDIN = path.join(__dirname, 'luci');
const ACL = JSON.parse(fs.readFileSync(path.join(APP, 'root/usr/share/rpcd/acl.d/luci-app-diswall.json')))['luci-app-diswall'];

const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.html': 'text/html' };

/* Nothing from elsewhere, nothing inline; LuCI's loader itself makes functions of text. */
const POLICY = "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'";

const CATALOGUE = path.join(APP, '../openwrt/files/catalogue.json');

/* Numbers of enum ubus_msg_status. */
const UBUS = { ok: 0, notFound: 4, denied: 6, unknown: 9 };

/* /etc/config/diswall as sections of LuCI's shape; simple values only, which is all the pages write. */
function parseConfig(text) {
	/* Any name may stand in a file. */
	const sections = Object.create(null);
	let current = null, index = 0;

	for (const line of text.split('\n')) {
		const words = [ ...line.matchAll(/'([^']*)'|"([^"]*)"|([^\s'"]+)/g) ].map(match => match[1] ?? match[2] ?? match[3]);

		if (words[0] == 'config') {
			const name = words[2] || 'cfg%s'.replace('%s', String(index).padStart(6, '0'));

			current = sections[name] = { '.name': name, '.type': words[1], '.anonymous': !words[2], '.index': index++ };
		}
		else if (words[0] == 'option')
			current[words[1]] = words[2];
		else if (words[0] == 'list')
			(current[words[1]] = current[words[1]] || []).push(words[2]);
	}

	return sections;
}

function printConfig(sections) {
	const quote = value => "'" + String(value).replace(/'/g, "'\\''") + "'";

	return Object.values(sections).map(section => [
		'config ' + section['.type'] + (section['.anonymous'] ? '' : ' ' + quote(section['.name'])),
		...Object.entries(section).filter(([ name ]) => name[0] != '.').flatMap(([ name, value ]) => Array.isArray(value)
			? value.map(item => '\tlist ' + name + ' ' + quote(item)) : '\toption ' + name + ' ' + quote(value))
	].join('\n') + '\n').join('\n');
}

class Router {
	/*
	 * `face(method, args)` resolves to the answer of `diswall rpcd call METHOD`; `config` is the path of the
	 * configuration file; `applied` is called when it was written.
	 */
	constructor({ face, config, applied }) {
		this.face = face;
		this.config = config;
		this.applied = applied || (() => {});
		this.readonly = false;
		/* The session is over: rpcd knows it no more. */
		this.expired = false;
		this.language = 'en';
		this.log = '';
		this.peer = '198.51.100.200';
		this.read();
	}

	read() {
		this.sections = parseConfig(fs.readFileSync(this.config, 'utf8'));
		this.changes = 0;
	}

	listen() {
		this.server = http.createServer((request, response) => this.serve(request, response).catch(error => {
			response.writeHead(500);
			response.end(String(error.stack));
		}));

		return new Promise(resolve => this.server.listen(0, '127.0.0.1', () => {
			this.url = 'http://127.0.0.1:' + this.server.address().port;
			resolve(this);
		}));
	}

	close() {
		this.server.closeAllConnections();
		this.server.close();
	}

	page(name) {
		return this.url + '/cgi-bin/luci/admin/' + (name == 'status' ? 'status/overview' : 'services/diswall/' + name);
	}

	async serve(request, response) {
		const url = new URL(request.url, this.url);
		const send = (status, type, body) => {
			response.writeHead(status, { 'Content-Type': type + '; charset=utf-8', 'Content-Security-Policy': POLICY });
			response.end(body);
		};
		const body = async () => {
			const chunks = [];

			for await (const chunk of request)
				chunks.push(chunk);

			return Buffer.concat(chunks).toString();
		};

		if (url.pathname == '/ubus/')
			return send(200, 'application/json', JSON.stringify(await this.ubus(JSON.parse(await body()))));

		if (url.pathname == '/cgi-bin/cgi-exec')
			return this.exec(new URLSearchParams(await body()), send);

		/* Of the same site, so that the browser goes on with the process it has. */
		if (url.pathname == '/blank.html')
			return send(200, TYPES['.html'], '<!DOCTYPE html><title>nothing</title><link rel="icon" href="data:,">');

		if (url.pathname == '/boot.js')
			return send(200, TYPES['.js'], 'window.L = new LuCI(' + JSON.stringify(this.environment(url.searchParams.get('page'))) + ');');

		if (url.pathname == '/view.js')
			return send(200, TYPES['.js'], "L.require('ui').then(ui => ui.instantiateView(" + JSON.stringify(url.searchParams.get('view')) + '));');

		if (url.pathname == '/translations.js')
			return send(200, TYPES['.js'], this.translations());

		if (url.pathname.startsWith('/cgi-bin/luci/admin/uci/'))
			return this.apply(path.basename(url.pathname), send);

		if (url.pathname.startsWith('/cgi-bin/luci/admin/'))
			return send(200, TYPES['.html'], this.shell(url.pathname.slice('/cgi-bin/luci/admin/'.length)));

		const file = this.file(url.pathname);

		return file ? send(200, TYPES[path.extname(file)] || 'application/octet-stream', fs.readFileSync(file)) : send(404, 'text/plain', 'not found');
	}

	/* The file behind a static path: ours, the tree's, or the stand-in's. */
	file(pathname) {
		const tree = process.env.LUCI_DIR;
		const inside = path.posix.normalize(pathname).replace(/^\//, '');
		const places = [ path.join(APP, 'htdocs', inside) ];

		if (tree)
			places.push(path.join(tree, 'modules/luci-base/htdocs', inside), path.join(tree, 'modules/luci-mod-status/htdocs', inside),
				path.join(tree, 'themes/luci-theme-bootstrap/htdocs', inside));
		else
			places.push(path.join(STANDIN, path.basename(inside)));

		return places.find(place => fs.existsSync(place) && fs.statSync(place).isFile());
	}

	shell(page) {
		const view = page == 'status/overview' ? 'status/index' : 'diswall/' + path.basename(page);
		const script = src => `<script src="${src}"></script>`;

		return `<!DOCTYPE html><html lang="${this.language}"${this.dark ? ' data-darkmode="true"' : ''}><head><meta charset="utf-8">`
			+ '<title>diswall</title><meta name="viewport" content="width=device-width, initial-scale=1">'
			+ '<link rel="icon" href="data:,"><link rel="stylesheet" href="/luci-static/bootstrap/cascade.css">'
			+ (process.env.LUCI_DIR ? '<link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/bootstrap/mobile.css">' : '')
			+ (process.env.LUCI_DIR ? script('/luci-static/resources/cbi.js') : '') + script('/translations.js')
			+ script('/luci-static/resources/luci.js')
			+ '</head><body><div id="indicators"></div><div id="maincontent" class="container">'
			+ `${script('/boot.js?page=' + page)}<div id="tabmenu"></div><div id="view">${script('/view.js?view=' + view)}</div></div></body></html>`;
	}

	environment(page) {
		return {
			media: '/luci-static/bootstrap', resource: '/luci-static/resources', scriptname: '/cgi-bin/luci', cgi_base: '/cgi-bin',
			pathinfo: '/admin/' + page, requestpath: [ 'admin' ].concat(page.split('/')), dispatchpath: [ 'admin' ].concat(page.split('/')),
			pollinterval: 5, ubuspath: '/ubus/', sessionid: '0123456789abcdef0123456789abcdef', token: 'token',
			nodespec: { satisfied: true, readonly: this.readonly },
			apply_rollback: 20, apply_holdoff: 0.1, apply_timeout: 5, apply_display: 0.1
		};
	}

	/* The stand-in finds translations by their English text, LuCI by a hash of it that its own script makes. */
	translations() {
		const file = path.join(APP, 'po', this.language, 'diswall.po');

		if (!fs.existsSync(file))
			return 'window.TR = {};';

		const { entries, plural } = require('./po.js').read(file);
		const table = Object.fromEntries(entries.filter(entry => entry.id).map(entry =>
			[ entry.plural ? entry.id + '\u0001' + entry.plural : entry.id, entry.plural ? entry.texts : entry.texts[0] ]));

		if (process.env.LUCI_DIR) {
			const texts = entries.filter(entry => entry.id).flatMap(entry => entry.plural
				? entry.texts.map((text, form) => [ entry.id + '\u0002' + form, text ]) : [ [ entry.id, entry.texts[0] ] ]);

			return `window.TR = Object.fromEntries(${JSON.stringify(texts)}.map(([ id, text ]) => [ sfh(id), text ]));`
				+ `window.TR['00000000'] = ${JSON.stringify('plural=' + plural + ';')};`;
		}

		return `window.TR = ${JSON.stringify(table)}; window.TR.plural = n => Number(${plural});`;
	}

	async ubus(message) {
		if (Array.isArray(message))
			return Promise.all(message.map(each => this.ubus(each)));

		const reply = extra => Object.assign({ jsonrpc: '2.0', id: message.id }, extra);

		if (message.method != 'call')
			return reply({ result: [] });

		const [ , object, method, args ] = message.params;

		if (!this.allowed(object, method, args || {}))
			return reply({ error: { code: -32002, message: 'Access denied' } });

		if (object == 'diswall')
			/* As rpcd does: the session is in what the face reads. */
			return reply({ result: [ UBUS.ok, await this.face(method, Object.assign({ ubus_rpc_session: message.params[0] }, args)) ] });

		if (object == 'uci' && method == 'get' && args.config == 'diswall' && this.unreadable)
			return reply({ result: [ UBUS.unknown ] });

		const handler = this['on_' + object + '_' + method];

		return reply(handler ? { result: [ UBUS.ok, handler.call(this, args || {}) ] } : { error: { code: -32000, message: 'Object not found' } });
	}

	/* The two notations of rpcd: a list grants what its part is named after, a table what it says. */
	grants(scope, what) {
		return [ 'read', 'write' ].filter(part => part == 'read' || !this.readonly).some(part => {
			const given = ACL[part][scope] || [];

			return Array.isArray(given) ? part == what && given.includes('diswall') : (given.diswall || []).includes(what);
		});
	}

	allowed(object, method, args) {
		if (this.expired)
			return false;

		if (object == 'diswall')
			return !this.denied && (ACL.read.ubus.diswall.includes(method) || (!this.readonly && ACL.write.ubus.diswall.includes(method)));

		/* As rpcd judges: by what the rights say of the configuration, never of the whole of uci. */
		/* LuCI's own rights: every login may read how LuCI itself is set. */
		if (object == 'uci' && method == 'get' && args.config == 'luci')
			return true;

		if (object == 'uci' && [ 'get', 'add', 'set', 'delete', 'apply' ].includes(method))
			return this.grants('uci', method == 'get' ? 'read' : 'write');

		return true;
	}

	on_session_access({ scope, function: what }) { return { access: scope == 'uci' ? this.grants('uci', what) : true }; }
	on_luci_getFeatures() { return {}; }
	on_file_list({ path: directory }) {
		return { entries: directory.endsWith('/status/include') ? [ { name: '35_diswall.js', type: 'file' } ] : [] };
	}

	on_uci_get({ config }) {
		/* Others write it too, the face for example. */
		if (config == 'diswall' && !this.changes && !this.unreadable)
			this.read();

		return { values: config == 'diswall' ? this.sections : {} };
	}

	/* As uci's reader: an open quote and it reads nothing. */
	get unreadable() {
		return fs.readFileSync(this.config, 'utf8').split('\n').some(line => (line.replace(/^\s*#.*/, '').match(/'/g) || []).length % 2);
	}

	on_uci_changes() { return { changes: this.changes ? { diswall: Array(this.changes).fill([ 'set', 'diswall' ]) } : {} }; }
	on_uci_apply() { this.commit(); return {}; }
	on_uci_confirm() { return {}; }

	on_uci_add({ type, name, values }) {
		const made = name || 'cfg' + Math.random().toString(16).slice(2, 10);

		this.sections[made] = Object.assign({ '.name': made, '.type': type, '.anonymous': !name, '.index': Object.keys(this.sections).length }, values);
		this.changes++;
		return { section: made };
	}

	on_uci_set({ section, values }) {
		Object.assign(this.sections[section], values);
		this.changes++;
		return {};
	}

	on_uci_delete({ section, options }) {
		if (options)
			options.forEach(option => delete this.sections[section][option]);
		else
			delete this.sections[section];

		this.changes++;
		return {};
	}

	commit() {
		fs.writeFileSync(this.config, printConfig(this.sections));
		this.changes = 0;
		this.applied();
	}

	/* LuCI's own pages apply through its dispatcher. */
	apply(action, send) {
		if (action == 'apply_rollback' || action == 'apply_unchecked')
			this.commit();

		return send(action == 'apply_rollback' ? 200 : 204, 'application/json', action == 'apply_rollback' ? '{"token":"token"}' : '');
	}

	/* cgi-io: a command line that the ACL names. */
	exec(fields, send) {
		const command = fields.get('command').replace(/\\(.)/g, '$1');

		if (this.denied || this.expired || !Object.keys(ACL.read.file).some(allowed => command == allowed))
			return send(403, 'text/plain', 'Access to path denied by ACL');

		return send(200, 'text/plain', command.startsWith('/sbin/logread') ? this.log
			: JSON.stringify({ remote_addr: this.peer, server_addr: '192.168.1.1', inbound_devices: [], inbound_interfaces: [] }));
	}
}

/* The real face: `diswall rpcd call METHOD` of the given program. */
function program(binary, config) {
	return (method, args) => new Promise((resolve, reject) => {
		const child = spawn(binary, [ 'rpcd', '--config', config, '--catalogue', CATALOGUE, 'call', method ], { stdio: [ 'pipe', 'pipe', 'inherit' ] });
		const chunks = [];

		child.stdout.on('data', chunk => chunks.push(chunk));
		child.on('error', reject);
		child.on('close', () => {
			try {
				resolve(JSON.parse(Buffer.concat(chunks).toString()));
			}
			catch (error) {
				reject(error);
			}
		});
		child.stdin.end(JSON.stringify(args));
	});
}

module.exports = { Router, program, ACL };
