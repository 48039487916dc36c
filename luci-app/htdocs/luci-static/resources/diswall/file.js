'use strict';
'require baseclass';
'require ui';
'require uci';
'require diswall.api as api';
'require diswall.text as text';

/*
 * The configuration file as the pages with forms need it. Who may write gets it from LuCI's own uci, as
 * with every form. A login that may only read gets what diswall hands out of it, which has no secrets; so
 * does everybody while uci cannot read the file: the page stays, and says which line is wrong.
 */

const h = text.h;

/* What is in force while something is wrong with the file. */
const IN_FORCE = new Map([
	[ 'file', () => _('%s has mistakes; the rest of it is in force.') ],
	[ 'last_good', () => _('%s cannot be read. The last good configuration is in force.') ],
	[ 'readable', () => _('%s cannot be read as a whole. What can be read of it is in force.') ],
	[ 'nothing', () => _('%s cannot be read, and nothing of it is in force.') ]
]);

/* What diswall handed out, in the shape in which uci would have had it. Any name may stand in it. */
function valuesOf(answer) {
	const values = Object.create(null);

	answer.sections.forEach((section, index) => {
		const name = section.name || 'cfg' + String(index).padStart(6, '0');
		const into = values[name] = Object.create(null);

		Object.assign(into, { '.name': name, '.type': section.kind, '.anonymous': !section.name, '.index': index });

		for (const option of section.options)
			into[option.name] = option.list ? option.values : option.values[0];
	});

	return values;
}

/* The last good configuration takes the file's place, once the owner has said so twice. */
function offerRestore(file) {
	const place = h('span', { 'role': 'status' });
	const button = h('button', {
		'class': 'btn cbi-button cbi-button-action', 'type': 'button',
		'click': () => {
			text.fill(place, _('What %s holds now is set aside.').format(file), ' ', h('button', {
				'class': 'btn cbi-button cbi-button-negative', 'type': 'button',
				'click': ui.createHandlerFn(null, () => api.restore().then(answer => {
					if (answer.failed)
						return text.tell(ui, answer.failed.message, 'danger');

					location.reload();
				}))
			}, _('Put it back')));
		}
	}, _('Put the last good configuration back…'));

	return h('div', { 'class': 'diswall-actions' }, button, place);
}

/* What is wrong with the file, with its lines, and the way back; nothing while all is well. */
function notice(answer) {
	if (answer.failed)
		return answer.failed.code == 'denied' ? '' : h('p', { 'class': 'diswall-problem diswall-warn' }, answer.failed.message);

	if (answer.in_force == 'file' && !answer.problems.length)
		return '';

	const bad = answer.in_force != 'file' || answer.problems.some(problem => problem.severity == 'error');

	return h('div', { 'class': 'diswall-problem diswall-' + (bad ? 'bad' : 'warn'), 'role': 'alert' },
		h('strong', {}, text.pick(IN_FORCE, answer.in_force, IN_FORCE.get('file'))().format(answer.file)),
		h('ul', {}, answer.problems.map(problem => h('li', {}, problem.text))),
		answer.in_force != 'file' && answer.restorable && L.hasViewPermission() === true ? offerRestore(answer.file) : '');
}

/* Loads the file into uci. Resolves to { readonly, notice }, what is to stand above the form; never rejects. */
function load() {
	const writable = L.hasViewPermission() === true;
	const handed = answer => {
		uci.state.values.diswall = answer.failed ? Object.create(null) : valuesOf(answer);
		return { readonly: true, notice: [ notice(answer), text.lookOnly() ] };
	};

	return api.config().then(answer => writable && (answer.failed || answer.readable)
		? uci.load('diswall').then(() => ({ readonly: false, notice: notice(answer) }), () => handed(answer))
		: handed(answer));
}

/* A session that is over takes what was typed with it: that is said in words, with the way back. */
function sayOver() {
	ui.showModal(_('Session expired'), [
		h('p', {}, _('This session is over. What you have not saved is lost; log in again to go on.')),
		h('div', { 'class': 'right' }, h('button', {
			'class': 'btn cbi-button cbi-button-action important', 'type': 'button', 'click': () => location.reload()
		}, _('Log in again')))
	]);
}

function sayFailed(error) {
	ui.showModal(_('Not saved'), [
		h('p', {}, String(error && error.message || error).split('\n')[0]),
		h('div', { 'class': 'right' }, h('button', {
			'class': 'btn cbi-button', 'type': 'button', 'click': ui.hideModal
		}, _('Close')))
	]);
}

/* What LuCI would show with the lines of its scripts. Passes the failure on, so that nothing is applied. */
function failed(error, silent) {
	return api.isOver(error).then(over => over ? sayOver() : silent || sayFailed(error)).then(() => Promise.reject(error));
}

/* A form that cannot be saved has no buttons for it; one that can says in words why it was not. */
function guard(view, map, state) {
	const save = map.save;

	map.readonly = state.readonly;
	map.save = (then, silent) => save.call(map, then, true).catch(error => failed(error, silent));

	if (state.readonly)
		Object.assign(view, { handleSaveApply: null, handleSave: null, handleReset: null });
}

return baseclass.extend({
	load: load,
	notice: notice,
	guard: guard,
	sayOver: sayOver
});
