'use strict';
'require baseclass';
'require uci';
'require ui';

/*
 * Stand-in of LuCI's form module: maps of named sections with tabs and of grids with a dialog, and the
 * widgets that diswall's pages use. The element classes and data-name attributes are LuCI's.
 */

const AbstractValue = baseclass.extend({
	__init__: function(map, section, option, title, description) {
		Object.assign(this, { map: map, section: section, option: option, title: title, description: description });
		this.rmempty = true;
		this.keys = [];
		this.conditions = [];
		this.loaded = {};
	},

	/* Like LuCI, values are read at loading time, for the sections that are there then. */
	load: function(section) {
		this.loaded[section] = uci.get(...this.place(section)) ?? null;
	},

	value: function(key, label) {
		this.keys.push([ key, label ]);
	},

	depends: function(option, value) {
		this.conditions.push(typeof option == 'object' ? option : { [option]: value });
	},

	place: function(section) {
		return [ this.map.config, this.ucisection || section, this.ucioption || this.option ];
	},

	cfgvalue: function(section) {
		return this.loaded[section] ?? null;
	},

	textvalue: function(section) {
		const value = this.cfgvalue(section) ?? this.default;

		return value === null || value === undefined ? null : '%h'.format([].concat(value).join(' '));
	},

	write: function(section, value) {
		uci.set(...this.place(section), value);
	},

	remove: function(section) {
		if (uci.get(...this.place(section)) !== null)
			uci.unset(...this.place(section));
	},

	render: function(section) {
		const id = 'widget.cbid.%s.%s.%s'.format(this.map.config, section, this.option);
		const widget = this.renderWidget(section, id);

		this.node = E('div', { 'class': 'cbi-value', 'data-name': this.option }, [
			E('label', { 'class': 'cbi-value-title', 'for': id }, [ this.title ]),
			E('div', { 'class': 'cbi-value-field' }, [
				widget, E('div', { 'class': 'cbi-value-description' }, [ this.description || '' ])
			])
		]);
		this.node.addEventListener('change', () => this.section.showDependents());
		this.node.addEventListener('focusout', () => this.check(section));
		this.node.querySelectorAll('input, select, button').forEach(control => control.disabled = this.map.readonly);

		return this.node;
	},

	renderWidget: function(section, id) {
		return E('input', {
			'class': 'cbi-input-text', 'id': id, 'type': this.password ? 'password' : 'text',
			'placeholder': this.placeholder || '', 'value': this.cfgvalue(section) ?? this.default ?? ''
		});
	},

	control: function() {
		return this.node.querySelector('input, select');
	},

	formvalue: function() {
		return this.control().value;
	},

	hidden: function() {
		return this.node.hidden;
	},

	check: function(section) {
		if (this.hidden())
			return true;

		const value = this.formvalue(section);
		const empty = value === '' || (Array.isArray(value) && !value.length);
		const verdicts = empty
			? [ this.rmempty || this.optional ? true : _('Expecting a value') ]
			: [].concat(value).map(each => this.validate ? this.validate(section, each) : true);
		const wrong = verdicts.find(verdict => verdict !== true);

		this.node.querySelectorAll('input, select').forEach(control => control.classList.toggle('cbi-input-invalid', wrong !== undefined));
		this.node.setAttribute('data-tooltip', wrong === undefined ? '' : wrong);
		return wrong === undefined;
	},

	parse: function(section) {
		if (!this.check(section))
			return Promise.reject(new TypeError(_('Option "%s" contains an invalid input value.').format(this.title)));

		const value = this.hidden() ? '' : this.formvalue(section);
		const empty = value === '' || (Array.isArray(value) && !value.length);

		if (empty)
			this.remove(section);
		else if (JSON.stringify(value) != JSON.stringify(this.cfgvalue(section)))
			this.write(section, value);

		return Promise.resolve();
	}
});

const Flag = AbstractValue.extend({
	renderWidget: function(section, id) {
		const on = [ '1', 'on', 'yes', 'true' ].includes(this.cfgvalue(section) ?? this.default);

		return E('input', { 'id': id, 'type': 'checkbox', 'checked': on ? '' : null });
	},

	formvalue: function() {
		return this.control().checked ? '1' : '0';
	}
});

