'use strict';
'require view';

/* Stand-in of LuCI's status overview: diswall's part of it alone. */

return view.extend({
	handleSaveApply: null,
	handleSave: null,
	handleReset: null,

	render: () => L.require('view.status.include.35_diswall').then(part => Promise.resolve(part.load()).then(data =>
		E('div', {}, [ E('h2', {}, [ _('Status') ]), E('h3', {}, [ part.title ]), part.render(data) ])))
});
