'use strict';

/*
 * What the tests stand on: a router of our own with a running diswall, a simulated Sentinel that feeds
 * it over CURVE, and a browser. With DISWALL (the program's path) everything is real, in a network
 * namespace that run.js made; without it, the recorded face of sample.js answers, and tests that need
 * a daemon are skipped.
 */

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const { chromium } = require('playwright-core');
const { Router, program } = require('./router.js');
const sample = require('./sample.js');
const { until, start } = require('../../tests/parts/browser.js');

const ROOT = path.join(__dirname, '../..');
const BINARY = process.env.DISWALL;
const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const LISTED = 300;
const NATS_PORT = 4222;

/* A child whose commands and answers are lines. */
class Lines {
	constructor(command, args) {
		this.child = start(command, args, [ 'pipe', 'pipe', 'inherit' ]);
		this.waiting = [];
		this.early = [];
		readline.createInterface({ input: this.child.stdout }).on('line', line =>
			this.waiting.length ? this.waiting.shift()(line) : this.early.push(line));
	}

	next() {
		return this.early.length ? Promise.resolve(this.early.shift()) : new Promise(resolve => this.waiting.push(resolve));
	}

	say(line) {
		this.child.stdin.write(line + '\n');
		return this.next().then(JSON.parse);
	}
}

