'use strict';

/*
 * The pages without a mouse and without eyes: what the browser tells a screen reader, what the Tab key
 * reaches, and whether text and drawings stand out from their background, in both themes.
 */

const assert = require('node:assert');
const test = require('node:test');
const { world, on } = require('./stage.js');

const PAGES = [ 'overview', 'report', 'blocked', 'allowed', 'rules', 'lists', 'settings', 'log', 'status' ];
const THEMES = [ false, true ];
const LOG = 'Sat Nov 21 20:20:46 2026 daemon.info diswall[812]: dynfw: live, 300 addresses\n'
	+ 'Sat Nov 21 20:20:47 2026 daemon.warn diswall[812]: nats: refused the connection\n'
	+ 'Sat Nov 21 20:20:48 2026 daemon.err diswall[812]: the kernel refused an element\n';

/* Roles of what can be used, or has to be told. */
const NAMED = [ 'button', 'link', 'textbox', 'searchbox', 'combobox', 'listbox', 'checkbox', 'radio', 'spinbutton', 'switch', 'tab',
	'radiogroup', 'img', 'image', 'navigation', 'region', 'dialog', 'DisclosureTriangle' ];

/* Every kind of answer in one page: states, problems and sources that a healthy router does not show. */
function colourful(method, result) {
	if (method != 'diswall.status' || !result[1].feeds)
		return result;

	const [ , status ] = result;

	Object.assign(status.feeds[1], { state: 'waiting', error: 'refused the connection', retry_in: 7, notices: [ { key: 'x', text: 'Not encrypted.' } ] });
	status.problems = [ 'error', 'warning', 'notice' ].map(severity => ({ key: 'log', severity, text: 'a problem: ' + severity }));
	status.scan = { state: 'error', error: 'no NFLOG', suspects: 0, bans_hour: 0 };
	return result;
}

/* A page, brought to where it has most to show. */
async function full(page, name) {
	if (name == 'overview') {
		await page.getByLabel('Address').fill('203.0.113.9');
		await page.getByRole('button', { name: 'Check' }).click();
		await page.locator('.diswall-answer').waitFor();
		await page.getByText('The same as a table').click();
	}

	if (name == 'log')
		await page.getByText('refused an element').waitFor();
}

/* Whatever can be used has a name that a screen reader says. */
async function named(page) {
	const client = await page.context().newCDPSession(page);
	const { nodes } = await client.send('Accessibility.getFullAXTree');
	const told = nodes.filter(node => !node.ignored && NAMED.includes(node.role?.value));

	assert.ok(told.length > 0, 'the browser tells a screen reader nothing');
	assert.deepStrictEqual(told.filter(node => !(node.name?.value || '').trim()).map(node => node.role.value), []);

	/* The last column of a grid of LuCI's has no name; ours have. */
	assert.deepStrictEqual(await page.evaluate(() => [ ...document.querySelectorAll('.diswall-table th') ]
		.filter(head => !head.textContent.trim()).length), 0);

	const twice = await page.evaluate(() => {
		const ids = [ ...document.querySelectorAll('.diswall [id]') ].map(node => node.id);

		return ids.filter((id, index) => ids.indexOf(id) != index);
	});

	assert.deepStrictEqual(twice, [], 'no name is given to two different things');
}

/* The Tab key reaches everything that can be used. */
async function reachable(page) {
	const count = await page.evaluate(() => {
		const shown = node => node.checkVisibility({ visibilityProperty: true }) && !node.disabled;
		/* One of a group of radio buttons is reached, the arrow keys go to the others. */
		const usable = [ ...document.querySelectorAll('.diswall a[href], .diswall button, .diswall input, .diswall select, .diswall textarea, .diswall summary, .diswall [tabindex="0"]') ]
			.filter(node => shown(node) && (node.type != 'radio' || node.checked) && !node.closest('[tabindex="-1"]'));

		window.reached = new Set();
		window.usable = usable;
		document.activeElement.blur();
		document.addEventListener('focusin', ev => window.reached.add(ev.target));
		return usable.length;
	});

	for (let step = 0; step < count + 25; step++)
		await page.keyboard.press('Tab');

	assert.deepStrictEqual(await page.evaluate(() => window.usable.filter(node => node.isConnected && !window.reached.has(node))
		.map(node => node.outerHTML.slice(0, 120))), []);
}

