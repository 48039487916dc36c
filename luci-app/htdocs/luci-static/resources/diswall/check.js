'use strict';
'require baseclass';
'require ui';
'require diswall.api as api';
'require diswall.text as text';

/*
 * "Why is this address blocked?": shows the daemon's verdict on an address, with the buttons that
 * change it. Used by the overview and by the table of blocked addresses.
 */

const h = text.h;

const VERDICTS = new Map([
	[ 'blocked', { icon: '✕', kind: 'bad' } ],
	[ 'partly', { icon: '✕', kind: 'warn' } ],
	[ 'allowed', { icon: '✓', kind: 'good' } ],
	[ 'protected', { icon: '✓', kind: 'good' } ],
	[ 'clear', { icon: '✓', kind: 'good' } ]
]);

const ORIGINS = new Map([
	[ 'config', () => _('Your allowance') ],
	[ 'command', () => _('Allowance for a time') ],
	[ 'nats', () => _('Allowance from DisWall') ]
]);

function headline(result) {
	const address = result.address;

	switch (result.verdict) {
	case 'blocked':
		return _('%s is blocked.').format(address);
	case 'partly':
		return _('%s is blocked in part, by a block of your own.').format(address);
	case 'allowed':
		return result.bans.length
			? _('%s is banned, but allowed: the allowance wins.').format(address)
			: _('%s is allowed: diswall never blocks it.').format(address);
	case 'protected':
		return _('%s is never blocked.').format(address);
	case 'clear':
		return _('%s is not blocked by diswall.').format(address);
	default:
		return result.sentence || address;
	}
}

function banLine(ban, now) {
	const why = text.reason(ban.reason);
	/* Somebody's own words, or diswall's. */
	const quoted = [ 'comment', 'tagged' ].includes(ban.reason.kind) && ban.reason.text;

	return h('li', {},
		text.sourceBadge(ban.source), quoted ? [ ' ', h('q', {}, why), ' ' ] : why ? [ ': ', why, ', ' ] : ' ',
		_('since %s').format(text.ago(now, ban.since)), ', ',
		ban.until === null && ban.left === null ? _('until taken back') : _('ends %s').format(text.end(ban)),
		ban.offences > 1 ? [ ', ', _('offence number %s').format(text.number(ban.offences)) ] : '',
		ban.withheld ? h('div', { 'class': 'diswall-note' }, _('Not in force: %s').format(ban.withheld)) : '');
}

function allowanceLine(allowance) {
	const origin = text.pick(ORIGINS, allowance.origin, () => _('List %s').format(allowance.origin))();

	return h('li', {}, origin, ' ', allowance.address,
		allowance.comment ? [ ' ', h('q', {}, allowance.comment) ] : '',
		allowance.left !== null ? [ ', ', _('ends %s').format(text.end(allowance)) ] : '');
}

function ruleLine(rule) {
	const service = rule.dest_ports.length ? rule.dest_ports.map(port => '%s/%s'.format(rule.proto, port)).join(', ') : rule.proto;

	return h('li', {}, _('Own block'), ' ', rule.address, ' ', service, ' → ', rule.action,
		rule.comment ? [ ' ', h('q', {}, rule.comment) ] : '');
}

/* What can be done about it, each [label, method, arguments, style, what it does]. */
function actions(result) {
	const one = { addresses: [ result.address ] };
	const own = result.allowances.filter(allowance => [ 'config', 'command' ].includes(allowance.origin) && allowance.address == result.address);
	const offered = [];

	if (result.verdict == 'blocked' || result.verdict == 'partly')
		offered.push([ _('Allow always'), 'allow', one, 'positive', _('never blocked again, whoever bans it, until you take that back') ]);

	if (result.bans.some(ban => !text.isList(ban.source)) && result.verdict != 'allowed')
		offered.push([ _('Unblock'), 'unblock', one, 'action', _('free from now on; blocked again when somebody bans it again') ]);

	if (own.length)
		offered.push([ _('Take back allowance'), 'disallow', one, 'remove', _('blocked again if somebody bans it') ]);

	if (result.verdict == 'clear')
		offered.push([ _('Block'), 'block', one, 'negative', _('nothing from there gets in until you unblock it') ]);

	if (result.verdict != 'protected')
		offered.push([ _('Disconnect'), 'kick', one, 'neutral', _('ends the connections it has now, and bans nobody') ]);

	return offered;
}

/* Runs a write and tells how it ended; resolves to whether it was done. */
function act(method, args) {
	return api[method](args).then(answer => {
		if (answer.failed) {
			text.tell(ui, answer.failed.message, 'danger');
			return false;
		}

		text.tell(ui, answer.done.map(done => done.text), 'info');
		return true;
	});
}

/* Asks about `address` and puts the answer into `node`; `changed` is called after every action done. */
function show(node, address, writable, changed) {
	return text.waiting(node, api.check({ address: address })).then(result => {
		if (result.failed)
			return text.fill(node, h('div', { 'class': 'diswall-answer diswall-warn' }, result.failed.message));

		const verdict = text.pick(VERDICTS, result.verdict, { icon: '?', kind: 'off' });
		const offered = actions(result);
		const lines = [].concat(
			result.bans.map(ban => banLine(ban, result.now)),
			result.rules.map(ruleLine),
			result.allowances.map(allowanceLine),
			result.protected ? [ h('li', {}, result.protected) ] : []);

		return text.fill(node, h('div', { 'class': 'diswall-answer diswall-' + verdict.kind },
			h('p', { 'class': 'diswall-verdict' },
				h('span', { 'aria-hidden': 'true' }, verdict.icon), ' ', headline(result)),
			lines.length ? h('ul', {}, lines) : '',
			h('div', { 'class': 'diswall-actions' }, offered.map(action => h('button', {
				'class': 'btn cbi-button cbi-button-' + action[3],
				'type': 'button',
				'disabled': writable ? null : '',
				'click': ui.createHandlerFn(this, () => act(action[1], action[2]).then(done => {
					if (changed && done)
						changed();

					return show(node, address, writable, changed);
				}))
			}, action[0]))),
			offered.map(action => h('div', { 'class': 'diswall-note' }, '%s: %s.'.format(action[0], action[4])))));
	});
}

/* The form: an input, a button and the place for the answer. Returns { node, ask(address) }. */
function box(writable, changed) {
	const answer = h('div', { 'role': 'status', 'aria-live': 'polite' });
	const input = h('input', {
		'class': 'cbi-input-text', 'type': 'text', 'id': 'diswall-address', 'autocomplete': 'off',
		'spellcheck': 'false', 'placeholder': '192.0.2.7'
	});

	const ask = address => {
		input.value = address;
		return show(answer, address.trim(), writable, changed);
	};

	const node = h('form', {
		'class': 'diswall-ask',
		'submit': ev => {
			ev.preventDefault();
			return ask(input.value);
		}
	},
	h('label', { 'for': 'diswall-address' }, _('Address')), ' ', input, ' ',
	h('button', { 'class': 'btn cbi-button cbi-button-action important', 'type': 'submit' }, _('Check')), answer);

	return { node: node, ask: ask, input: input };
}

return baseclass.extend({
	act: act,
	show: show,
	box: box
});
