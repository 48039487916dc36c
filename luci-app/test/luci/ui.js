'use strict';
'require baseclass';

/* Stand-in of LuCI's ui module: notifications, modals, buttons that wait, tabs. */

function hideModal() {
	document.querySelector('.modal-overlay')?.remove();
}

return baseclass.extend({
	createHandlerFn: (context, call, ...bound) => function(ev) {
		const button = ev.currentTarget;

		button.disabled = true;
		return Promise.resolve((typeof call == 'string' ? context[call] : call).call(context, ...bound, ev))
			.finally(() => button.disabled = false);
	},

	addNotification: (title, children, ...classes) => {
		const node = E('div', { 'class': [ 'alert-message' ].concat(classes).join(' ') }, [ children ]);

		document.getElementById('maincontent').prepend(node);
		return node;
	},

	showModal: (title, children) => {
		hideModal();

		const dialog = E('div', { 'class': 'modal', 'role': 'dialog', 'aria-modal': 'true' }, [ E('h4', {}, [ title ]) ].concat(children));

		document.body.append(E('div', { 'class': 'modal-overlay' }, [ dialog ]));
		return dialog;
	},

	hideModal: hideModal,

	instantiateView: name => L.require('view.' + name.replace(/\//g, '.')).then(view => view.__show__())
});
