'use strict';
'require baseclass';
'require form';
'require uci';
'require diswall.text as text';

/*
 * A grid of UCI sections that shows a page of them and can be searched, so that 5,000 allowances
 * open as fast as five. What is not shown is neither read from the form nor written. `introduction` stands there while
 * there is none.
 */

const h = text.h;
const PAGE = 50;

const PagedGrid = form.GridSection.extend({
	/* The sections that pass the search, in the order of the file. */
	matching: function() {
		const wanted = (this.search || '').toLowerCase();

		return uci.sections(this.map.config, this.sectiontype).filter(section => !wanted
			|| String(section.ip || '').toLowerCase().startsWith(wanted)
			|| String(section.comment || '').toLowerCase().includes(wanted)).map(section => section['.name']);
	},

	cfgsections: function() {
		const sections = this.matching();

		this.offset = Math.min(this.offset || 0, Math.max(0, Math.floor((sections.length - 1) / PAGE) * PAGE));
		return sections.slice(this.offset, this.offset + PAGE);
	},

	/* A section just added is at the end of the file: show the end. */
	handleAdd: function() {
		this.search = '';
		this.offset = uci.sections(this.map.config, this.sectiontype).length;
		return this.super('handleAdd', arguments);
	},

	/* LuCI keeps the values of the sections it showed: the new ones must be loaded first. */
	turn: function(changes) {
		Object.assign(this, changes);
		return this.map.load().then(() => this.map.reset());
	},

	renderContents: function() {
		return Promise.resolve(this.super('renderContents', arguments)).then(node =>
			h('div', {}, this.introduction && !uci.sections(this.map.config, this.sectiontype).length
				? h('div', { 'class': 'diswall-intro' }, this.introduction) : '', this.renderSearch(), node, this.renderPager()));
	},

	renderSearch: function() {
		if (uci.sections(this.map.config, this.sectiontype).length <= PAGE && !this.search)
			return '';

		const input = h('input', {
			'class': 'cbi-input-text', 'type': 'text', 'value': this.search || '', 'aria-label': _('Address or comment'),
			'placeholder': _('Address or comment'),
			'keydown': ev => {
				if (ev.key == 'Enter') {
					ev.preventDefault();
					return this.turn({ search: input.value.trim(), offset: 0 });
				}
			}
		});

		return h('div', { 'class': 'diswall-filter' }, input, ' ', h('button', {
			'class': 'btn cbi-button cbi-button-action', 'type': 'button',
			'click': () => this.turn({ search: input.value.trim(), offset: 0 })
		}, _('Search')));
	},

	renderPager: function() {
		const matching = this.matching().length;

		if (matching <= PAGE)
			return '';

		const go = (label, sign, offset) => h('button', {
			'class': 'btn cbi-button cbi-button-neutral', 'type': 'button', 'aria-label': label, 'title': label,
			'disabled': offset < 0 || offset >= matching ? '' : null, 'click': () => this.turn({ offset: offset })
		}, sign);

		return h('nav', { 'class': 'diswall-pager', 'aria-label': _('Pages') },
			go(_('Previous page'), '‹', this.offset - PAGE), ' ',
			h('span', {}, _('%s to %s of %s').format(text.number(this.offset + 1),
				text.number(Math.min(matching, this.offset + PAGE)), text.number(matching))), ' ',
			go(_('Next page'), '›', this.offset + PAGE));
	}
});

/* For `write` of an option: an address is often pasted with a blank behind it. */
function writeWithoutBlanks(name, value) {
	return uci.set(this.map.config, name, this.option, value.trim());
}

return baseclass.extend({
	Section: PagedGrid,
	writeWithoutBlanks: writeWithoutBlanks
});
