#!/usr/bin/env node
'use strict';

/*
 * The pictures in docs/luci, from a run: a real daemon, a simulated Sentinel and DisWall behind it, lists out of files, and
 * strangers on the other end of a cable whose packets the kernel drops. A week passes in some minutes: after each hour's
 * packets the daemon's wall clock is set an hour on (tests/parts/clock.c). The machine says that it has a router's memory.
 *
 *   DISWALL=/path/to/diswall LUCI_DIR=/path/to/luci luci-app/test/pictures.js DIRECTORY
 *
 * Needs root, cc, ip, nats-server and Chromium; happens in a network namespace of its own.
 */

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

if (process.env.DISWALL && !process.env.DISWALL_NAMESPACE) {
	process.env.DISWALL = path.resolve(process.env.DISWALL);

	const inside = spawnSync('unshare', [ '--net', '--mount', process.execPath, __filename, path.resolve(process.argv[2]) ],
		{ stdio: 'inherit', env: Object.assign({}, process.env, { DISWALL_NAMESPACE: '1' }) });

	process.exit(inside.status ?? 1);
}

const { World, until, ROOT, Lines } = require('./world.js');
const { program } = require('./router.js');

const OUT = process.argv[2];
const HOURS = Number(process.env.HOURS || 7 * 24);
const ROUTER = '192.0.2.2';
const PORTS = [ 23, 23, 23, 22, 22, 445, 3389, 8080, 5900, 6379, 1433, 2323 ];

/* The same chances every time (xorshift). */
let seed = 20261128;

function random(below) {
	seed ^= seed << 13;
	seed ^= seed >>> 17;
	seed ^= seed << 5;
	return (seed >>> 0) % below;
}

const pick = list => list[random(list.length)];
const address = (net, index) => `${net}.${index >> 8 & 255}.${index & 255}`;
const range = (count, make) => Array.from({ length: count }, (_, index) => make(index));

/* Whose packets come: addresses that are kept for documentation and for measurements, nobody's. */
const DYNFW = range(16384, index => address('198.18', index * 3));
const NETWORKS = range(1600, index => address('198.19', index * 8) + '/30');
const ABROAD = { br: range(60, index => address('198.19', 0x4000 + index * 128) + '/26'), nl: range(90, index => address('198.19', 0x8000 + index * 128) + '/26') };
const STRANGERS = range(200, index => '198.51.100.' + (index + 20));

function command(name, ...args) {
	const done = spawnSync(name, args, { encoding: 'utf8' });

	if (done.status !== 0)
		throw new Error(`${name} ${args.join(' ')}: ${done.stderr}`);
}