/* Contrast by WCAG 2: 4.5 for text, 3 for large text and for drawings. */
async function contrasting(page) {
	const faint = await page.evaluate(() => {
		const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

		/* Any CSS colour as red, green, blue (0–255) and alpha (0–1). */
		const rgba = colour => {
			canvas.clearRect(0, 0, 1, 1);
			canvas.fillStyle = colour;
			canvas.fillRect(0, 0, 1, 1);

			const [ r, g, b, a ] = canvas.getImageData(0, 0, 1, 1).data;

			return [ r, g, b, a / 255 ];
		};
		const over = (front, back) => [ 0, 1, 2 ].map(i => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);
		const path = node => node.parentElement ? path(node.parentElement).concat(node) : [ node ];
		const background = node => path(node).reduce((back, each) => over(rgba(getComputedStyle(each).backgroundColor), back), [ 255, 255, 255, 1 ]);
		const opacity = node => path(node).reduce((product, each) => product * Number(getComputedStyle(each).opacity), 1);
		const luminance = colour => {
			const [ r, g, b ] = colour.slice(0, 3).map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);

			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		const contrast = (front, node) => {
			const back = background(node);
			const [ high, low ] = [ over(front.slice(0, 3).concat(front[3] * opacity(node)), back), back ].map(luminance).sort((a, b) => b - a);

			return (high + 0.05) / (low + 0.05);
		};
		const found = [];
		const judge = (node, colour, least, what) => {
			const got = contrast(rgba(colour), node);

			if (got < least)
				found.push(`${what}: ${got.toFixed(2)} < ${least} (${colour} on ${background(node).slice(0, 3).map(Math.round)})`);
		};

		/* What LuCI's theme draws is the theme's: its buttons, tabs, fields and grids. */
		const own = node => node.checkVisibility({ visibilityProperty: true })
			&& !node.closest('.btn, .cbi-button, .cbi-tabmenu, .cbi-page-actions, .cbi-value, .cbi-section-table, .diswall-hidden');

		for (const node of document.querySelectorAll('.diswall *')) {
			const style = getComputedStyle(node);
			const words = [ ...node.childNodes ].filter(child => child.nodeType == 3 && child.data.trim()).map(child => child.data.trim()).join(' ');
			const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);

			if (!own(node))
				continue;

			if (node instanceof SVGElement) {
				if (node.tagName == 'text' && words)
					judge(node, style.fill, 4.5, words);
				else if (node.classList.contains('diswall-bar'))
					judge(node, style.fill, 3, node.getAttribute('class'));
			}
			else if (words && node.tagName != 'OPTION')
				judge(node, style.color, large ? 3 : 4.5, `${node.tagName} ${node.className}: ${words.slice(0, 40)}`);
			else if (node.classList.contains('diswall-dot'))
				judge(node.parentElement, style.backgroundColor, 3, node.className);
		}

		return [ ...new Set(found) ];
	});

	assert.deepStrictEqual(faint, []);
}

for (const dark of THEMES)
	for (const name of PAGES)
		test(`${name}, ${dark ? 'dark' : 'light'}: everything has a name, is reached by the Tab key, and stands out from its background`, async () => {
			world.router.log = LOG;
			await on(name, { dark, twist: colourful }, async page => {
				await full(page, name);
				await named(page);
				await contrasting(page);
				await reachable(page);
			});
		});

test('the tabs of the settings open with the keyboard', () => on('settings', {}, async page => {
	await page.locator('li[data-tab=firewall] a').focus();
	await page.keyboard.press('Enter');
	await page.locator('[data-name=_main_zone]').waitFor();
}));