class World {
	async start() {
		this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'diswall-luci-'));
		this.config = path.join(this.dir, 'diswall');

		if (BINARY)
			await this.startSentinel();

		this.writeConfig();

		if (BINARY)
			await this.startDaemon();

		this.router = await new Router({
			face: BINARY ? program(BINARY, this.config) : (method, args) => Promise.resolve(sample.answer(method, args)),
			config: this.config,
			applied: () => this.daemon && this.daemon.kill('SIGHUP')
		}).listen();
		this.browser = await chromium.launch({ executablePath: CHROMIUM, args: [ '--no-sandbox', '--disable-gpu' ] });
	}

	async startSentinel() {
		this.sentinel = new Lines('/usr/bin/python3',
			[ path.join(ROOT, 'tests/parts/sentinel.py'), '--size', String(LISTED), '--list-every', '1' ]);
		this.feed = JSON.parse(await this.sentinel.next());
	}

	/* A real nats-server with the simulated DisWall service on it: returns the service, whose commands are lines. */
	async startDisWall() {
		const service = path.join(path.dirname(BINARY), 'examples/diswall_service');
		const conf = path.join(this.dir, 'nats.conf');

		fs.writeFileSync(conf, `listen: 127.0.0.1:${NATS_PORT}\nauthorization { users: [
	{ user: demo, password: demo }, { user: default, password: default }, { user: service, password: service } ] }\n`);

		const server = start('nats-server', [ '-c', conf ], 'ignore');

		await until('nats-server to listen', () => new Promise((resolve, reject) => {
			const socket = net.connect(NATS_PORT, '127.0.0.1', () => resolve(socket.destroy()));

			socket.on('error', reject);
		}));

		const lines = new Lines(service, [ `nats://service:service@127.0.0.1:${NATS_PORT}` ]);

		await lines.next();
		return {
			/* What clients asked and published is reported in between. */
			say: async command => {
				for (let answer = await lines.say(command); !answer.done; answer = JSON.parse(await lines.next()))
					if (answer.error)
						throw new Error(command + ': ' + answer.error);
			},
			stop: () => [ lines.child, server ].forEach(child => child.kill())
		};
	}

	writeConfig(more = '', nats = false) {
		const feed = this.feed || { port: 7087, public_key: 'D=rkicUyn5AcL)>9$2Db0HIELd2F*WaS-zDTikU*' };

		fs.writeFileSync(this.config, `config diswall 'main'
	option enabled '1'
	option log_level 'info'
	list zone 'wan'
	option state_dir '${this.dir}/state'
	option control '${this.dir}/control.sock'

config dynfw 'dynfw'
	option enabled '1'
	option server '127.0.0.1'
	option port '${feed.port}'
	option server_key '${feed.public_key}'

config nats 'nats'
	option enabled '${nats ? 1 : 0}'
	option server '127.0.0.1'
	option port '${NATS_PORT}'
	option client_name 'demo'
	option client_pass 'demo'
	option hostname 'router'

config scan 'scan'
	option enabled '1'

config allow
	option ip '198.51.100.7'
	option comment 'office'

config block
	option ip '203.0.113.0/24'
	option comment 'scanner farm'
${more}`);
	}

	cli(...args) {
		return spawnSync(BINARY, [ ...args, '--config', this.config ], { encoding: 'utf8' });
	}

	async startDaemon() {
		const rules = this.cli('rules', '--standalone');
		const loaded = spawnSync('nft', [ '-f', '-' ], { input: rules.stdout, encoding: 'utf8' });

		if (loaded.status !== 0)
			throw new Error('nft refused the rules: ' + rules.stderr + loaded.stderr);

		this.daemon = start(BINARY, [ 'run', '--foreground', '--config', this.config ],
			[ 'ignore', 'ignore', process.env.VERBOSE ? 'inherit' : 'ignore' ]);
		await until('the daemon to follow the feed', async () => {
			const status = await program(BINARY, this.config)('status', {});

			return status.state == 'protected' && status.sources[0].v4 >= LISTED / 2;
		});
	}

	/* What the router has as the service's script; `null`: none. It is seen in this namespace alone. */
	script(text) {
		const place = path.join(this.dir, 'init.d');

		if (!fs.existsSync(place)) {
			fs.mkdirSync(place);
			spawnSync('mount', [ '--bind', place, '/etc/init.d' ]);
		}

		if (text === null)
			return fs.rmSync(path.join(place, 'diswall'), { force: true });

		fs.writeFileSync(path.join(place, 'diswall'), '#!/bin/sh\n' + text + '\n', { mode: 0o755 });
	}

	async stopDaemon() {
		const ended = new Promise(resolve => this.daemon.once('exit', resolve));

		this.daemon.kill('SIGTERM');
		await ended;
	}

	/* Back to how the world began, between tests that change it. */
	async reset(more, nats) {
		Object.assign(this.router, { readonly: false, expired: false, denied: false, language: 'en', dark: false, log: '', peer: '198.51.100.200' });
		this.writeConfig(more, nats);
		this.router.read();

		if (this.daemon)
			this.daemon.kill('SIGHUP');
	}

	async stop() {
		await this.browser?.close();
		this.router?.close();

		if (this.daemon && this.daemon.exitCode === null)
			await this.stopDaemon();

		this.sentinel?.child.kill();
		fs.rmSync(this.dir, { recursive: true, force: true });
	}

	/*
	 * Opens a page of the application. Whatever goes wrong inside it is kept in page.complaints; requests to
	 * other hosts than the router in page.strangers. `twist(method, answer)` may change the daemon's answers.
	 */
	async open(name, { viewport, twist, dark, arrive } = {}) {
		this.router.dark = dark;

		const page = this.spare || await this.newPage();

		this.spare = null;
		page.complaints = [];
		page.strangers = [];
		await page.setViewportSize(viewport || { width: 1100, height: 900 });
		await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });

		if (twist)
			await page.route('**/ubus/**', route => this.twisted(route, twist));

		await page.goto(this.router.page(name) + (arrive || ''));
		await page.locator('#view .diswall, #view h3, #view .alert-message').first().waitFor().catch(error => {
			throw new Error([ 'page ' + name + ' did not appear', error.message ].concat(page.complaints).join('\n'));
		});
		return page;
	}

	/* A tab of its own, with nothing of another's in it. */
	async newPage() {
		const context = await this.browser.newContext({ acceptDownloads: true });
		const page = await context.newPage();

		page.setDefaultTimeout(15000);
		page.on('pageerror', error => page.complaints.push(error.message));
		page.on('console', message => message.type() == 'error' && page.complaints.push(message.text()));
		page.on('request', request => {
			if (!request.url().startsWith(this.router.url) && !/^(data|blob):/.test(request.url()))
				page.strangers.push(request.url());
		});
		return page;
	}

	/*
	 * Takes a tab back that served its test well. To start a browser's process for each page took as long as all
	 * that is tried on it. Storage is emptied; what the page had under way ends with it.
	 */
	async keep(page) {
		/* A page polls: what is under way when it goes is nobody's failure. */
		await page.unrouteAll({ behavior: 'ignoreErrors' });
		await page.evaluate(() => { localStorage.clear(); sessionStorage.clear(); });
		/* One that goes to itself anew at this moment interrupts that, once. */
		const blank = () => page.goto(this.router.url + '/blank.html');
		await blank().catch(blank);
		this.spare = page;
	}

	/* Closes a tab that is not kept. */
	async close(page) {
		if (page != this.spare) {
			await page.unrouteAll({ behavior: 'ignoreErrors' });
			await page.context().close();
		}
	}

	async twisted(route, twist) {
		const asked = JSON.parse(route.request().postData());
		const reply = await route.fetch();
		const answered = await reply.json();
		const pairs = [].concat(asked).map((question, index) => [ question, [].concat(answered)[index] ]);

		for (const [ question, answer ] of pairs) {
			const [ , object, method ] = question.params || [];

			if (answer.result && (object == 'diswall' || object == 'uci'))
				answer.result = twist(object + '.' + method, answer.result);
		}

		await route.fulfill({ response: reply, json: answered });
	}
}

module.exports = { World, Lines, until, BINARY, ROOT };
