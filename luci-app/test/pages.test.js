'use strict';

/*
 * The pages as a person meets them, in a real browser. Each test opens the page anew; whatever a page
 * complains about in its console, or asks of another host, fails the test that opened it.
 */

const assert = require('node:assert');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const { world, on } = require('./stage.js');
const { until, BINARY } = require('./world.js');

const PAGES = [ 'overview', 'report', 'blocked', 'allowed', 'rules', 'lists', 'settings', 'log', 'status' ];
const REAL = { skip: !BINARY && 'needs DISWALL' };
const PHONE = { width: 360, height: 740 };
const LOG = 'Sat Nov 21 20:20:46 2026 daemon.info diswall[812]: dynfw: live, 300 addresses\n'
	+ 'Sat Nov 21 20:20:47 2026 daemon.warn diswall[812]: nats: refused the connection\n'
	+ 'Sat Nov 21 20:20:48 2026 daemon.info dnsmasq[1]: not a line of diswall\n';

const text = async locator => (await locator.innerText()).replace(/\s+/g, ' ');

test('the overview says in one sentence that the router is protected', () => on('overview', {}, async page => {
	await page.getByText(/^(Protected|Not everything is in force yet): [\d,.\s]+ address(es)?( and \d networks?)? blocked, [\d,.\s]+ packets? dropped in the last hour\.$/).waitFor();

	for (const title of [ 'Turris DynFW', 'DisWall', 'Scan detection', 'Log-in detection', 'Firewall', 'Everything else' ])
		await page.getByRole('region', { name: title }).waitFor();

	assert.match(await text(page.getByRole('region', { name: 'Turris DynFW' })), /In force Attackers that CZ\.NIC sees .* Live: .*address/);
}));

test('the chart is a picture with a summary, and the same figures stand in a table', () => on('overview', {}, async page => {
	await page.getByRole('img', { name: /Dropped packets/ }).waitFor();
	await page.getByText('The same as a table').click();
	await page.getByRole('columnheader', { name: 'Turris DynFW' }).waitFor();
	await page.getByLabel('New bans').check();
	await page.getByRole('img', { name: /New bans/ }).waitFor();
	await page.getByLabel('7 days').check();
	await until('a chart of a week', async () => await page.locator('.diswall-chart g').count() > 24);
}));

test('the report draws what was counted, and says of how many packets', REAL, () => on('report', {}, async page => {
	await page.getByText(/^\d[\d,.\s]* packets? \(.*\) dropped, new bans: \d[\d,.]*\.$/).waitFor();

	for (const title of [ 'By day and hour', 'By country', 'By port', 'By source', 'The ten most stubborn', 'What each source adds', 'Allowed although banned' ])
		await page.getByRole('heading', { name: title }).waitFor();

	await page.getByText(/only where a list of that country is switched on, and none is\./).waitFor();
	await page.getByText(/Nothing to show yet: ports, countries and senders/).waitFor();
	await page.getByLabel('14 days').check();
	await page.getByRole('img', { name: /^Dropped packets: none/ }).waitFor();
	/* What the feed alone has, against the others. */
	assert.match(await text(page.getByRole('row', { name: /Turris DynFW .* of / }).first()), /Turris DynFW \d+ of \d+ –/);
	await page.getByRole('link', { name: 'Send it by mail…' }).click();
	await page.locator('[data-name=_main_report_mail]').waitFor();
}));

test('the report of a busy week fits a phone, a tablet and a screen, light and dark', async () => {
	const sample = require('./sample.js').answer('report', { days: 7 });

	for (const width of [ 360, 768, 1400 ])
		for (const dark of [ false, true ])
			await on('report', { viewport: { width, height: 900 }, dark, twist: (method, result) => method == 'diswall.report' ? [ 0, sample ] : result }, async page => {
				await page.getByRole('img', { name: /^By port: most is 23\/tcp with / }).waitFor();
				await page.getByRole('img', { name: /^Dropped packets: [\d,]+ in all, most in the hour from / }).waitFor();
				await page.getByText(/^Known from the [\d,]+ packets that were looked at, of [\d,]+ dropped/).waitFor();
				await page.getByRole('row', { name: /198\.51\.100\.66/ }).first().waitFor();

				const [ wide, shown ] = await page.evaluate(() => [ document.documentElement.scrollWidth, document.documentElement.clientWidth ]);

				assert.ok(wide <= shown, `${width}: ${wide} pixels wide, ${shown} shown`);

				/* No text of a drawing leaves it, and none is too faint to read. */
				const outside = await page.evaluate(() => [ ...document.querySelectorAll('.diswall-chart') ].flatMap(chart => [ ...chart.querySelectorAll('text') ]
					.filter(label => label.getBoundingClientRect().right > chart.getBoundingClientRect().right + 2).map(label => label.textContent)));

				assert.deepStrictEqual(outside, []);
			});
});

test('a list has the same colour in the report as on the overview, whichever drops most', async () => {
	const sample = require('./sample.js').answer('report', { days: 7 });

	Object.assign(sample.sources.find(source => source.name == 'far'), { packets: 1e6 });
	await on('report', { twist: (method, result) => method == 'diswall.report' ? [ 0, sample ] : result }, async page => {
		await page.locator('.diswall-chart g.diswall-list0', { hasText: 'firehol_level1' }).waitFor();
		await page.locator('.diswall-chart g.diswall-list1', { hasText: 'Antarctica' }).waitFor();
	});
});

test('a blocked address is explained, and allowed for good with one click', REAL, () => on('overview', {}, async page => {
	const { addresses } = await world.sentinel.say('dump');
	const address = addresses[0];

	await page.getByLabel('Address').fill(`  ${address} `);
	await page.getByLabel('Address').press('Enter');
	await page.getByText(`${address} is blocked.`).waitFor();
	assert.match(await text(page.locator('.diswall-answer')), /Turris DynFW/);

	await page.getByRole('button', { name: 'Allow always' }).click();
	await page.getByText(/banned, but allowed/).waitFor();
	assert.match(fs.readFileSync(world.config, 'utf8'), new RegExp(address.replace(/\./g, '\\.')));
	assert.strictEqual(world.cli('check', address).status, 1);

	await page.getByRole('button', { name: 'Take back allowance' }).click();
	await page.getByText(`${address} is blocked.`).waitFor();
	assert.strictEqual(world.cli('check', address).status, 0);
}));

test('a clear address can be blocked and unblocked', REAL, () => on('overview', {}, async page => {
	await page.getByLabel('Address').fill('45.99.99.99');
	await page.getByRole('button', { name: 'Check' }).click();
	await page.getByText('45.99.99.99 is not blocked by diswall.').waitFor();
	await page.getByRole('button', { name: 'Block', exact: true }).click();
	await page.getByText('45.99.99.99 is blocked.').waitFor();
	await page.getByRole('button', { name: 'Unblock' }).click();
	await page.getByText('45.99.99.99 is not blocked by diswall.').waitFor();
}));

test('what is no address is refused in words', () => on('overview', {}, async page => {
	for (const wrong of [ '1.2.3.4 5', 'host.example', '' ]) {
		await page.getByLabel('Address').fill(wrong);
		await page.getByRole('button', { name: 'Check' }).click();
		await until('an answer', async () => /\w/.test(await text(page.locator('.diswall-ask [role=status]'))));
	}
}));

test('a new ban appears by itself, with its reason', REAL, () => on('overview', {}, async page => {
	await world.sentinel.say('add 45.98.97.96');
	await page.getByRole('button', { name: '45.98.97.96' }).waitFor();
	await page.getByRole('button', { name: '45.98.97.96' }).click();
	await page.getByText('45.98.97.96 is blocked.').waitFor();
	await world.sentinel.say('del 45.98.97.96');
}));

