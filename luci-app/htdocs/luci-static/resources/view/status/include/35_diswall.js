'use strict';
'require baseclass';
'require diswall.api as api';
'require diswall.text as text';

/*
 * diswall's lines on LuCI's status overview.
 */

const h = text.h;

const FEED_STATES = new Map([
	[ 'off', () => _('off') ], [ 'connecting', () => _('connecting') ], [ 'synchronising', () => _('taking the list') ],
	[ 'live', () => _('live') ], [ 'partial', () => _('connected in part') ], [ 'waiting', () => _('not connected') ]
]);

function row(title, ...content) {
	return h('tr', { 'class': 'tr' },
		h('td', { 'class': 'td left', 'width': '33%' }, title),
		h('td', { 'class': 'td left' }, content));
}

function state(status) {
	switch (status.state) {
	case 'protected': return _('Protected');
	case 'local': return _('Protected without feeds');
	case 'waiting': return _('Not everything is in force yet');
	case 'degraded': return _('Protected in part');
	case 'unprotected': return _('Not protected');
	case 'off': return _('Off');
	default: return '?';
	}
}

return baseclass.extend({
	title: 'diswall',

	load: function() {
		return api.status();
	},

	render: function(status) {
		text.style();

		if (!status || status.failed)
			return h('p', {}, status ? status.failed.message : '');

		const wrong = status.parts.filter(part => part.state != 'in_force');
		const worst = text.worst(status.parts);

		return h('table', { 'class': 'table' },
			row(_('State'), h('span', { 'class': 'diswall' }, h('span', {
				'class': 'diswall-outcome diswall-' + (status.state == 'off' ? 'off' : status.state == 'unprotected' ? 'bad' : worst ? worst.kind : 'bad'),
				'aria-hidden': 'true'
			}, status.state == 'off' ? '–' : worst ? worst.mark : '✕')), ' ',
			h('a', { 'href': L.url('admin/services/diswall/overview') }, state(status))),
			wrong.length ? row(_('Not in force'), wrong.map(part => h('div', {},
				'%s: %s'.format(text.partTitle(part.name), part.why)))) : '',
			row(_('Blocked'), text.counted(status.bans.v4 + status.bans.v6, status.bans.total - status.bans.v4 - status.bans.v6)),
			row(_('Dropped in the last hour'), text.number(status.dropped.packets_hour)),
			row(_('Feeds'), status.feeds.map(feed => text.sourceName(feed.name) + ': '
				+ text.pick(FEED_STATES, feed.state, () => '?')()).join(', ')));
	}
});
