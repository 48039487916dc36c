'use strict';
'require baseclass';
'require diswall.countries as countries';

/*
 * Checks of single values, by the rules of the daemon's own configuration reader: what a page accepts
 * here, diswall accepts too. Each is a LuCI validator: (section, value) → true or a sentence.
 * An empty value is left to the option's rmempty.
 */

const MAX_SECONDS = 3650 * 86400;
const UNITS = { '': 1, s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
const encoder = new TextEncoder();

function rule(passes, message) {
	return (section, value) => {
		if (value === null || value === undefined || value === '')
			return true;

		/* Blanks around a value do not count. */
		return passes(value) || passes(value.trim()) ? true : message();
	};
}

function octets(address) {
	const match = address.match(/^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$/);
	const numbers = match ? match.slice(1).map(Number) : [ 256 ];

	return numbers.every(number => number < 256) ? numbers : null;
}

/* Sixteen bytes of an IPv6 address as the URL parser understands it, or null. */
function hextets(address) {
	if (!/^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(address))
		return null;

	let canonical;

	try {
		canonical = new URL('http://[' + address + ']/').hostname.slice(1, -1);
	}
	catch (e) {
		return null;
	}

	const halves = canonical.split('::');
	const head = halves[0] ? halves[0].split(':') : [];
	const tail = halves[1] ? halves[1].split(':') : [];
	const zeros = halves.length == 2 ? Array(8 - head.length - tail.length).fill('0') : [];

	return head.concat(zeros, tail).flatMap(group => [ parseInt(group, 16) >> 8, parseInt(group, 16) & 255 ]);
}

function addressBytes(value) {
	const v6 = hextets(value);

	/* ::ffff:a.b.c.d is IPv4 in disguise; diswall wants it written as IPv4. */
	if (v6 && v6.slice(0, 10).every(byte => byte == 0) && v6[10] == 255 && v6[11] == 255)
		return null;

	return octets(value) || v6;
}

/*
 * An address or a network. Bits of a host behind the prefix are taken as the daemon takes them, for the network
 * they are in; but for that of everybody, which nobody means who writes an address.
 */
function isNet(value) {
	const slash = value.indexOf('/');
	const bytes = addressBytes(slash < 0 ? value : value.slice(0, slash));

	if (!bytes || slash < 0)
		return bytes !== null;

	const prefix = value.slice(slash + 1);

	return /^[0-9]{1,3}$/.test(prefix) && Number(prefix) <= bytes.length * 8
		&& (Number(prefix) > 0 || bytes.every(byte => byte == 0));
}

function isEverything(value) {
	return /\/0+\s*$/.test(value);
}

function isPort(value) {
	return /^[0-9]{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 65535;
}

function isPortRange(value) {
	const ends = value.split('-');

	return ends.length <= 2 && ends.every(isPort) && Number(ends[0]) <= Number(ends[ends.length - 1]);
}

function isDuration(value) {
	return secondsOf(value) >= 1;
}

/* Seconds, or -1 for what is no length of time; zero is one here. */
function secondsOf(value) {
	const match = value.match(/^([0-9]{1,10})([smhdw]?)$/);
	const seconds = match ? Number(match[1]) * UNITS[match[2]] : -1;

	return seconds <= MAX_SECONDS ? seconds : -1;
}

function isHostName(value) {
	const name = value.replace(/\.$/, '');

	return name.length <= 253
		&& name.split('.').every(label => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label));
}

/* A name that cannot be taken for an address with a slip in it. */
function isName(value) {
	return /\.[^.]*[^.0-9][^.]*\.?$/.test(value) && isHostName(value);
}

/* Of what a mail address may be, the part that no program takes for anything else. */
function isMailAddress(value) {
	const at = value.indexOf('@');
	const host = value.slice(at + 1);

	return /^[A-Za-z0-9_%+=][A-Za-z0-9._%+=-]{0,63}$/.test(at < 0 ? value : value.slice(0, at))
		&& (at < 0 || host.length <= 189 && host.split('.').every(label => /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label)));
}

function isServer(value) {
	return addressBytes(value) !== null || (!/^[0-9.]+$/.test(value) && isHostName(value));
}