class Week extends World {
	async start() {
		command('ip', 'link', 'set', 'lo', 'up');
		command('ip', 'link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'far');

		/* The strangers' end of the cable. */
		this.far = new Lines('unshare', [ '--net', 'sh', '-c', 'echo $$ && read go && ip link set far up && ip addr add 192.0.2.1/24 dev far && exec python3 ' + path.join(__dirname, 'strangers.py') ]);

		this.far.child.on('exit', () => this.over || process.exit(1));

		const pid = await this.far.next();

		command('ip', 'link', 'set', 'far', 'netns', pid);
		command('ip', 'link', 'set', 'wan', 'up');
		command('ip', 'addr', 'add', ROUTER + '/24', 'dev', 'wan');
		command('ip', 'route', 'add', 'default', 'via', '192.0.2.1');

		for (const device of [ 'all', 'wan' ])
			fs.writeFileSync(`/proc/sys/net/ipv4/conf/${device}/rp_filter`, '0');

		this.far.child.stdin.write('go\n');
		this.clock = fs.mkdtempSync('/tmp/diswall-clock-');
		command('cc', '-shared', '-fPIC', '-o', this.clock + '/clock.so', path.join(ROOT, 'tests/parts/clock.c'));
		this.setClock(-HOURS * 3600);
		fs.writeFileSync(this.clock + '/meminfo', 'MemTotal: 252928 kB\nMemFree: 101376 kB\nMemAvailable: 149504 kB\n');
		command('mount', '--bind', this.clock + '/meminfo', '/proc/meminfo');
		await super.start();
	}

	/* So many seconds beside the machine's clock. */
	setClock(offset) {
		const bytes = Buffer.alloc(8);

		bytes.writeBigInt64LE(BigInt(offset));

		const file = fs.openSync(this.clock + '/offset', fs.existsSync(this.clock + '/offset') ? 'r+' : 'w');

		fs.writeSync(file, bytes);
		fs.closeSync(file);
	}

	async startSentinel() {
		await super.startSentinel();
		await this.sentinel.say('addresses ' + DYNFW.join(' '));
		this.service = await this.startDisWall();
		await this.service.say('fill 198.19.240.0 1400 864000');
	}

	writeConfig() {
		const file = (name, lines) => fs.writeFileSync(path.join(this.dir, name), lines.join('\n') + '\n');

		file('drop.txt', NETWORKS);

		for (const country in ABROAD)
			file(country + '.txt', ABROAD[country]);

		super.writeConfig(`
config list 'spamhaus'
	list url '${this.dir}/drop.txt'
	option direction 'src-dst'

config list 'abroad'
	list country 'br'
	list country 'nl'
	list country_url '${this.dir}/{country}.txt'
`, true);
		fs.writeFileSync(this.config, fs.readFileSync(this.config, 'utf8').replace(/'demo'/g, "'default'"));
	}

	startDaemon() {
		Object.assign(process.env, { LD_PRELOAD: this.clock + '/clock.so', SOAK_CLOCK: this.clock + '/offset' });

		const started = super.startDaemon();

		delete process.env.LD_PRELOAD;
		return started;
	}

	/* One hour of the Internet. */
	async hour(number) {
		const busy = 0.6 + 0.4 * Math.sin(number / 3.8) + (number % 41 == 7 ? 1.5 : 0);
		const packets = (source, port, count) => this.far.say(`${source} ${ROUTER} ${port} ${count}`);

		for (let sender = 0; sender < 14 * busy; sender++)
			/* The smaller the number the more often it comes. */
			await packets(DYNFW[Math.floor(DYNFW.length * (random(1000) / 1000) ** 6)], pick(PORTS), 1 + random(14));

		for (let sender = 0; sender < 3 * busy; sender++)
			await packets(address('198.19', random(1600) * 8 + random(4)), pick(PORTS), 1 + random(6));

		for (let sender = 0; sender < 4 * busy; sender++)
			await packets(address('198.19', random(3) ? 0x4000 + random(60) * 128 + random(64) : 0x8000 + random(90) * 128 + random(64)), pick(PORTS), 1 + random(5));

		await packets(address('198.19', 0xf000 + random(12)), 23, 1 + random(Math.ceil(12 * busy)));

		if (random(3) == 0)
			await packets(pick(STRANGERS), pick([ 23, 22, 3389, 445 ]), 1 + random(5));

		if (random(5) == 0)
			await packets('203.0.113.' + random(256), pick(PORTS), 1 + random(9));
	}
}

const status = week => program(process.env.DISWALL, week.config)('status', {});

async function pass(week) {
	for (let hour = 0; hour < HOURS; hour++) {
		await week.hour(hour);
		await new Promise(resolve => setTimeout(resolve, 700));
		/* What was dropped is counted when somebody asks, for the hour that the clock shows. */
		await status(week);
		week.setClock((hour + 1 - HOURS) * 3600);
		await status(week);

		if (hour % 24 == 0)
			console.log('hour', hour);
	}
}

async function picture(week, name, page, options, act) {
	week.router.dark = !!options.dark;
	week.router.language = options.language || 'en';

	const opened = await week.open(page, options);

	await opened.addStyleTag({ content: '#indicators { display: none } .alert-message { animation: none }' });

	if (act)
		await act(opened);

	await opened.mouse.move(0, 0);
	await opened.waitForTimeout(1500);
	await opened.screenshot({ path: path.join(OUT, name + '.png'), fullPage: !options.height, ...(options.height ? { clip: { x: 0, y: 0, width: options.viewport.width, height: options.height } } : {}) });
	await week.close(opened);
}

async function main() {
	const week = new Week();

	fs.mkdirSync(OUT, { recursive: true });
	await week.start();

	try {
		await until('everything in force', async () => (await status(week)).bans.total > 17000);
		await pass(week);
		/* A fresh start, as after an update: the hours and days are kept, and the last hour has its own packets alone. */
		await week.stopDaemon();
		await week.startDaemon();
		await until('everything in force again', async () => (await status(week)).state == 'protected' && (await status(week)).bans.total > 17000);
		await week.hour(HOURS);
		week.cli('block', '203.0.113.77', '--timeout', '1d', '--comment', 'knocks every night');
		for (let number = 0; number < 6; number++) {
			await week.sentinel.say('add 198.18.250.' + (17 + number * 23));
			await week.far.say(`198.51.100.${230 + number} ${ROUTER} ${pick([ 23, 3389, 22 ])} 2`);
		}

		const shown = DYNFW[5];
		const ask = async page => {
			await page.locator('#diswall-address').fill(shown);
			await page.locator('#diswall-address').press('Enter');
			await page.locator('.diswall-answer').waitFor();
			await page.locator('#diswall-address').evaluate(input => input.blur());
		};

		await picture(week, 'overview', 'overview', { viewport: { width: 1100, height: 900 } }, ask);
		await picture(week, 'overview-cs', 'overview', { viewport: { width: 768, height: 900 }, language: 'cs', height: 1000 });
		await picture(week, 'overview-dark-phone', 'overview', { viewport: { width: 360, height: 740 }, dark: true, height: 1500 });
		await picture(week, 'report', 'report', { viewport: { width: 1100, height: 900 } });
		await picture(week, 'lists', 'lists', { viewport: { width: 1100, height: 900 }, height: 1000 });
		await picture(week, 'blocked', 'blocked', { viewport: { width: 1100, height: 900 }, height: 620 });
	}
	finally {
		week.service.stop();
		week.over = true;
		week.far.child.kill();
		await week.stop();
		fs.rmSync(week.clock, { recursive: true, force: true });
	}

	process.exit(0);
}

main().catch(error => {
	console.error(error);
	process.exit(1);
});