test('blocked addresses come a page at a time, sorted and searched by the daemon', () => on('blocked', {}, async page => {
	const rows = page.locator('.diswall-results tr:not(.table-titles)');
	const firstAddress = () => rows.first().getByRole('button').first().innerText({ timeout: 1000 });

	assert.strictEqual(await rows.count(), 50);

	await page.getByRole('button', { name: 'Address', exact: true }).click();
	await page.locator('th[aria-sort=ascending]').waitFor();

	const lowest = await firstAddress();

	await page.getByRole('button', { name: /^Address/ }).first().click();
	await page.locator('th[aria-sort=descending]').waitFor();
	assert.notStrictEqual(await firstAddress(), lowest);

	await page.getByRole('button', { name: 'Last page' }).click();
	await until('the last page', async () => (await page.getByRole('button', { name: 'Next page' }).isDisabled()));

	await page.getByLabel('Address, network or reason').fill(lowest);
	await page.getByRole('button', { name: 'Search' }).click();
	await until('the one found', async () => await firstAddress() == lowest && await rows.count() < 50);

	await page.getByLabel('Address, network or reason').fill('nothing has this reason');
	await page.getByRole('button', { name: 'Search' }).click();
	await page.getByText('No banned address matches.').waitFor();
}));

test('the download holds every ban once', () => on('blocked', {}, async page => {
	const total = Number((await text(page.locator('.diswall p.diswall-note').first())).replace(/\D/g, ''));
	const [ download ] = await Promise.all([ page.waitForEvent('download'), page.getByRole('button', { name: 'Download CSV' }).click() ]);
	const lines = fs.readFileSync(await download.path(), 'utf8').trim().split('\r\n');

	assert.strictEqual(lines[0], 'address,source,kind,text,protocol,port,since,until');
	assert.ok(Math.abs(lines.length - 1 - total) <= 5, `${lines.length - 1} lines for ${total} bans`);
	assert.strictEqual(new Set(lines).size, lines.length);
}));

test('a ban is lifted from the table', REAL, () => on('blocked', {}, async page => {
	world.cli('block', '45.97.97.97', '--timeout', '1h', '--comment', 'from the test');
	await page.getByLabel('banned by').selectOption('manual');
	await page.getByRole('button', { name: 'Unblock: 45.97.97.97' }).click();
	await until('the ban to go', async () => world.cli('check', '45.97.97.97').status === 1);
	await until('the row to go', async () => await page.getByRole('button', { name: '45.97.97.97', exact: true }).count() == 0);
}));

test('an allowance is added in the grid, saved and applied', () => on('allowed', {}, async page => {
	await page.getByRole('button', { name: 'Add', exact: true }).click();
	await page.locator('.modal [data-name=ip] input').fill('192.0.2.99');
	await page.locator('.modal [data-name=comment] input').fill('my <b>brother</b>');
	await page.locator('.modal').getByRole('button', { name: 'Save' }).click();
	await page.getByText('192.0.2.99').first().waitFor();
	await page.getByText('my <b>brother</b>').first().waitFor();
	await page.locator('.cbi-page-actions').getByText('Save & Apply').first().click();
	await until('the file', () => fs.readFileSync(world.config, 'utf8').includes("option ip '192.0.2.99'"));

	if (BINARY)
		await until('the daemon', () => world.cli('check', '192.0.2.99').stdout.includes('brother'));
}));

test('a wrong allowance is not accepted', () => on('allowed', {}, async page => {
	await page.getByRole('button', { name: 'Add', exact: true }).click();
	await page.locator('.modal [data-name=ip] input').fill('192.0.2.99/33');
	await page.locator('.modal [data-name=ip] input').blur();
	await page.locator('.modal .cbi-input-invalid').waitFor();
}));

test('my own address is added with one click', () => on('allowed', {}, async page => {
	world.router.peer = '45.96.96.96';
	await page.getByRole('button', { name: 'Add my own address' }).click();
	await page.getByText('45.96.96.96', { exact: true }).waitFor();
	await page.getByText(/45\.96\.96\.96 was added/).waitFor();
}));

test('what DisWall allows stands apart, to be read', REAL, async () => {
	const service = await world.startDisWall();

	try {
		await service.say('allow 198.18.44.0/24');
		await service.say('allow 198.18.45.1 3600');
		await world.reset('', true);
		await until('the allowances', () => world.cli('check', '198.18.44.7').stdout.includes('is allowed')
			&& world.cli('check', '198.18.45.1').stdout.includes('is allowed'));
		await on('allowed', {}, async page => {
			const section = page.locator('.cbi-section', { has: page.getByRole('heading', { name: 'From DisWall' }) });

			await section.getByText('198.18.44.0/24').waitFor();
			await section.getByText('198.18.45.1').waitFor();
			assert.match(await text(section.getByRole('row', { name: '198.18.45.1' })), /minute|hour/);
			assert.strictEqual(await section.locator('button, input, a').count(), 0, 'nothing can be changed there');
			assert.strictEqual(await page.locator('.cbi-section-table-row', { hasText: '198.18.4' }).count(), 0, 'and it is not among your own');
		});
		await on('overview', {}, async page => {
			await page.getByLabel('Address').fill('198.18.44.7');
			await page.getByRole('button', { name: 'Check' }).click();
			await page.getByText('Allowance from DisWall').waitFor();
			assert.strictEqual(await page.getByRole('button', { name: 'Take back allowance' }).count(), 0);
		});
		await service.say('disallow 198.18.44.0/24');
		await until('the end of it', () => !world.cli('check', '198.18.44.7').stdout.includes('is allowed'));
	}
	finally {
		service.stop();
	}
});

test('an address with blanks around it is found, one with blanks inside is refused', () => on('blocked', {}, async page => {
	const rows = page.locator('.diswall-results tr:not(.table-titles)');
	const address = await rows.first().getByRole('button').first().innerText();

	await page.getByLabel('Address, network or reason').fill(`  ${address}  `);
	await page.getByRole('button', { name: 'Search' }).click();
	await until('the one found', async () => await rows.count() < 50 && (await text(rows.first())).includes(address));
	await page.getByLabel('Address, network or reason').fill('1.2.3.4 5');
	await page.getByRole('button', { name: 'Search' }).click();
	await page.getByText('No banned address matches.').waitFor();
}));

test('five thousand allowances open as a page of fifty that can be searched', async () => {
	await world.reset(Array.from({ length: 5000 }, (_, i) =>
		`config allow\n\toption ip '45.${i >> 8}.${i & 255}.1'\n\toption comment 'number ${i}'\n`).join('\n'));
	await on('allowed', {}, async page => {
		const rows = page.locator('.cbi-section-table-row');

		await rows.first().waitFor();
		assert.strictEqual(await rows.count(), 50);
		await page.getByLabel('Address or comment').fill('number 4711');
		await page.getByLabel('Address or comment').press('Enter');
		await until('the one found', async () => await rows.count() == 1 && (await text(rows.first())).includes('45.18.103.1'));
		await page.getByLabel('Address or comment').fill('');
		await page.getByLabel('Address or comment').press('Enter');
		await until('all again', async () => await rows.count() == 50);
		await page.getByRole('button', { name: 'Next page' }).click();
		await page.getByText('51 to 100 of 5,001').waitFor();
	});
});

test('an own rule with protocol and ports is added', () => on('rules', {}, async page => {
	await page.getByRole('button', { name: 'Add', exact: true }).first().click();
	await page.locator('.modal [data-name=ip] input').fill('198.18.0.0/15');
	await page.locator('.modal [data-name=proto] select').selectOption('tcp');
	await page.locator('.modal [data-name=dest_port] input[type=text]').fill('8000-8010');
	await page.locator('.modal [data-name=dest_port] input[type=text]').press('Enter');
	await page.locator('.modal').getByRole('button', { name: 'Save' }).click();
	await page.getByText('198.18.0.0/15').first().waitFor();
	await page.locator('.cbi-page-actions').getByText('Save & Apply').first().click();
	await until('the file', () => /option ip '198\.18\.0\.0\/15'\n(\t.*\n)*\tlist dest_port '8000-8010'/.test(
		fs.readFileSync(world.config, 'utf8')));

	if (BINARY)
		assert.strictEqual(world.cli('config', 'check', world.config).status, 0);
}));

test('a pattern for the log of another program is added', () => on('rules', {}, async page => {
	await page.getByRole('button', { name: 'Add pattern' }).click();
	await page.locator('.modal [data-name=name] input').fill('vpn');
	await page.locator('.modal [data-name=pattern] input[type=text]').fill('<HOST>:<NUM> TLS Auth Error: *');
	await page.locator('.modal [data-name=pattern] input[type=text]').press('Enter');
	await page.locator('.modal').getByRole('button', { name: 'Save' }).click();
	await page.getByText('<HOST>:<NUM> TLS Auth Error: *').first().waitFor();
	await page.locator('.cbi-page-actions').getByText('Save & Apply').first().click();
	await until('the file', () => fs.readFileSync(world.config, 'utf8').includes("list pattern '<HOST>:<NUM> TLS Auth Error: *'"));

	if (BINARY)
		assert.strictEqual(world.cli('config', 'check', world.config).status, 0);
}));