const ListValue = AbstractValue.extend({
	renderWidget: function(section, id) {
		const chosen = this.cfgvalue(section) ?? this.default ?? '';

		return E('select', { 'class': 'cbi-input-select', 'id': id },
			this.keys.map(key => E('option', { 'value': key[0], 'selected': key[0] == chosen ? '' : null }, [ key[1] ])));
	}
});

const DynamicList = AbstractValue.extend({
	renderWidget: function(section, id) {
		const list = E('div', { 'class': 'cbi-dynlist' });
		const input = E('input', { 'class': 'cbi-input-text', 'id': id, 'type': 'text', 'placeholder': this.placeholder || '' });
		const label = value => (this.keys.find(key => key[0] == value) || [ value, value ])[1];
		const item = value => E('div', { 'class': 'item', 'data-value': value, 'click': ev => ev.currentTarget.remove() }, [ label(value) ]);

		/* LuCI offers them in a list of its own below the field. */
		input.setAttribute('data-choices', this.keys.map(key => key[1]).join('\n'));
		const add = () => {
			if (input.value)
				list.insertBefore(item(input.value), input.parentNode);

			input.value = '';
		};

		input.addEventListener('keydown', ev => {
			if (ev.key == 'Enter') {
				ev.preventDefault();
				add();
			}
		});
		list.append(...[].concat(this.cfgvalue(section) ?? []).map(item), E('div', { 'class': 'add-item' }, [
			input, E('button', { 'class': 'btn cbi-button-add', 'type': 'button', 'aria-label': _('Add'), 'click': add }, [ '+' ])
		]));
		return list;
	},

	formvalue: function() {
		const typed = this.control().value;

		return [ ...this.node.querySelectorAll('.item') ].map(item => item.getAttribute('data-value')).concat(typed || []);
	}
});

const DummyValue = AbstractValue.extend({
	renderWidget: function(section) {
		return E('div', {}, [ this.textvalue(section) ]);
	},

	check: () => true,
	parse: () => Promise.resolve()
});

const Section = baseclass.extend({
	__init__: function(map, type, title) {
		Object.assign(this, { map: map, sectiontype: type, title: title, children: [], tabs: [] });
	},

	option: function(widget, option, title, description) {
		const made = new widget(this.map, this, option, title, description);

		this.children.push(made);
		return made;
	},

	formvalue: function(section, option) {
		const child = this.children.find(sibling => sibling.option == option);

		return child && child.node ? child.formvalue(section) : null;
	},

	showDependents: function() {
		for (const child of this.children) {
			if (!child.node || !child.conditions.length)
				continue;

			child.node.hidden = !child.conditions.some(condition => Object.entries(condition).every(([ option, value ]) => {
				const other = this.children.find(sibling => sibling.option == option);

				return other.node && other.formvalue() == value;
			}));
		}
	},

	load: function() {
		for (const section of this.cfgsections())
			this.children.forEach(child => child.load(section));
	},

	parseAll: function(section) {
		return Promise.all(this.children.filter(child => child.node && child.node.isConnected).map(child => child.parse(section)));
	}
});

const NamedSection = Section.extend({
	__init__: function(map, name, type, title) {
		this.super('__init__', [ map, type, title ]);
		this.section = name;
	},

	cfgsections: function() {
		return [ this.section ];
	},

	tab: function(name, title) {
		this.tabs.push({ name: name, title: title });
	},

	taboption: function(tab, ...rest) {
		const made = this.option(...rest);

		made.tab = tab;
		return made;
	},

	renderContents: function() {
		const panes = this.tabs.map(tab => E('div', { 'data-tab': tab.name },
			this.children.filter(child => child.tab == tab.name).map(child => child.render(this.section))));
		const menu = E('ul', { 'class': 'cbi-tabmenu' }, this.tabs.map((tab, index) => E('li', {
			'class': 'cbi-tab', 'data-tab': tab.name,
			'click': ev => {
				ev.preventDefault();
				panes.forEach((pane, other) => pane.hidden = other != index);
			}
		}, [ E('a', { 'href': '#' }, [ tab.title ]) ])));

		panes.forEach((pane, index) => pane.hidden = index > 0);
		this.showDependents();
		return E('div', { 'class': 'cbi-section' }, [ menu ].concat(panes));
	},

	parse: function() {
		return this.parseAll(this.section);
	}
});

