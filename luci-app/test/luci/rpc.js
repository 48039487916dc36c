'use strict';
'require baseclass';

/* Stand-in of LuCI's rpc module: JSON-RPC to the router's /ubus. */

let lastId = 0;

function declare(options) {
	return (...args) => {
		const params = {};

		(options.params || []).forEach((name, index) => params[name] = args[index]);

		return fetch(L.env.ubuspath, {
			method: 'POST',
			headers: { 'Content-Type': 'application/json' },
			body: JSON.stringify({
				jsonrpc: '2.0', id: ++lastId, method: 'call',
				params: [ L.env.sessionid, options.object, options.method, params ]
			})
		}).then(reply => {
			if (!reply.ok)
				throw new Error('RPC call to %s/%s failed with HTTP error %s'.format(options.object, options.method, reply.status));

			return reply.json();
		}).then(message => {
			if (message.error)
				throw new Error('RPC call to %s/%s failed with error %s: %s'.format(
					options.object, options.method, message.error.code, message.error.message));

			if (options.reject && message.result[0] !== 0)
				throw new Error('RPC call to %s/%s failed with ubus code %s: ?'.format(
					options.object, options.method, message.result[0]));

			return message.result.length > 1 ? message.result[1] : message.result[0];
		});
	};
}

return baseclass.extend({ declare: declare });
