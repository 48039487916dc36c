'use strict';
'require baseclass';
'require diswall.api as api';
'require diswall.text as text';

/*
 * "Try a line": what diswall would make of lines of a log, by the configuration in force. The lines may be
 * anything, an attacker's words too: they are asked about as they are, and nothing of the answer is markup.
 */

const h = text.h;

/* As many as the face takes, and no more than it can be sent at once. */
const LINES = 100;
const BYTES = 16384;

const SEEN = new Map([
	[ 'counted', () => _('counted as a failed log-in') ],
	[ 'joined', () => _('counts nothing more: other lines tell of the same try') ],
	[ 'no_failure', () => _('no failed log-in') ],
	[ 'taken_back', () => _('a success: one failure before it is taken back') ],
	[ 'held', () => _('its address comes with a later line') ],
	[ 'two_hosts', () => _('two addresses could be meant; it is not counted') ],
	[ 'cut', () => _('may have been cut by the log; it is not counted') ],
	[ 'too_long', () => _('longer than lines are looked at') ],
	[ 'named', () => _('a name stands in the place of the address, and names are not looked up') ],
	[ 'no_head', () => _('no program is named at its beginning, and it is no failed log-in by itself') ],
	[ 'unknown', () => _('nobody asks about this program') ]
]);

function sentence(row) {
	const who = [ row.program, row.service, row.address, row.tries > 1 ? N_(row.tries, '%s try', '%s tries').format(text.number(row.tries)) : '' ];

	return '%s: %s'.format(who.filter(word => word).join(', ') || _('line %s').format(text.number(row.line)),
		text.pick(SEEN, row.verdict, () => row.why)());
}

function ask(place, written) {
	const lines = written.split('\n').map(line => line.replace(/\r$/, '')).filter(line => line.trim());

	if (!lines.length)
		return text.fill(place, '');

	return api.try({ lines: lines.slice(0, LINES) }).then(answer => text.fill(place, answer.failed
		? h('p', { 'class': 'diswall-answer diswall-warn' }, answer.failed.message)
		: h('div', { 'class': 'diswall-answer diswall-' + (answer.lines.some(row => row.verdict == 'counted') ? 'good' : 'off') },
			h('ul', {}, answer.lines.map(row => h('li', {}, sentence(row)))))));
}

/* The heading, the box and the place for the answer. */
function box() {
	const place = h('div', { 'role': 'status', 'aria-live': 'polite' });
	const input = h('textarea', {
		'class': 'cbi-input-textarea', 'id': 'diswall-lines', 'rows': 3, 'maxlength': BYTES, 'spellcheck': 'false',
		'autocomplete': 'off', 'style': 'width:100%', 'placeholder': 'sshd[2107]: Failed password for root from 203.0.113.5 port 40022 ssh2'
	});

	return h('div', { 'class': 'cbi-section' },
		h('h3', {}, _('Try a line')),
		h('div', { 'class': 'cbi-section-descr' },
			_('Lines out of a log: what diswall would make of them, by the settings that are saved. Nobody is banned.')),
		h('form', {
			'submit': ev => {
				ev.preventDefault();
				return ask(place, input.value);
			}
		},
		h('label', { 'for': 'diswall-lines' }, _('Lines of a log')), input,
		h('p', {}, h('button', { 'class': 'btn cbi-button cbi-button-action', 'type': 'submit' }, _('Try'))), place));
}

return baseclass.extend({ box: box });