test('a line of a log is tried, by whoever may only read too, and nothing of it is markup', async () => {
	for (const readonly of [ false, true ]) {
		world.router.readonly = readonly;
		await on('rules', {}, async page => {
			const box = page.getByLabel('Lines of a log');
			const form = page.locator('form', { has: box });
			const attempt = () => form.getByRole('button', { name: 'Try' }).click();

			await box.fill('Nov 21 10:00:00 h sshd[1]: Failed password for <img src=x onerror=alert(1)> from 203.0.113.5 port 22 ssh2\n'
				+ 'Nov 21 10:00:00 h <b>[1]: x\nNov 21 10:00:00 h cron[1]: x');
			await attempt();
			await form.locator('.diswall-answer').waitFor();

			if (BINARY)
				assert.deepStrictEqual(await form.locator('li').allInnerTexts(), [ 'sshd, ssh, 203.0.113.5: counted as a failed log-in',
					'line 2: no program is named at its beginning, and it is no failed log-in by itself', 'cron: nobody asks about this program' ]);

			assert.strictEqual(await form.locator('img, b').count(), 0);
			await box.fill(Array(200).fill('x').join('\n'));
			await attempt();
			await until('the answer', async () => !BINARY || await form.locator('li').count() == 100);
		});
	}
});

test('everything cannot be blocked', () => on('rules', {}, async page => {
	await page.getByRole('button', { name: 'Add', exact: true }).click();
	await page.locator('.modal [data-name=ip] input').fill('0.0.0.0/0');
	await page.locator('.modal [data-name=ip] input').blur();
	await page.locator('.modal .cbi-input-invalid').waitFor();
}));

/* A list out of a file, and what its section says else. */
function withList(name, lines, more = '') {
	const file = world.dir + '/' + name + '.txt';

	fs.writeFileSync(file, lines.join('\n') + '\n');
	return world.reset(`\nconfig list '${name}'\n\tlist url '${file}'\n${more}`);
}

test('who has no list is told what one is, and none is switched on', () => on('lists', {}, async page => {
	await page.getByText(/A list is a file of addresses and networks/).waitFor();
	await page.getByText(/None is switched on by itself/).waitFor();
	assert.strictEqual(await page.locator('.cbi-section-table-row[data-section-id]').count(), 0);
}));

