'use strict';

/* The one world that all page tests share, back to its beginning before each of them. */

const assert = require('node:assert');
const test = require('node:test');
const { World } = require('./world.js');

const world = new World();

test.before(() => world.start());
test.after(() => world.stop());
test.beforeEach(() => world.reset());

/* Opens a page, runs the test on it, then looks at what went wrong inside. */
async function on(name, options, use) {
	const page = await world.open(name, options);

	try {
		await use(page);
		assert.deepStrictEqual(page.complaints, []);
		assert.deepStrictEqual(page.strangers, []);
		await world.keep(page);
	}
	finally {
		await world.close(page);
	}
}

module.exports = { world, on };