function isHttps(value) {
	const host = (value.match(/^https:\/\/([^/?#]+)/) || [])[1];

	if (!host || !/^[!-~]+$/.test(value) || /["'<>\\^`{|}]/.test(value))
		return false;

	const parts = host.match(/^(\[[0-9a-fA-F:.]+\]|[^:]+)(?::([0-9]+))?$/);

	return parts !== null && isServer(parts[1].replace(/^\[|\]$/g, '')) && (parts[2] === undefined || isPort(parts[2]));
}

function isPath(value) {
	return value[0] == '/' && !value.split('/').includes('..') && !/[\x00-\x1f\x7f]/.test(value);
}

/* Where a list is got from: a file of the router's, or an address of the web without a name and password in it. */
function isPlace(value) {
	if (value.replace(/^file:\/\//, '')[0] == '/')
		return !value.includes('\0');

	const host = (value.match(/^https?:\/\/([^/?#]+)/) || [])[1];

	return host !== undefined && !host.includes('@') && /^[!-~]{1,2048}$/.test(value) && !/["\\]/.test(value);
}

/* See src/feed/lists/format.rs. */
function isListFormat(value) {
	const csv = value.match(/^csv:([0-9]+)(?::(tab|[!-~]))?$/);

	if (csv)
		return Number(csv[1]) >= 1 && Number(csv[1]) <= 64 && (csv[2] === undefined || csv[2] == 'tab' || !/[A-Za-z0-9".]/.test(csv[2]));

	return /^(auto|plain|csv|spamhaus|dshield|ranges|rir|rir:[A-Z]{2}|suricata|names)$/.test(value);
}

const NAMES = [ '<HOST>', '<PORT>', '<WORD>', '<NAME>', '<NUM>', '<TIMES>', '<REST>' ];
const PARTS = new RegExp(`${NAMES.join('|')}|(?:(?!${NAMES.join('|')})[^])+`, 'g');
const isPart = part => NAMES.includes(part);

/* Can a reader tell where `part` ends, with `next` behind it? */
function endsBefore(part, next) {
	if (isPart(next))
		return !isPart(part);

	switch (part) {
	case '<HOST>': return !/^[0-9a-fA-F]/.test(next);
	case '<WORD>': return /^[ \x00-\x1f\x7f()[\]{}<>"',;]/.test(next);
	case '<NAME>': return !/^[0-9A-Za-z_-]/.test(next);
	case '<REST>': return false;
	case '<PORT>': case '<NUM>': case '<TIMES>': return !/^[0-9]/.test(next);
	default: return true;
	}
}

/* Text that no address can contain as a whole. */
const isApart = part => !isPart(part) && /[^0-9a-fA-F:.]/.test(part);

/* Can nothing beside this piece of a pattern go on like the address in it, at either end? */
function isFramed(piece, isFirst, isLast) {
	const host = piece.indexOf('<HOST>');
	const decisive = piece.slice(host + 1).find(part => isApart(part) || [ '<WORD>', '<NAME>', '<REST>' ].includes(part));

	return host < 0 || ((isFirst || piece.slice(0, host).some(isApart))
		&& (decisive === undefined ? isLast : isApart(decisive)));
}

/* A pattern of log messages: see src/feed/login/pattern.rs for the why of each rule. */
function isPattern(value) {
	const pieces = value.split('*').map(piece => piece.match(PARTS) || []);

	return encoder.encode(value).length <= 512
		&& pieces.every(piece => piece.every((part, index) => index == 0 || endsBefore(piece[index - 1], part)))
		&& pieces.flat().filter(part => part == '<HOST>').length == 1
		&& !pieces.flat().concat(pieces[pieces.length - 1].length ? [] : [ '' ]).slice(0, -1).includes('<REST>')
		&& pieces.slice(1).every(piece => !piece.length || !isPart(piece[0]))
		&& pieces.every((piece, index) => isFramed(piece, index == 0, index == pieces.length - 1));
}

/* The services whose log-ins the daemon knows; those behind ftp only where they are named. */
const SERVICES = [ 'ssh', 'luci', 'smtp', 'imap', 'sip', 'ftp',
	'openvpn', 'strongswan', 'nginx', 'lighttpd', 'nextcloud', 'home-assistant', 'vaultwarden', 'gitea' ];

return baseclass.extend({
	isEverything: isEverything,

	isNet: isNet,

	isName: isName,

	/* A host's name: the router looks it up. */
	netOrName: rule(value => isNet(value) || isName(value), () =>
		_('Expecting an address, a network or the full name of a host, such as 192.0.2.7, 192.0.2.0/24, 2001:db8::/32 or host.example.org')),

	mailAddress: rule(isMailAddress, () =>
		_('Expecting a mail address such as owner@example.org, or the name of a user of this router')),

	port: rule(isPort, () => _('Expecting a port from 1 to 65535')),

	portRange: rule(isPortRange, () => _('Expecting a port or a range such as 6000-6010')),

	duration: rule(isDuration, () =>
		_('Expecting a whole number with s, m, h, d or w, such as 15m or 24h, at most 3650d')),

	/* Zero: never. */
	durationOrNone: rule(value => secondsOf(value) >= 0, () =>
		_('Expecting a whole number with s, m, h, d or w, such as 30d, or 0')),

	interval: rule(value => secondsOf(value) >= 600 && secondsOf(value) <= 30 * 86400, () =>
		_('Expecting 10m to 30d')),

	place: rule(isPlace, () =>
		_('Expecting an address such as https://lists.example.org/drop.txt without a name and password in it, or the path of a file')),

	country: rule(countries.isPlace, () => _('Expecting the two letters of a country, or a continent such as europe')),

	asn: rule(value => /^(AS|as)?[0-9]{1,10}$/.test(value) && Number(value.replace(/^AS/i, '')) >= 1 && Number(value.replace(/^AS/i, '')) <= 4294967295,
		() => _('Expecting the number of an autonomous system')),

	countryPlace: rule(value => isPlace(value) && value.includes('{country}'), () => _('Expecting an address with %s in it').format('{country}')),

	asnPlace: rule(value => isPlace(value) && value.includes('{asn}'), () => _('Expecting an address with %s in it').format('{asn}')),

	listFormat: rule(isListFormat, () =>
		_('Expecting auto, plain, csv, csv:2, spamhaus, dshield, ranges, rir:CZ, suricata or names')),

	isListName: value => /^[a-z0-9_]{1,15}$/.test(value),

	listLogin: rule(value => encoder.encode(value).length <= 256 && !/[\x00-\x1f\x7f-\x9f]/.test(value) && (value[0] == '/' || value.includes(':')),
		() => _('Expecting name:password, or the path of a file that has it')),

	/* Of CrowdSec: see src/feed/crowdsec/settings.rs. */
	localApi: rule(value => /^https?:/.test(value) && isPlace(value) && !/[?#]/.test(value),
		() => _('Expecting an address such as http://192.168.1.5:8080/')),

	apiKey: rule(value => /^[!-~]{1,256}$/.test(value), () => _('Expecting 1 to 256 visible characters')),

	dailyLimit: rule(value => /^\+?[0-9]+$/.test(value) && +value >= 1 && +value <= 50000, () => _('Expecting a number from 1 to 50000')),

	/* What may come by UDP is never reported: its sender may be forged. */
	reportCategories: rule(value => /^(?!(scan|sip|openvpn|strongswan):[0-9,]*$)[!-~]{1,25}:[1-9][0-9]{0,2}(,[1-9][0-9]{0,2}){0,7}$/.test(value),
		() => _('Expecting a service and numbers, such as ssh:18,22')),

	pollInterval: rule(value => secondsOf(value) >= 2 && secondsOf(value) <= 3600, () => _('Expecting 2s to 1h')),

	word: rule(value => /^[!-+\--~]{1,128}$/.test(value), () => _('Expecting 1 to 128 visible characters without commas')),

	decisionScope: rule(value => [ 'ip', 'range' ].includes(value), () => _('Expecting one of %s').format('ip, range')),

	decisionType: rule(value => [ 'ban', 'captcha' ].includes(value), () => _('Expecting one of %s').format('ban, captcha')),

	quorum: rule(value => /^\+?[0-9]+$/.test(value) && +value <= 16, () => _('Expecting a number from 0 to 16')),

	server: rule(isServer, () => _('Expecting a host name or an address, without a port')),

	serverKey: rule(value => value == 'none' || /^[0-9A-Za-z.:+=^!/*?&<>()[\]{}@%$#-]{40}$/.test(value),
		() => _('Expecting 40 characters of Z85, or "none"')),

	https: rule(value => value == 'none' || isHttps(value),
		() => _('Expecting an address such as https://host.example.org/file, or "none"')),

	nftName: rule(value => /^[A-Za-z][A-Za-z0-9_]{0,31}$/.test(value),
		() => _('Expecting a letter, then letters, digits and _, at most 32 in all')),

	zone: rule(value => /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(value),
		() => _('Expecting the name of a firewall zone, such as wan')),

	device: rule(value => /^[A-Za-z0-9_.@-]{1,15}$/.test(value) && !/^\.+$/.test(value),
		() => _('Expecting the name of a network device, such as eth0')),

	path: rule(isPath, () => _('Expecting an absolute path without ..')),

	socketPath: rule(value => isPath(value) && encoder.encode(value).length <= 107,
		() => _('Expecting an absolute path of at most 107 bytes without ..')),

	watchName: rule(value => /^[A-Za-z0-9_.\/-]{1,25}$/.test(value),
		() => _('Expecting at most 25 letters, digits, -, _ and dots')),

	program: rule(value => /^[A-Za-z0-9_.\/-]{1,64}$/.test(value),
		() => _('Expecting the program\'s name as the log has it, without [ ] and number')),

	pattern: rule(isPattern, () =>
		_('Expecting the whole message with one <HOST>, and fixed text around <HOST>, <WORD>, <NUM> and *')),

	loginServices: SERVICES,

	loginService: rule(value => SERVICES.includes(value), () => _('Expecting one of %s').format(SERVICES.join(', '))),

	logSource: rule(value => value == 'auto' || isPath(value),
		() => _('Expecting "auto" or the absolute path of a file')),

	clientName: rule(value => /^[!-~]{1,64}$/.test(value) && !/[.*>]/.test(value),
		() => _('Expecting 1 to 64 visible characters without dots, * and >')),

	clientPass: rule(value => !/[\x00-\x1f\x7f-\x9f]/.test(value) && encoder.encode(value).length <= 256,
		() => _('Expecting at most 256 bytes without control characters')),

	hostPart: rule(value => value.length <= 64 && isHostName(value),
		() => _('Expecting 1 to 64 letters, digits, -, _ and dots')),

	/* A word, or what another check passes. */
	orWord: (word, check) => (section, value) => value == word || check(section, value),

	number: (least, most) => rule(value => /^[0-9]{1,10}$/.test(value) && Number(value) >= least && Number(value) <= most,
		() => _('Expecting a whole number from %s to %s').format(least, most))
});