const GridSection = Section.extend({
	cfgsections: function() {
		return uci.sections(this.map.config, this.sectiontype).map(section => section['.name']);
	},

	handleAdd: function(ev, given) {
		const name = uci.add(this.map.config, this.sectiontype, given);

		return this.edit(name, () => uci.remove(this.map.config, name));
	},

	/* The dialog of one section; `dismissed` is called when it is left without saving. */
	edit: function(name, dismissed) {
		const children = this.children.filter(child => child.modalonly !== false);

		children.forEach(child => child.load(name));

		const problem = E('p', { 'class': 'alert-message', 'hidden': '' });
		const nodes = children.map(child => child.render(name));

		ui.showModal(this.title || '', nodes.concat(problem, E('div', { 'class': 'right' }, [
			E('button', {
				'class': 'btn', 'click': () => {
					dismissed && dismissed();
					ui.hideModal();
				}
			}, [ _('Dismiss') ]), ' ',
			E('button', {
				'class': 'btn cbi-button cbi-button-positive important', 'disabled': this.map.readonly ? '' : null,
				'click': () => this.parseAll(name).then(() => {
					ui.hideModal();
					return this.map.save();
				}, error => {
					problem.hidden = false;
					problem.textContent = error.message;
				})
			}, [ _('Save') ])
		])));
		this.showDependents();
	},

	renderContents: function() {
		const button = (kind, label, click) => E('button', {
			'class': 'btn cbi-button cbi-button-' + kind, 'type': 'button', 'disabled': this.map.readonly ? '' : null, 'click': click
		}, [ label ]);
		const shown = this.children.filter(child => !child.modalonly);
		/* As in LuCI, what textvalue() gives is HTML. */
		const cell = (child, name) => E('td', { 'class': 'td cbi-value-field', 'data-title': child.title, 'data-name': child.option },
			child.textvalue(name) ?? E('em', {}, [ _('none') ]));

		return E('div', { 'class': 'cbi-section' }, [
			E('h3', {}, [ this.title || '' ]),
			E('table', { 'class': 'table cbi-section-table' }, [
				E('tr', { 'class': 'tr table-titles', 'data-title': this.anonymous ? null : _('Name') }, shown.map(child => E('th', { 'class': 'th' }, [ child.title ])))
			].concat(this.cfgsections().map(name => E('tr', {
				'class': 'tr cbi-section-table-row', 'data-section-id': name, 'data-title': this.anonymous ? null : name
			}, shown.map(child => cell(child, name)).concat(E('td', { 'class': 'td cbi-section-actions' }, [
					button('edit', _('Edit'), () => this.edit(name)), ' ',
					button('remove', _('Delete'), () => {
						uci.remove(this.map.config, name);
						return this.map.save();
					})
				])))))),
			this.renderSectionAdd(button)
		]);
	},

	renderSectionAdd: function(button) {
		return button('add', this.addbtntitle || _('Add'), ev => this.handleAdd(ev));
	},

	parse: () => Promise.resolve()
});

const FormMap = baseclass.extend({
	__init__: function(config, title, description) {
		Object.assign(this, { config: config, title: title, description: description, sections: [], readonly: false });
	},

	section: function(kind, ...rest) {
		const made = new kind(this, ...rest);

		this.sections.push(made);
		return made;
	},

	load: function() {
		return uci.load(this.config).then(() => this.sections.forEach(section => section.load()));
	},

	render: function() {
		return this.load().then(() => {
			this.node = E('div', { 'class': 'cbi-map' });
			this.node.instance = this;
			return this.reset();
		}).then(() => this.node);
	},

	reset: function() {
		return Promise.all(this.sections.map(section => section.renderContents())).then(nodes =>
			this.node.replaceChildren(this.title ? E('h2', {}, [ this.title ]) : '',
				E('div', { 'class': 'cbi-map-descr' }, [ this.description || '' ]), ...nodes));
	},

	save: function() {
		return Promise.all(this.sections.map(section => section.parse()))
			.then(() => uci.save())
			.then(() => this.load())
			.then(() => this.reset())
			.catch(error => {
				ui.showModal(_('Save error'), [
					E('p', {}, [ error.message ]), E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Dismiss') ])
				]);
				throw error;
			});
	}
});

return baseclass.extend({
	Map: FormMap, NamedSection: NamedSection, GridSection: GridSection, Value: AbstractValue, Flag: Flag,
	ListValue: ListValue, DynamicList: DynamicList, DummyValue: DummyValue
});
