'use strict';
'require baseclass';

/*
 * The graphs of luci-app-statistics for what diswall_collectd.sh reports: of all sources together, and of each. Without
 * luci-app-statistics nobody reads this. Titles of graphs are English everywhere there: rrdtool draws them.
 */
return baseclass.extend({
	title: 'diswall',

	rrdargs: function(graph, host, plugin, instance, dtype) {
		const dropped = {
			title: instance ? '%H: packets dropped for %pi' : '%H: packets dropped',
			vlabel: 'Packets/s',
			number_format: '%6.2lf',
			y_min: '0',
			alt_autoscale_max: true,
			data: {
				instances: { derive: [ 'dropped_packets' ] },
				options: { derive_dropped_packets: { title: 'Dropped', color: 'cc0000', total: true } }
			}
		};
		const traffic = {
			title: instance ? '%H: traffic dropped for %pi' : '%H: traffic dropped',
			vlabel: 'Bit/s',
			number_format: '%5.1lf%s',
			y_min: '0',
			alt_autoscale_max: true,
			data: {
				instances: { derive: [ 'dropped_bytes' ] },
				options: { derive_dropped_bytes: { title: 'Dropped', color: 'ff8800', transform_rpn: '8,*' } }
			}
		};
		const bans = {
			title: instance ? '%H: bans of %pi' : '%H: bans',
			vlabel: 'Addresses and networks',
			number_format: '%6.0lf',
			y_min: '0',
			alt_autoscale_max: true,
			data: {
				instances: { gauge: instance ? [ 'ipv4', 'ipv6', 'networks' ] : [ 'bans' ] },
				options: {
					gauge_bans: { title: 'Bans', color: '0044cc' },
					gauge_ipv4: { title: 'IPv4', color: '0044cc' },
					gauge_ipv6: { title: 'IPv6', color: '00aa88' },
					gauge_networks: { title: 'Networks', color: '8844cc' }
				}
			}
		};

		return [ dropped, traffic, bans ];
	}
});
