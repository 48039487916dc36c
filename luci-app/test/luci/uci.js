'use strict';
'require baseclass';
'require rpc';

/* Stand-in of LuCI's uci module: a copy of the configuration in the page, changes sent on save. */

const calls = {};

for (const [ method, params ] of Object.entries({
	get: [ 'config' ], add: [ 'config', 'type', 'name', 'values' ], set: [ 'config', 'section', 'values' ],
	delete: [ 'config', 'section', 'options' ], apply: [], changes: []
}))
	calls[method] = rpc.declare({ object: 'uci', method: method, params: params, reject: true });

const configs = {};
let added = [], changed = new Map(), removed = [], lastNew = 0;

function section(config, name) {
	return configs[config] && configs[config][name];
}

function note(config, name, option, value) {
	const key = config + '.' + name;

	if (!changed.has(key))
		changed.set(key, { config: config, name: name, set: {}, gone: [] });

	const change = changed.get(key);

	delete change.set[option];
	change.gone = change.gone.filter(other => other != option);

	if (value === null)
		change.gone.push(option);
	else
		change.set[option] = value;
}

return baseclass.extend({
	/* As LuCI's own, by the name of the configuration. */
	state: { values: configs },

	load: function(config) {
		if (configs[config])
			return Promise.resolve([ config ]);

		return calls.get(config).then(answer => {
			configs[config] = answer.values;
			return [ config ];
		});
	},

	/* As LuCI's: what is not saved is lost. */
	unload: function(config) {
		delete configs[config];
		added = added.filter(entry => entry.config != config);
		removed = removed.filter(entry => entry.config != config);
		changed.forEach((change, key) => change.config == config && changed.delete(key));
	},

	sections: function(config, type) {
		return Object.values(configs[config] || {}).filter(found => !type || found['.type'] == type)
			.sort((a, b) => a['.index'] - b['.index']);
	},

	get: function(config, name, option) {
		const found = section(config, name);

		return found ? (option ? found[option] ?? null : found) : null;
	},

	set: function(config, name, option, value) {
		section(config, name)[option] = value;
		note(config, name, option, value);
	},

	unset: function(config, name, option) {
		delete section(config, name)[option];
		note(config, name, option, null);
	},

	add: function(config, type, name) {
		const made = name || 'new%d'.format(++lastNew);

		configs[config][made] = { '.name': made, '.type': type, '.index': 1e6 + lastNew, '.anonymous': !name };
		added.push({ config: config, type: type, name: name, temporary: made });
		return made;
	},

	remove: function(config, name) {
		const before = added.length;

		delete configs[config][name];
		changed.delete(config + '.' + name);
		added = added.filter(entry => entry.temporary != name);

		if (added.length == before)
			removed.push({ config: config, name: name });
	},

	/* Sends what changed, then reads the configuration anew, as the router names it now. */
	save: function() {
		const names = {};
		let last = Promise.resolve();

		for (const entry of added)
			last = last.then(() => calls.add(entry.config, entry.type, entry.name))
				.then(answer => names[entry.config + '.' + entry.temporary] = answer.section);

		for (const entry of removed)
			last = last.then(() => calls.delete(entry.config, entry.name));

		for (const change of changed.values())
			last = last.then(() => {
				const name = names[change.config + '.' + change.name] || change.name;

				return Promise.all([
					Object.keys(change.set).length ? calls.set(change.config, name, change.set) : null,
					change.gone.length ? calls.delete(change.config, name, change.gone) : null
				]);
			});

		return last.then(() => {
			added = [];
			removed = [];
			changed = new Map();

			const loaded = Object.keys(configs);

			for (const config of loaded)
				delete configs[config];

			return Promise.all(loaded.map(config => this.load(config)));
		}).then(() => this.showPending());
	},

	apply: function() {
		return calls.apply().then(() => this.showPending());
	},

	showPending: function() {
		return calls.changes().then(answer => {
			const count = Object.values(answer.changes || {}).flat().length;

			document.getElementById('indicators').textContent = count ? _('Unsaved Changes') + ': ' + count : '';
		});
	}
});
