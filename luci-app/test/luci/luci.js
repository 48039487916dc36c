'use strict';

/*
 * A small stand-in for LuCI's runtime: the module loader, classes, elements, translations and polling
 * that diswall's pages use, with the same faces. Test code: it is installed on no router.
 */

(() => {
	/* String.format as far as the pages use it: %s %d %%, and %h, which escapes HTML. */
	String.prototype.format = function(...args) {
		let next = 0;

		return this.replace(/%([sdh%])/g, (whole, kind) => {
			if (kind == '%')
				return '%';

			const value = String(args[next++]);

			return kind == 'd' ? String(Math.trunc(Number(value)))
				: kind == 'h' ? value.replace(/[&<>"']/g, c => '&#%d;'.format(c.charCodeAt(0))) : value;
		});
	};

	const words = window.TR || {};

	/* LuCI finds them by a hash: no name that every object has is among them. */
	window._ = text => Object.hasOwn(words, text) && words[text] || text;
	window.N_ = (count, one, many) => {
		const forms = words[one + '\u0001' + many];

		return forms ? forms[words.plural(count)] : count == 1 ? one : many;
	};

	/* Like LuCI, and as dangerous: a bare string becomes HTML, an item of an array becomes text. */
	function append(node, children) {
		if (Array.isArray(children))
			for (const child of children)
				node.append(child instanceof Node ? child : document.createTextNode(String(child)));
		else if (children instanceof Node)
			node.append(children);
		else if (children !== null && children !== undefined)
			node.innerHTML = String(children);
	}

	window.E = (tag, attributes, children) => {
		const node = document.createElement(tag);

		for (const [ name, value ] of Object.entries(attributes || {})) {
			if (typeof value == 'function')
				node.addEventListener(name, value);
			else if (value !== null && value !== undefined)
				node.setAttribute(name, value);
		}

		append(node, children);
		return node;
	};

	/* LuCI's classes: extend() makes a subclass, super(name, arguments) calls the parent's method. */
	class Base {
		static extend(properties) {
			const parent = this;
			const child = class extends parent {};

			Object.assign(child.prototype, properties);
			child.prototype.super = function(name, args) {
				/* The parent's method runs with the parent's own super. */
				const own = this.super;

				this.super = parent.prototype.super;

				try {
					return parent.prototype[name].apply(this, args || []);
				}
				finally {
					this.super = own;
				}
			};
			return child;
		}

		constructor(...args) {
			if (this.__init__)
				this.__init__(...args);
		}
	}

	const polls = [];

	const poll = {
		add: (call, seconds) => polls.push({ call, every: seconds || L.env.pollinterval, due: seconds || L.env.pollinterval, busy: false })
	};

	setInterval(() => {
		for (const entry of polls) {
			if (--entry.due > 0 || entry.busy)
				continue;

			entry.due = entry.every;
			entry.busy = true;
			Promise.resolve(entry.call()).finally(() => entry.busy = false);
		}
	}, 1000);

	const View = Base.extend({
		handleSave: () => Promise.all([ ...document.querySelectorAll('.cbi-map') ].map(node => node.instance.save())),
		handleReset: () => Promise.all([ ...document.querySelectorAll('.cbi-map') ].map(node => node.instance.reset())),
		handleSaveApply: function(ev) {
			return this.handleSave(ev).then(() => L.require('uci')).then(uci => uci.apply());
		},

		__show__: function() {
			const place = document.getElementById('view');

			return Promise.resolve(this.load ? this.load() : null)
				.then(data => this.render(data))
				.then(node => {
					place.replaceChildren(node);
					place.append(this.__footer__());
				})
				.catch(error => {
					place.replaceChildren(E('p', { 'class': 'alert-message error' }, [ String(error && error.stack || error) ]));
					throw error;
				});
		},

		__footer__: function() {
			const maps = [ ...document.querySelectorAll('.cbi-map') ];
			const readonly = maps.length ? maps.every(node => node.instance.readonly) : !L.hasViewPermission();
			const button = (handler, kind, label) => this[handler]
				? [ E('button', {
					'class': 'btn cbi-button cbi-button-' + kind, 'disabled': readonly ? '' : null,
					'click': ev => this[handler](ev)
				}, [ label ]), ' ' ] : [];

			return E('div', { 'class': 'cbi-page-actions' }, [].concat(
				button('handleSaveApply', 'apply', _('Save & Apply')), button('handleSave', 'save', _('Save')),
				button('handleReset', 'reset', _('Reset'))));
		}
	});

	const loaded = { baseclass: Promise.resolve(Base), view: Promise.resolve(View), poll: Promise.resolve(poll) };

	/* The 'require a.b as c' lines a module begins with. */
	function requirements(source) {
		return [ ...source.matchAll(/^'require ([\w.-]+)(?: as (\w+))?';$/gm) ]
			.map(match => ({ module: match[1], name: match[2] || match[1].replace(/\W/g, '_') }));
	}

	function load(name) {
		if (!loaded[name])
			loaded[name] = fetch(L.resource(name.replace(/\./g, '/') + '.js')).then(reply => {
				if (!reply.ok)
					throw new Error('module %s: HTTP %s'.format(name, reply.status));

				return reply.text();
			}).then(source => {
				const needs = requirements(source);

				return Promise.all(needs.map(need => load(need.module))).then(modules => {
					const made = new Function(...needs.map(need => need.name), source + '\n//# sourceURL=' + name + '.js')(...modules);

					return typeof made == 'function' ? new made() : made;
				});
			});

		return loaded[name];
	}

	window.LuCI = class {
		constructor(env) {
			this.env = env;
			addEventListener('DOMContentLoaded', () => load('uci').then(uci => uci.showPending()));
		}

		resource(path) { return this.env.resource + '/' + path; }
		/* As LuCI's: what has other characters is no part of an address and is left out. */
		url(path) { return this.env.scriptname + (/^[\w.%,;\/-]+$/.test(path) ? '/' + path : ''); }
		require(name) { return load(name); }
		hasViewPermission() { return !this.env.nodespec.readonly; }
	};
})();
