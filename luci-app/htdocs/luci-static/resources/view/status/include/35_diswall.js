'use strict';
'require baseclass';
'require diswall.api as api';
'require diswall.text as text';

/*
 * diswall's lines on LuCI's status overview.
 */

const h = text.h;

const FEED_STATES = {
	off: () => _('off'), connecting: () => _('connecting'), synchronising: () => _('taking the list'),
	live: () => _('live'), waiting: () => _('not connected')
};

function row(title, ...content) {
	return h('tr', { 'class': 'tr' },
		h('td', { 'class': 'td left', 'width': '33%' }, title),
		h('td', { 'class': 'td left' }, content));
}

function state(status) {
	switch (status.state) {
	case 'protected': return _('Protected');
	case 'local': return _('Protected without feeds');
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

		return h('table', { 'class': 'table' },
			row(_('State'), h('a', { 'href': L.url('admin/services/diswall/overview') }, state(status))),
			row(_('Blocked addresses'), text.number(status.bans.total)),
			row(_('Dropped in the last hour'), text.number(status.dropped.packets_hour)),
			row(_('Feeds'), status.feeds.map(feed => text.sourceName(feed.name) + ': '
				+ (FEED_STATES[feed.state] ? FEED_STATES[feed.state]() : '?')).join(', ')));
	}
});