test('a card switches its list on and off, with what it costs said before', REAL, () => on('lists', {}, async page => {
	const card = page.locator('[data-list=dshield]');

	await card.getByText(/About 20 networks, .* of this router's .* free\./).waitFor();
	await card.getByText('Licence: CC BY-NC-SA 2.5').waitFor();
	await card.getByText('Not for commercial use.').waitFor();
	await card.getByRole('switch').click();
	await page.getByText(/dshield is switched on: .*not for commercial use/).waitFor();
	assert.match(fs.readFileSync(world.config, 'utf8'), /config list 'dshield'\n\tlist url 'https:\/\/feeds.dshield.org\/block.txt'\n/);
	/* The table below has it too. */
	await page.locator('.cbi-section-table-row[data-section-id=dshield]').waitFor();
	await until('the card', async () => card.getByRole('switch').isChecked());
	await card.getByRole('switch').click();
	await page.getByText('dshield is switched off').waitFor();
	assert.match(fs.readFileSync(world.config, 'utf8'), /option enabled '0'/);
}));

test('a card whose list is on says how the list is, and its category is open', REAL, async () => {
	await withList('dshield', [ '192.0.3.1', '192.0.3.64/26' ], '\nconfig list \'tor\'\n\tlist url \'' + world.dir + '/nowhere.txt\'\n');
	await until('the list in force', () => world.cli('check', '192.0.3.1').status === 0);
	await on('lists', {}, async page => {
		const state = name => page.locator(`[data-list=${name}] .diswall-list-state`);

		await until('what is in force', async () => /^In force 1 address and 1 network, fetched (.* ago|now)$/.test(await text(state('dshield'))));
		await until('what is not', async () => /^Not fetched .*No such file.* Next try in/.test(await text(state('tor'))));
		assert.strictEqual(await state('spamhaus').count(), 0);
		await page.getByRole('link', { name: 'To the lists of this router…' }).press('Enter');
		assert.strictEqual(await page.evaluate(() => document.activeElement.id), 'diswall-own');
	});

	/* After a reboot nobody knows any more when it was fetched. */
	const kept = (method, result) => {
		if (method == 'diswall.status')
			result[1].feeds.forEach(feed => delete feed.last_message);

		return result;
	};

	await on('lists', { twist: kept }, page => page.locator('[data-list=dshield]').getByText('1 address and 1 network, kept from before').waitFor());
});

/* What the router has not the memory for cannot be switched on, and nobody is led astray by a page's data. */
function withCards(method, result) {
	if (method == 'diswall.lists') {
		const found = name => result[1].lists.find(item => item.name == name);

		Object.assign(result[1], { memory_free: 58e6 });
		Object.assign(found('vpndc'), { memory: 5e6, refusal: 'vpndc takes about 5.0 MB' });
		Object.assign(found('spamhaus'), { home: 'javascript:window.pwned=1', about: '<img src=x onerror="window.pwned=1">', category: 'constructor' });
	}

	return result;
}

test('cards stop what does not fit, and what they say is no markup', async () => {
	for (const viewport of [ PHONE, { width: 768, height: 900 }, { width: 1400, height: 900 } ])
		await on('lists', { viewport, twist: withCards }, async page => {
			for (const summary of await page.locator('.diswall-catalogue summary').all())
				if (!await summary.evaluate(node => node.parentNode.open))
					await summary.click();

			const card = page.locator('[data-list=vpndc]');

			await card.getByText(/42,500 networks, 5 MB of this router's 58 MB free/).waitFor();
			await card.getByText(/It does not fit: vpndc takes about 5.0 MB/).waitFor();
			assert.strictEqual(await card.getByRole('switch').isDisabled(), true);
			assert.strictEqual(await page.locator('[data-list]').count(), 45);
			assert.strictEqual(await page.locator('[data-list=spamhaus] a').count(), 0);
			assert.strictEqual(await page.evaluate(() => window.pwned), undefined);
			assert.strictEqual(await page.locator('#view img').count(), 0);

			const [ width, shown ] = await page.evaluate(() => [ document.documentElement.scrollWidth, document.documentElement.clientWidth ]);

			assert.ok(width <= shown, `${width} pixels wide, ${shown} shown`);

			if (process.env.SHOTS)
				await page.screenshot({ path: process.env.SHOTS + '/lists-' + viewport.width + '.png', fullPage: true });
		});
});

test('what is recommended is one click, countries come from a list with flags that are text', REAL, () => on('lists', {}, async page => {
	await page.getByRole('button', { name: 'Switch on what is recommended for this router' }).click();
	await page.getByText(/spamhaus is switched on/).waitFor();
	await page.getByRole('button', { name: 'Switch on what is recommended' }).waitFor({ state: 'detached' });

	const file = world.dir + '/cz.txt';

	fs.writeFileSync(file, '192.0.3.0/24\n');
	await page.getByLabel('Name of a new list').fill('czechs');
	await page.getByLabel('Name of a new list').press('Enter');

	const country = page.locator('.modal [data-name=country]');

	const dropdown = country.locator('.cbi-dropdown');
	const LABEL = '\u{1f1e8}\u{1f1ff} Czechia, about 2,237 networks, 458 kB';

	if (await dropdown.count()) {
		/* LuCI's own. */
		await dropdown.click();
		await dropdown.locator('li[data-value=cz]').first().click();
	}
	else {
		assert.match(await country.locator('input').getAttribute('data-choices'), /^Africa, about [\d,]+ networks, [\d.]+ MB\n/);
		await country.locator('input').fill('cz');
		await country.locator('button').click();
	}

	await country.locator('.item').getByText(LABEL).waitFor();
	await page.getByText(/does not keep hosts at home from calling there/).waitFor();
	await page.locator('.modal [data-name=country_url] input').last().fill(world.dir + '/{country}.txt');
	await page.locator('.modal').getByRole('button', { name: 'Save' }).click();
	await page.locator('.cbi-page-actions').getByText('Save & Apply').first().click();
	await until('the country in force', () => world.cli('check', '192.0.3.70').stdout.includes('czechs (Czechia)'));
	await page.locator('.cbi-section-table-row[data-section-id=czechs]').getByText('\u{1f1e8}\u{1f1ff} Czechia').waitFor();
}));

test('a list is added under a name of its own, saved and applied', () => on('lists', {}, async page => {
	fs.writeFileSync(world.dir + '/farm.txt', '192.0.3.1\n192.0.3.64/26\n');

	for (const wrong of [ '', 'Farm', 'a-b', 'a'.repeat(16), 'main', 'dynfw', 'cut' ]) {
		await page.getByLabel('Name of a new list').evaluate((input, value) => input.value = value, wrong);
		await page.getByRole('button', { name: 'Add list' }).click();
		await until('a refusal of ' + wrong, async () => /\w/.test(await text(page.locator('.diswall-filter [role=status]'))));
		assert.strictEqual(await page.locator('.modal [data-name=url]').count(), 0, wrong);
	}

	await page.getByLabel('Name of a new list').fill('farm');
	await page.getByLabel('Name of a new list').press('Enter');
	await page.locator('.modal [data-name=url] input').first().fill(world.dir + '/farm.txt');
	await page.locator('.modal [data-name=use] select').selectOption('only');
	assert.strictEqual(await page.locator('.modal [data-name=direction]').isVisible(), false, 'direction counts for nothing there');
	await page.locator('.modal [data-name=use] select').selectOption('block');
	await page.locator('.modal [data-name=direction] select').selectOption('src-dst');
	await page.locator('.modal [data-name=login] input').first().fill('me:hunter2');
	await page.locator('.modal').getByRole('button', { name: 'Save' }).click();
	await page.locator('.cbi-section-table-row[data-section-id=farm]').waitFor();
	await page.getByText(/A list is a file of addresses/).waitFor({ state: 'detached' });
	await page.locator('.cbi-page-actions').getByText('Save & Apply').first().click();
	await until('the file', () => /config list '?farm'?[^]*list url '[^']*farm.txt'[^]*option direction 'src-dst'/.test(fs.readFileSync(world.config, 'utf8')));
	assert.match(fs.readFileSync(world.config, 'utf8'), /option login 'me:hunter2'/);

	if (BINARY)
		await until('the list in force', () => world.cli('check', '192.0.3.70').status === 0);
}));

test('a list says how many it has, how old it is and what it dropped, and is fetched when asked', REAL, async () => {
	await withList('barn', [ '192.0.3.1', '192.0.3.64/26' ]);
	await until('the list in force', () => world.cli('check', '192.0.3.1').status === 0);
	await on('lists', {}, async page => {
		const row = page.locator('.cbi-section-table-row[data-section-id=barn]');

		await until('its row', async () => /blocks.*1 address and 1 network.*(ago|now).*0 in the last hour.*0 in all.*In force/.test(await text(row)));
		fs.appendFileSync(world.dir + '/barn.txt', '192.0.3.2\n');
		await row.getByRole('button', { name: 'Fetch now: barn' }).click();
		await page.getByText(/barn was fetched: 2 addresses and 1 network\./).waitFor();
		await until('the figure', async () => /2 addresses and 1 network/.test(await text(row)));
		fs.writeFileSync(world.dir + '/barn.txt', '<html><b>no</b></html>\n');
		await row.getByRole('button', { name: 'Fetch now: barn' }).click();
		await page.getByText(/barn was not fetched: \w/).waitFor();
		await until('its state', async () => /2 addresses and 1 network.*Former list in force.*Next try/.test(await text(row)));
	});
	await on('overview', {}, page => page.getByRole('region', { name: 'Lists', exact: true }).getByText('barn: 2 addresses and 1 network').waitFor());
});

test('a read-only login sees the lists, and no login of theirs', async () => {
	await withList('farm', [ '192.0.3.1' ], "\toption login 'me:hunter2'\n");
	world.router.readonly = true;

	const heard = [];

	await on('lists', { twist: (method, result) => heard.push(JSON.stringify(result)) && result }, async page => {
		if (BINARY) {
			const row = page.locator('.cbi-section-table-row[data-section-id=farm]');

			await row.waitFor();
			assert.strictEqual(await row.getByRole('button', { name: 'Fetch now: farm' }).isDisabled(), true);
		}

		assert.strictEqual(await page.getByRole('button', { name: 'Add list' }).isDisabled(), true);
		assert.ok(!heard.join().includes('hunter2') && !(await page.content()).includes('hunter2'));
	});
});

/* As many lists as make a page long, in every state, with names of every length. */
const MANY = [ 'abcdefghijklmno', 'wwwwwwwwwwwwwww', 'mmmmmmmmmmmmmmm', 'constructor', 'hit', 'bar', 'hidden', 'drop', 'the_second_long', 'x' ];

function withMany(attack = '') {
	const states = [ 'live', 'waiting', 'connecting', 'off', 'partial', 'splendid' ];

	return (method, result) => {
		if (method == 'diswall.status' || method == 'diswall.history')
			MANY.forEach((name, index) => {
				const own = result[1].sources[0];

				result[1].sources.push(Object.assign({}, own, { name }));

				if (method == 'diswall.status')
					result[1].feeds.push({
						name, list: [ 'block', 'allow', 'only' ][index % 3], state: states[index % states.length], entries: index * 1e5, messages: 1,
						error: attack + 'w'.repeat(200), retry_in: 60, notices: [ { key: 'lines', text: attack + 'm'.repeat(100) } ]
					});
			});

		return result;
	};
}

test('ten lists of long names fit on a phone, have colours of their own, and nothing of theirs is markup', async () => {
	const more = MANY.map(name => `\nconfig list '${name}'\n\tlist url '/nowhere'\n\toption enabled '0'\n`).join('').replace("enabled '0'", "enabled '1'");

	for (const name of [ 'overview', 'lists', 'status' ]) {
		await world.reset(more);
		await on(name, { viewport: PHONE, twist: withMany('<img src=x onerror="window.pwned=1">') }, async page => {
			if (name == 'lists')
				await page.locator('.cbi-section-table-row[data-section-id=wwwwwwwwwwwwwww]').waitFor();

			if (name == 'overview') {
				await page.getByText('The same as a table').click();
				assert.ok(new Set(await page.locator('.diswall-legend .diswall-dot').evaluateAll(dots =>
					dots.map(dot => getComputedStyle(dot).backgroundColor))).size >= 12, 'colours');
				assert.strictEqual(await page.locator('.diswall-chart .diswall-bar').evaluateAll(bars =>
					bars.filter(bar => [ 'none', 'rgba(0, 0, 0, 0)' ].includes(getComputedStyle(bar).fill)).length), 0, 'a bar cannot be seen');
			}

			const [ width, shown ] = await page.evaluate(() => [ document.documentElement.scrollWidth, document.documentElement.clientWidth ]);

			assert.ok(width <= shown, `${name}: ${width} pixels wide, ${shown} shown`);
			assert.strictEqual(await page.evaluate(() => window.pwned), undefined);
			assert.strictEqual(await page.locator('#view img').count(), 0);
			assert.ok(!/function |native code|\[object /.test(await page.locator('#maincontent').innerText()), name);
		});
	}
});

test('a setting is checked, saved and applied', () => on('settings', {}, async page => {
	const port = page.locator('[data-name=_dynfw_port] input');
	const original = await port.inputValue();

	await page.locator('li[data-tab=dynfw] a').click();
	await port.fill('70000');
	await port.blur();
	await page.locator('[data-name=_dynfw_port] .cbi-input-invalid').waitFor();
	await port.fill(original);
	await page.locator('[data-name=_dynfw_max_age] input').fill('36h');
	await page.locator('.cbi-page-actions').getByText('Save & Apply').first().click();
	await until('the file', () => fs.readFileSync(world.config, 'utf8').includes("option max_age '36h'"));
	assert.ok(fs.readFileSync(world.config, 'utf8').includes("option comment 'office'"), 'other sections stay');

	if (BINARY)
		assert.strictEqual(world.cli('config', 'check', world.config).status, 0);
}));

test('the licence of the data, and what is sent, stand where they are switched on', () => on('settings', {}, async page => {
	await page.locator('li[data-tab=dynfw] a').click();
	await page.getByText(/CC BY-NC-SA 4\.0/).waitFor();
	await page.locator('li[data-tab=nats] a').click();
	await page.getByText(/Nothing else is sent unless it is switched on below/).waitFor();
	await page.getByText(/which addresses this router bans and why/).waitFor();
}));

test('a feed is tested from the settings', REAL, () => on('settings', {}, async page => {
	await page.locator('li[data-tab=dynfw] a').click();
	await page.getByRole('button', { name: 'Test connection' }).first().click();
	await page.getByText(/Turris DynFW answered: \d+ address/).waitFor({ timeout: 30000 });
	await page.locator('li[data-tab=nats] a').click();
	await page.getByRole('button', { name: 'Test connection' }).last().click();
	await page.getByText(/switched off/).waitFor();
}));

test('the log shows diswall\'s lines and filters them', async () => {
	world.router.log = LOG;
	await on('log', {}, async page => {
		await page.getByText('nats: refused the connection').waitFor();
		assert.strictEqual(await page.locator('.diswall-log tr').count(), 2);
		await page.getByLabel('Shown').selectOption('warn');
		assert.strictEqual(await page.locator('.diswall-log tr').count(), 1);
		await page.getByLabel('Only lines with').fill('nothing like that');
		await page.getByText('No line matches.').waitFor();
	});
});

test('the status overview has diswall\'s lines', () => on('status', {}, async page => {
	await page.getByText('Blocked', { exact: true }).waitFor();
	await page.getByRole('link', { name: BINARY ? 'Protected' : 'Not everything is in force yet' }).waitFor();
}));

test('a stopped daemon is said, and its return noticed', REAL, async () => {
	await world.stopDaemon();
	await on('overview', {}, async page => {
		await page.getByText('diswall is not running', { exact: true }).waitFor();
		await page.getByLabel('Address').fill('192.0.2.1');
		await page.getByRole('button', { name: 'Check' }).click();
		await page.locator('.diswall-answer').waitFor();
		await world.startDaemon();
		await page.getByText(/^Protected: /).waitFor();
	});
});

/* The script is the router's: what it is asked, and that the page shows what came of it. */
test('what is not in force is mended by a button', REAL, async () => {
	const asked = path.join(world.dir, 'asked');

	world.script('echo "$*" >> ' + asked + '; echo "diswall: no such zone" >&2; exit 3');
	await world.stopDaemon();
	await on('overview', {}, async page => {
		await page.getByText('diswall is not running', { exact: true }).waitFor();
		assert.strictEqual(await page.getByRole('heading', { name: 'Newest bans' }).isVisible(), false);
		await page.getByRole('button', { name: 'Start diswall' }).click();
		await page.getByText(/reload ended with exit status: 3: diswall: no such zone/).waitFor();
		assert.strictEqual(fs.readFileSync(asked, 'utf8'), 'reload\n');

		/* What it starts goes on with its output open, as a service does. */
		world.script('sleep 600 & echo $! > ' + asked);
		await page.getByRole('button', { name: 'Start diswall' }).click();
		await until('the button', async () => fs.readFileSync(asked, 'utf8') != 'reload\n' && page.getByRole('button', { name: 'Start diswall' }).isEnabled());
		process.kill(Number(fs.readFileSync(asked, 'utf8')));
		await world.startDaemon();
		await page.getByText(/^Protected: /).waitFor();
		await page.getByRole('heading', { name: 'Newest bans' }).waitFor();
	});

	spawnSync('nft', [ 'delete', 'table', 'inet', 'fw4' ]);
	/* As after /etc/init.d/firewall stop: the script leaves a firewall alone that does not run. */
	world.script('exit 0');
	await on('overview', {}, async page => {
		await page.getByText('Meanwhile: nothing is blocked there').waitFor();
		assert.strictEqual(await page.getByText('What to do:').count(), 0);
		await page.getByText(/^If the button does not help: \/etc\/init\.d\/firewall restart/).waitFor();
		await page.getByRole('button', { name: 'Load the rules again' }).click();
		await page.getByText(/the firewall does not run: .*start it: \/etc\/init\.d\/firewall start/).waitFor();
	});
	world.script('%s rules --standalone --config %s | nft -f -'.replace('%s', BINARY).replace('%s', world.config));
	await on('overview', {}, async page => {
		await page.getByRole('button', { name: 'Load the rules again' }).click();
		await page.getByText(/^Protected: /).waitFor();
	});
	assert.strictEqual((await world.router.face('reload', { lines: [ 'x' ] })).error, undefined);
});

test('without the service\'s script its absence is said', REAL, async () => {
	world.script(null);

	const { error } = await world.router.face('reload', {});

	assert.match(error.message, /init\.d\/diswall was not run: No such file/);
});

test('a mistake in the file is said once, with the way to the page on which it can be mended', REAL, async () => {
	await world.reset("config block\n\toption ip '1.2.3.400'\n");
	await on('overview', {}, async page => {
		await page.getByText(/1\.2\.3\.400 is neither/).waitFor();
		assert.strictEqual(await page.getByText(/1\.2\.3\.400/).count(), 1);
		await page.getByRole('link', { name: 'Open your own blocks' }).click();
		await page.getByText('1.2.3.400', { exact: true }).first().waitFor();
	});
});

test('a feed that is not connected says what it is, is asked again by a button, and leads to its settings', REAL, async () => {
	await world.reset('', true);
	await on('overview', {}, async page => {
		const problem = page.locator('.diswall-problem', { hasText: 'DisWall' });
		const asked = [];

		page.on('request', request => /"resync"/.test(request.postData() || '') && asked.push(request.postData()));
		await problem.getByText(/Connection refused/).waitFor();
		await problem.getByRole('button', { name: 'Try again now' }).press('Enter');
		await page.getByText(/^DisWall is asked again/).waitFor();
		assert.match(asked.join(), /"source":"nats"/);
		assert.match(await text(page.getByRole('region', { name: 'DisWall', exact: true })), /Whom the users of DisWall ban\. Not connected|Whom the users of DisWall ban\. Connecting/);
		await problem.getByRole('link', { name: 'Open its settings…' }).click();
		await page.locator('li[data-tab=nats].cbi-tab').waitFor();
	});
	world.router.readonly = true;
	await on('overview', {}, async page => assert.ok(await page.getByRole('button', { name: 'Try again now' }).isDisabled()));
});

test('CrowdSec goes by its name, and no list can be called so', async () => {
	const twist = withParts({ name: 'feed.crowdsec', state: 'waiting', why: 'no connection' });

	await on('overview', {
		twist: (method, result) => {
			if (method == 'diswall.status')
				result[1].feeds.push({ name: 'crowdsec', state: 'waiting', entries: 3, notices: [] });

			return twist(method, result);
		}
	}, async page => {
		await page.getByRole('region', { name: 'CrowdSec', exact: true }).getByText('Whom your CrowdSec bans.').waitFor();
		await page.locator('.diswall-problem strong').getByText('CrowdSec', { exact: true }).waitFor();
		assert.strictEqual(await page.getByText(/List crowdsec/).count(), 0);
	});
	await on('lists', {}, async page => {
		await page.getByLabel('Name of a new list').fill('crowdsec');
		await page.getByRole('button', { name: 'Add list' }).click();
		await page.getByText('That name is taken; give the list another.').waitFor();
	});
});

test('what a button does is said before it is pressed, and what it did stays in sight', REAL, async () => {
	for (let last = 1; last <= 60; last++)
		world.cli('block', `45.91.91.${last}`, '--timeout', '1h');

	await on('blocked', { viewport: PHONE }, async page => {
		await page.getByText(/"Unblock" frees it until somebody bans it again\./).waitFor();
		await page.getByLabel('banned by').selectOption('manual');

		const rows = page.locator('.diswall-results tr', { hasText: '45.91.91.' });

		await until('the rows', async () => await rows.count() == 50);

		for (const row of [ 49, 48 ]) {
			await rows.nth(row).getByRole('button', { name: /^Unblock: / }).click();
			await page.locator('.diswall-told').getByText(/45\.91\.91\.\d+ /).waitFor();
			await until('the message', () => page.locator('.diswall-told').first().evaluate(node => {
				const place = node.getBoundingClientRect();

				return window.scrollY > 1000 && place.top >= 0 && place.bottom <= innerHeight;
			}));
		}

		assert.strictEqual(await page.locator('.diswall-told').count(), 1, 'one message takes the place of another');
		await rows.first().getByRole('button').first().click();
		await page.locator('.modal').getByText(/^Unblock: free from now on/).waitFor();
		await page.locator('.modal').getByText(/^Disconnect: ends the connections/).waitFor();
	});
	world.cli('clear', '--by', 'root');
});

test('the entries of a list are shown when it is chosen', REAL, async () => {
	await withList('barn', [ '192.0.3.1', '192.0.3.64/26' ]);
	await until('the list in force', () => world.cli('check', '192.0.3.1').status === 0);
	await on('blocked', {}, async page => {
		await page.getByLabel('banned by').selectOption('barn');
		await page.getByRole('button', { name: '192.0.3.64/26', exact: true }).waitFor();
		await page.getByRole('button', { name: 'Allow: 192.0.3.1' }).waitFor();
		/* Nobody is struck off a list. */
		assert.strictEqual(await page.getByRole('button', { name: /^Unblock/ }).count(), 0);
		await page.getByRole('button', { name: '192.0.3.1', exact: true }).click();
		await page.locator('.modal').getByText(/^Allow always/).first().waitFor();
		assert.strictEqual(await page.locator('.modal').getByText(/^Unblock/).count(), 0);
	});
});

test('an allowance for a time is taken back on its page, and who allows nobody is told for what it is', REAL, async () => {
	world.cli('allow', '45.92.92.1', '--timeout', '1h');
	world.router.readonly = true;
	await on('allowed', {}, async page => assert.ok(await page.getByRole('button', { name: 'Take back: 45.92.92.1' }).isDisabled()));
	world.router.readonly = false;
	await on('allowed', {}, async page => {
		await page.getByRole('button', { name: 'Take back: 45.92.92.1' }).click();
		await page.getByRole('heading', { name: 'For a time' }).waitFor({ state: 'detached' });
		assert.ok(!world.cli('check', '45.92.92.1').stdout.includes('is allowed'));
		assert.strictEqual(await page.getByText(/You allow nobody yet/).count(), 0);
	});
	fs.writeFileSync(world.config, fs.readFileSync(world.config, 'utf8').replace(/config (allow|block)\n(\t.*\n)*/g, ''));
	world.router.read();
	await on('allowed', {}, page => page.getByText(/You allow nobody yet/).waitFor());
	await on('rules', {}, page => page.getByText(/You block nobody yourself yet/).waitFor());
});

test('a slow answer is waited for in sight', async () => {
	const face = world.router.face;
	const slowly = async (name, act) => on(name, {}, async page => {
		world.router.face = (method, args) => new Promise(resolve => setTimeout(resolve, 1500)).then(() => face(method, args));
		await act(page);
		await page.locator('[aria-busy=true]').waitFor();
		assert.strictEqual(await page.locator('[aria-busy=true]').getAttribute('data-waiting'), 'Asking…');
		await page.locator('[aria-busy=true]').waitFor({ state: 'detached' });
		world.router.face = face;
	});

	try {
		await slowly('overview', async page => {
			await page.getByLabel('Address').fill('203.0.113.9');
			await page.getByLabel('Address').press('Enter');
		});
		await slowly('blocked', page => page.getByRole('button', { name: 'Next page' }).click());
		await slowly('report', page => page.getByLabel('14 days').check());
	}
	finally {
		world.router.face = face;
	}
});

test('every page says so when the daemon does not run, and breaks nowhere', async () => {
	for (const name of PAGES)
		await on(name, {
			twist: (method, result) => method.startsWith('diswall.')
				? [ 0, { error: { code: 'not_running', message: 'the daemon cannot be reached' } } ] : result
		}, async page => {
			if ([ 'overview', 'report', 'blocked', 'lists', 'status' ].includes(name))
				await page.getByText(/not running/).first().waitFor();

			if ([ 'report', 'blocked', 'lists' ].includes(name))
				await page.getByRole('link', { name: 'Start it on the overview…' }).first().waitFor();
		});
});

test('a login without any right is told, not shown errors', async () => {
	world.router.denied = true;
	await on('overview', {}, page => page.getByText(/has no right/).first().waitFor());
	await on('blocked', {}, page => page.getByText(/has no right/).first().waitFor());
});

test('a read-only login sees everything, and its buttons are disabled', async () => {
	world.router.readonly = true;

	for (const name of [ 'overview', 'blocked', 'allowed', 'rules', 'lists', 'settings' ])
		await on(name, {}, page => page.getByText('This login may look at everything and change nothing.').waitFor());

	await on('overview', {}, async page => {
		await page.getByText(/^(Protected|Not everything)/).first().waitFor();
		await page.getByLabel('Address').fill('203.0.113.9');
		await page.getByRole('button', { name: 'Check' }).click();
		await page.locator('.diswall-answer button').first().waitFor();

		for (const button of await page.locator('.diswall-answer button').all())
			assert.ok(await button.isDisabled());
	});
	await on('blocked', {}, async page => {
		for (const button of await page.locator('.cbi-section-actions button').all())
			assert.ok(await button.isDisabled());
	});

	await on('allowed', {}, async page =>
		assert.ok(await page.getByRole('button', { name: 'Add my own address' }).isDisabled()));
	await on('settings', {}, async page => {
		for (const button of await page.getByRole('button', { name: 'Test connection', includeHidden: true }).all())
			assert.ok(await button.isDisabled());
	});

	for (const name of [ 'allowed', 'rules', 'settings' ])
		await on(name, {}, async page => {
			await page.locator('.cbi-map').waitFor({ state: 'attached' });

			for (const button of await page.locator('.cbi-button-save, .cbi-button-apply, .cbi-button-add:not(.cbi-dynlist *), .cbi-page-actions .cbi-button-reset').all())
				if (await button.isVisible())
					/* LuCI's button with a menu is a div. */
					assert.ok(await button.evaluate(node => node.hasAttribute('disabled')), name + ': ' + await button.innerText());
		});
});

test('a read-only login never gets a secret, whatever it asks', async () => {
	await world.reset("\nconfig nats 'other'\n\toption client_pass 'hunter2'\n\toption client_pas 'hunter2'\n");
	world.router.readonly = true;

	for (const name of PAGES) {
		const heard = [];

		await on(name, {
			twist: (method, result) => {
				heard.push(JSON.stringify(result));
				return result;
			}
		}, async page => {
			if ([ 'allowed', 'rules', 'settings' ].includes(name))
				await page.locator('.cbi-map').waitFor();

			if (name == 'settings' && BINARY)
				assert.strictEqual(await page.locator('[data-name=_nats_client_name] input').inputValue(), 'demo', 'what is no secret is there');

			if (name == 'allowed')
				await page.getByText('198.51.100.7').first().waitFor();

			assert.ok(!heard.join().includes('hunter2'), name);
			assert.ok(!(await page.content()).includes('hunter2'), name);
		});
	}

	/* And the whole file is not to be had either. */
	assert.strictEqual((await world.router.ubus({ id: 1, method: 'call', params: [ 'x', 'uci', 'get', { config: 'diswall' } ] })).error.code, -32002);
});

/* Names that any object has, and those that make one. */
const HOSTILE = [ 'constructor', '__proto__', 'toString', 'hasOwnProperty', 'valueOf' ];

test('a name that every object has breaks no page, wherever it stands', async () => {
	const rename = (value, name) => typeof value == 'string' ? name : Array.isArray(value) ? value.map(item => rename(item, name))
		: value && typeof value == 'object' ? Object.fromEntries(Object.entries(value).map(([ key, inner ]) => [ key, rename(inner, name) ])) : value;

	for (const hostile of HOSTILE)
		for (const name of PAGES)
			await on(name, {
				twist: (method, result) => method.startsWith('diswall.') ? [ result[0], rename(result[1], hostile) ]
					: result
			}, async page => {
				await page.locator('h2, h3').first().waitFor();
				/* What an object gives for such a name is a function. */
				assert.ok(!/function |native code|\[object /.test(await page.locator('#maincontent').innerText()), `${name}: ${hostile}`);
				assert.strictEqual(await page.evaluate(() => ({}).polluted), undefined);
			});
});

/* A section of the name __proto__ breaks LuCI's own forms, of whichever page. */
test('an option whose value is a name that every object has breaks no form', async () => {
	for (const hostile of HOSTILE) {
		await world.reset([ 'proto', 'action', 'dest_port', 'comment' ].map(option => `
config block
	option ip '192.0.2.9'
	option ${option} '${hostile}'
`).join('') + `
config logwatch '${hostile == '__proto__' ? 'x' : hostile}'
	option name '${hostile}'
	list pattern 'a <HOST> b'
`);

		/* The recorded face has a configuration of its own. */
		for (const readonly of BINARY ? [ false, true ] : [ false ]) {
			world.router.readonly = readonly;
			await on('rules', {}, async page => {
				await page.getByText('192.0.2.9').first().waitFor();
				assert.ok(!/function |native code|\[object /.test(await page.locator('#maincontent').innerText()), hostile);
			});
			await on('settings', {}, page => page.locator('.cbi-map').waitFor());
		}
	}
});

/* A status in which these parts are not in force. */
const withParts = (...parts) => (method, result) => {
	if (method == 'diswall.status')
		Object.assign(result[1], { state: parts.some(part => part.state == 'broken') ? 'degraded' : 'waiting', parts: result[1].parts.concat(parts) });

	return result;
};

test('what is not in force is never under a tick, and says what is lost and what to do', async () => {
	const twist = withParts({ name: 'login', state: 'broken', why: 'no log', lost: 'nobody is banned', remedy: 'name the log' });

	await on('overview', { twist }, async page => {
		await page.getByText(/^Protected in part: /).waitFor();
		assert.strictEqual(await page.locator('.diswall-banner.diswall-good').count(), 0);
		await page.getByText('no log', { exact: true }).waitFor();
		await page.getByText('Meanwhile: nobody is banned').waitFor();
		await page.getByText('What to do: name the log').waitFor();
	});
	await on('status', { twist }, async page => {
		await page.getByRole('link', { name: 'Protected in part' }).waitFor();
		await page.getByText('Log-in detection: no log').waitFor();
		assert.strictEqual(await page.locator('.diswall-outcome.diswall-good').count(), 0);
	});
});

test('a state that contradicts its parts, and a part of an unknown state, are not taken for good', async () => {
	for (const state of [ 'broken', 'waiting', 'splendid' ])
		await on('overview', {
			twist: (method, result) => {
				if (method == 'diswall.status')
					Object.assign(result[1], { state: 'protected', parts: [ { name: 'scan', state } ] });

				return result;
			}
		}, async page => {
			await page.locator('.diswall-banner').waitFor();
			assert.strictEqual(await page.locator('.diswall-banner.diswall-good').count(), 0, state);
		});
});

test('what is switched off says what it would give, and leads to its switch', async () => {
	const twist = (method, result) => {
		if (method == 'diswall.status') {
			result[1].feeds.forEach(feed => feed.state = 'off');
			result[1].scan.state = 'off';
			result[1].parts = result[1].parts.filter(part => ![ 'feed.dynfw', 'feed.nats', 'scan', 'login' ].includes(part.name));
		}

		return result;
	};

	await on('overview', { twist }, async page => {
		for (const [ title, words ] of [ [ 'Turris DynFW', /CZ\.NIC/ ], [ 'DisWall', /users of DisWall/ ], [ 'Scan detection', /port that nobody serves/ ], [ 'Log-in detection', /log in too often/ ] ]) {
			const card = page.getByRole('region', { name: title });

			assert.match(await text(card), words);
			await card.getByRole('link', { name: 'Switch it on…' }).waitFor();
		}

		await page.getByRole('region', { name: 'DisWall', exact: true }).getByRole('link').click();
		await page.locator('[data-name=_nats_enabled]').waitFor();
	});
});

test('a lasting block is among the newest bans, with its reason', REAL, () => on('overview', {}, async page => {
	world.cli('block', '45.93.93.0/24', '--comment', 'pest');
	await page.getByRole('row', { name: /45\.93\.93\.0\/24 .*Own blocks .*pest/ }).waitFor();
	world.cli('block', '45.93.94.1');
	await page.getByRole('row', { name: /45\.93\.94\.1 .*blocked by hand/ }).waitFor();
}));

test('the log folds what repeats, shows bans first, and a page at a time', async () => {
	const line = (second, level, words) => `Sat Nov 21 20:${String(second / 60 | 0).padStart(2, '0')}:${String(second % 60).padStart(2, '0')} 2026 daemon.${level} diswall[812]: ${words}\n`;
	const lines = [ line(0, 'info', 'scan: 198.51.100.9 banned for 15m: tcp/23') ];

	for (let i = 1; i < 300; i++)
		lines.push(line(i, 'warn', i % 3 ? `nats: refused the connection; next try in ${i} s` : 'dynfw: message number ' + i));

	world.router.log = lines.join('');
	await on('log', {}, async page => {
		const rows = page.locator('.diswall-log tr');

		await page.getByRole('heading', { name: 'Bans' }).waitFor();
		assert.match(await text(rows.first()), /198\.51\.100\.9 banned/);
		assert.strictEqual(await rows.count(), 50);
		assert.match(await text(rows.nth(1)), /20:04:59.*refused the connection.*200 times since Sat Nov 21 20:00:01/);
		await page.getByRole('button', { name: 'Next page' }).click();
		await page.getByText('51 to 101 of 101').or(page.getByText('51 to 100 of 101')).waitFor();
		assert.ok(!(await text(page.locator('.diswall-results'))).includes('198.51.100.9'));
	});
});

test('a file that cannot be read leaves every page, names its line, and offers the last good one', async () => {
	fs.appendFileSync(world.config, "\nconfig scan 'scan'\n\toption enabled '1\n");

	const asked = [];
	const twist = (method, result) => {
		asked.push(method);

		/* A last good configuration is kept for /etc/config/diswall alone. */
		if (method == 'diswall.config')
			Object.assign(result[1], { in_force: 'last_good', readable: false, restorable: true },
				BINARY ? {} : { problems: [ { key: 'config', severity: 'error', text: '/etc/config/diswall:40: error: no closing quote' } ] });

		return method == 'diswall.restore' ? [ 0, { done: [ { address: '', text: 'put back' } ] } ] : result;
	};

	for (const name of [ 'allowed', 'rules', 'settings' ])
		await on(name, { twist }, async page => {
			await page.getByText(/The last good configuration is in force/).waitFor();
			await page.getByText(/:\d+: error: /).first().waitFor();
			await page.getByText(name == 'settings' ? 'Guarded zones' : 'Address or network').first().waitFor({ state: 'attached' });
			assert.strictEqual(await page.locator('.cbi-page-actions:visible').count(), 0, 'nothing can be saved over it');
			await page.getByRole('button', { name: 'Put the last good configuration back…' }).click();
			assert.ok(!asked.includes('diswall.restore'), 'not before it was said twice');
			await page.getByRole('button', { name: 'Put it back', exact: true }).click();
			await until('the question', () => asked.includes('diswall.restore'));
			asked.length = 0;
		});

	world.router.readonly = true;
	await on('rules', { twist }, async page => {
		await page.getByText(/The last good configuration is in force/).waitFor();
		assert.strictEqual(await page.getByRole('button', { name: /last good/ }).count(), 0);
	});
});

test('a session that ends while a page is open is said in words, with the way back', async () => {
	const over = { settings: async page => {
		await page.locator('[data-name=_main_max_entries] input').fill('5000');
		world.router.expired = true;
		await page.locator('.cbi-page-actions').getByText('Save', { exact: true }).first().click();
	}, allowed: async page => {
		world.router.expired = true;
		await page.getByRole('button', { name: 'Add my own address' }).click();
	} };

	for (const name in over) {
		const page = await world.open(name);

		try {
			await page.locator('.cbi-map').waitFor();
			await over[name](page);
			await page.locator('.modal').getByText(/session is over/).waitFor();
			await page.locator('.modal').getByRole('button', { name: 'Log in again' }).waitFor();
			assert.ok(!/\.js:\d|\bat \w+ \(/.test(await page.locator('body').innerText()), 'lines of scripts are shown');
		}
		finally {
			world.router.expired = false;
			await page.context().close();
		}
	}

	await on('blocked', {}, async page => {
		world.router.expired = true;
		await page.getByRole('button', { name: 'Search' }).click();
		await page.getByText(/no right to do that|session is over/i).or(page.getByText('Session expired')).first().waitFor();
		assert.ok(!/\.js:\d/.test(await page.locator('body').innerText()));
		world.router.expired = false;
	});
});

test('answers of the wrong shape break no page', async () => {
	const nonsense = [ [], 'text', 7, null, true, {}, { bans: 'x', state: [], events: {}, allowances: 1 } ];
	let next = 0;

	/* Each call of each page meets the next kind of nonsense. */
	for (let round = 0; round < 3; round++)
		for (const name of PAGES)
			await on(name, { twist: (method, result) => method.startsWith('diswall.') ? [ 0, nonsense[next++ % nonsense.length] ] : result },
				page => page.locator('h2, h3').first().waitFor());
});

test('fields of the wrong type break no page', async () => {
	/* Every value of every answer in turn becomes something else. */
	const spoil = (value, depth = 0) => Array.isArray(value) ? (depth > 2 ? 'x' : value.slice(0, 3).map(item => spoil(item, depth + 1)).concat(null, 5, 'x'))
		: value && typeof value == 'object' ? Object.fromEntries(Object.entries(value).map(([ key, inner ]) => [ key, spoil(inner, depth + 1) ]))
			: typeof value == 'number' ? 'not a number' : typeof value == 'string' ? { an: 'object' } : null;

	for (const name of PAGES)
		await on(name, { twist: (method, result) => method.startsWith('diswall.') ? [ 0, spoil(result[1]) ] : result },
			page => page.locator('h2, h3').first().waitFor());
});

test('what strangers write stays text everywhere', async () => {
	const attack = '"><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>';
	/* Identifiers the pages look at keep their value in one run, and are attacks in the other. */
	const KEYS = [ 'name', 'state', 'source', 'kind', 'origin', 'verdict', 'severity', 'key', 'cursor' ];
	const poison = (value, keys, key) => typeof value == 'string' ? (keys.includes(key) || key == '.name' || key == '.type' ? value : value + attack)
		: Array.isArray(value) ? value.map(item => poison(item, keys, key))
			: value && typeof value == 'object' ? Object.fromEntries(Object.entries(value).map(([ inner, item ]) => [ inner, poison(item, keys, inner) ])) : value;

	world.router.log = `Sat Nov 21 20:20:46 2026 daemon.info diswall[812]: banned ${attack}\n`;

	for (const name of PAGES)
		for (const keys of [ KEYS, [] ])
			await on(name, { twist: (method, result) => [ result[0], poison(result[1], method == 'uci.changes' ? [ '.name' ] : keys) ] }, async page => {
				if (name == 'overview' && keys.length) {
					await page.getByLabel('Address').fill('203.0.113.9');
					await page.getByRole('button', { name: 'Check' }).click();
					await page.locator('.diswall-answer').waitFor();
				}

				if (name == 'blocked') {
					await page.locator('.diswall-results button.diswall-link').nth(4).click();
					await page.locator('.modal .diswall-answer').waitFor();
				}

				if (name == 'allowed' || name == 'rules') {
					await page.getByRole('button', { name: 'Edit' }).first().click();
					await page.locator('.modal [data-name=ip]').waitFor();
				}

				assert.strictEqual(await page.evaluate(() => window.pwned), undefined, name);
				assert.strictEqual(await page.locator('#view img, #view script[src="x"], .modal img').count(), 0, name);
			});
});

test('a reason that is a formula does not become one in the download', () => on('blocked', {
	twist: (method, result) => {
		if (method == 'diswall.bans')
			result[1].bans.forEach(ban => ban.reason = { kind: 'tagged', text: '=cmd|calc' });

		return result;
	}
}, async page => {
	const [ download ] = await Promise.all([ page.waitForEvent('download'), page.getByRole('button', { name: 'Download CSV' }).click() ]);

	assert.match(fs.readFileSync(await download.path(), 'utf8').split('\r\n')[1], /,"'=cmd\|calc",/);
}));

test('the longest words that anybody may write fit on a phone', REAL, async () => {
	const word = 'w'.repeat(120), host = [ 'a', 'b', 'c' ].map(letter => letter.repeat(63)).join('.') + '.' + 'd'.repeat(57) + '.cz';
	const title = 'T'.repeat(80);

	await world.reset(`
config block
	option ip '2001:db8:1111:2222:3333:4444:5555:6666'
	option comment '${word}'

config allow
	option ip '${host}'
	option comment '${word}'

config logwatch
	option name 'long'
	list program '${'p'.repeat(30)}'
	list pattern '${'x'.repeat(100)} <HOST>'

config list 'wwwwwwwwwwwwwww'
	list url '/${'n'.repeat(200)}'
`);
	world.cli('block', '2001:db8:1111:2222:3333:4444:5555:7777', '--timeout', '1h', '--comment', word);
	world.cli('allow', '2001:db8:1111:2222:3333:4444:5555:8888', '--timeout', '1h', '--comment', word);
	world.router.log = `Sat Nov 21 20:20:46 2026 daemon.info diswall[812]: ${'l'.repeat(300)}\n`;
	await until('the block of the file and the one by hand', () => [ '6666', '7777' ].every(last => world.cli('list', 'manual').stdout.includes('5555:' + last)));

	for (const name of PAGES)
		await on(name, {
			viewport: PHONE,
			twist: (method, result) => {
				if (method == 'diswall.lists')
					Object.assign(result[1].lists[0], { title, about: word, licence: word });

				return result;
			}
		}, async page => {
			if (name == 'overview') {
				await page.getByLabel('Address').fill('2001:db8:1111:2222:3333:4444:5555:7777');
				await page.getByRole('button', { name: 'Check' }).click();
				await page.locator('.diswall-answer').getByText(word).waitFor();
			}

			const wide = await page.evaluate(() => [ ...document.querySelectorAll('.diswall *') ].filter(node => node.checkVisibility()
				&& node.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !node.closest('.diswall-hidden, .diswall-scroll, input, textarea'))
				.map(node => `${node.tagName} ${node.className}`));

			assert.deepStrictEqual(wide, [], name);
		});

	world.cli('clear', '--by', 'root');
	world.cli('disallow', '2001:db8:1111:2222:3333:4444:5555:8888');
});

test('no page is wider than a phone', async () => {
	for (const name of PAGES)
		await on(name, { viewport: PHONE, dark: true }, async page => {
			const [ width, shown ] = await page.evaluate(() => [ document.documentElement.scrollWidth, document.documentElement.clientWidth ]);

			assert.ok(width <= shown, `${name}: ${width} pixels wide, ${shown} shown`);
		});
});

test('the question is asked with the keyboard alone', () => on('overview', {}, async page => {
	for (let i = 0; i < 40; i++) {
		await page.keyboard.press('Tab');

		if (await page.evaluate(() => document.activeElement.id) == 'diswall-address')
			break;
	}

	await page.keyboard.type('203.0.113.9');
	await page.keyboard.press('Enter');
	await page.locator('.diswall-answer').waitFor();
	await page.keyboard.press('Tab');
	await page.keyboard.press('Tab');
	assert.strictEqual(await page.evaluate(() => document.activeElement.closest('.diswall-answer') !== null), true);
}));

test('the pages speak Czech', async () => {
	world.router.language = 'cs';
	await on('overview', {}, async page => {
		await page.getByText('Proč je tato adresa blokována?').waitFor();
		await page.getByText(/^(Chráněno|Zatím neplatí vše): .* adres/).waitFor();
	});
	await on('settings', {}, page => page.getByText('Zkusit spojení').first().waitFor({ state: 'attached' }));
	await on('lists', {}, page => page.getByText(/^Celé sítě, které někdo unesl/).waitFor());
});
