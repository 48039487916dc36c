'use strict';
'require baseclass';

/* Stand-in of LuCI's fs module: running a program on the router. */

return baseclass.extend({
	exec_direct: (command, args) => fetch(L.env.cgi_base + '/cgi-exec', {
		method: 'POST',
		headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
		body: new URLSearchParams({
			sessionid: L.env.sessionid,
			command: [ command ].concat(args || []).map(word => word.replace(/[ \\]/g, '\\$&')).join(' ')
		})
	}).then(reply => {
		if (!reply.ok)
			throw new Error(reply.statusText);

		return reply.text();
	})
});
