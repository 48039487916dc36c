'use strict';
'require baseclass';

/*
 * Countries by continent, with about how many networks of IPv4 and IPv6 each has (ipverse, 2026, CC0). The browser
 * knows their names in the page's language, and makes flags of their letters: there is no image.
 */

const CONTINENTS = new Map([
	[ 'africa', 'ao:147:40 bf:51:28 bi:12:6 bj:38:15 bw:57:21 cd:83:23 cf:5:0 cg:22:10 ci:234:18 cm:59:23 cv:23:6 dj:8:3 dz:35:8 eg:180:20 er:1:0 et:17:5 ga:25:8 gh:150:54 gm:24:10 gn:23:11 gq:11:3 gw:3:2 ke:358:159 km:6:2 lr:20:7 ls:20:8 ly:71:18 ma:78:28 mg:27:8 ml:27:8 mr:18:6 mu:118:35 mw:51:32 mz:58:18 na:38:9 ne:12:4 ng:399:133 re:24:6 rw:33:21 sc:801:726 sd:34:10 sl:30:9 sn:35:13 so:30:14 ss:29:8 st:4:1 sz:26:8 td:20:5 tg:17:8 tn:43:12 tz:195:76 ug:108:38 yt:1:0 za:1580:538 zm:40:13 zw:41:20' ],
	[ 'antarctica', 'aq:3:1' ],
	[ 'asia', 'ae:1188:593 af:127:33 am:189:53 az:186:77 bd:2133:1651 bh:56:15 bn:35:9 bt:48:25 cn:5509:2030 cy:540:386 ge:316:80 hk:3058:906 id:4699:2695 il:775:162 in:7164:2827 io:2:1 iq:282:115 ir:1739:570 jo:127:40 jp:3196:666 kg:117:30 kh:271:92 kp:1:0 kr:999:142 kw:132:36 kz:594:96 la:62:28 lb:230:106 lk:68:24 mm:231:128 mn:132:55 mo:31:11 mv:44:14 my:792:339 np:269:164 om:78:25 ph:826:366 pk:732:341 ps:245:46 qa:47:21 sa:588:123 sg:1736:471 sy:193:33 th:666:215 tj:59:23 tl:39:15 tm:11:3 tr:1609:664 tw:724:314 uz:174:48 vn:1262:945 ye:29:6' ],
	[ 'europe', 'ad:27:2 al:233:101 at:1904:595 ax:3:2 ba:159:38 be:917:325 bg:1347:262 by:105:32 ch:2675:871 cz:1557:680 de:8709:3071 dk:1285:413 ee:456:163 es:3424:885 fi:991:312 fo:14:4 fr:4152:1387 gb:8193:2036 gg:59:9 gi:74:13 gr:441:109 hr:267:75 hu:656:171 ie:720:213 im:74:17 is:160:73 it:3367:1067 je:47:11 li:62:29 lt:949:377 lu:542:108 lv:431:92 mc:28:6 md:413:217 me:46:20 mk:105:42 mt:122:27 nl:5680:1928 no:1235:460 pl:3945:972 pt:404:118 ro:2429:270 rs:385:90 ru:8631:2178 se:2019:853 si:534:148 sk:414:148 sm:24:14 ua:2658:622 va:4:3' ],
	[ 'north_america', 'ag:47:9 ai:9:3 aw:12:3 bb:30:4 bl:3:3 bm:47:11 bq:12:6 bs:26:6 bz:81:27 ca:6329:1135 cr:172:107 cu:17:6 cw:44:21 dm:13:6 do:144:211 gd:15:10 gl:25:3 gp:16:5 gt:139:82 hn:187:116 ht:21:10 jm:52:10 kn:19:4 ky:37:5 lc:21:4 mf:7:4 mq:21:6 ms:2:0 mx:801:212 ni:49:24 pa:158:81 pm:2:1 pr:210:72 sv:75:45 sx:10:7 tc:7:1 tt:52:16 us:29325:10574 vc:12:3 vg:214:48 vi:24:6' ],
	[ 'oceania', 'as:2:2 au:5657:1653 ck:2:2 fj:38:19 fm:5:2 gu:27:11 ki:5:3 mh:9:5 mp:7:1 nc:42:13 nf:2:1 nr:7:2 nu:2:2 nz:1272:422 pf:19:7 pg:63:25 pw:4:3 sb:12:8 tk:3:5 to:11:5 tv:1:2 vu:20:11 wf:3:1 ws:16:8' ],
	[ 'south_america', 'ar:1601:1146 bo:102:57 br:4919:8940 cl:640:332 co:519:730 ec:313:274 fk:7:0 gf:6:6 gy:14:9 pe:233:229 py:143:108 sr:11:5 uy:58:41 ve:218:230' ]
]);

const names = (() => {
	const tag = (document.documentElement.lang || 'en').replace('_', '-');

	try {
		return new Intl.DisplayNames([ tag ], { type: 'region' });
	}
	catch (e) {
		return { of: letters => letters };
	}
})();

const TITLES = new Map([
	[ 'africa', () => _('Africa') ], [ 'antarctica', () => _('Antarctica') ], [ 'asia', () => _('Asia') ],
	[ 'europe', () => _('Europe') ], [ 'north_america', () => _('North America') ], [ 'oceania', () => _('Oceania') ],
	[ 'south_america', () => _('South America') ]
]);

/* Letters → [ networks of IPv4, of IPv6 ]. */
const sizes = new Map();

for (const countries of CONTINENTS.values())
	for (const entry of countries.split(' ')) {
		const [ letters, v4, v6 ] = entry.split(':');

		sizes.set(letters, [ Number(v4), Number(v6) ]);
	}

/* Letters that people write for others. */
const OTHERWISE = new Map([ [ 'uk', 'gb' ], [ 'el', 'gr' ] ]);

/* A word of the file as it is meant; anything may stand there. */
function meant(word) {
	const plain = String(word).toLowerCase();

	return OTHERWISE.get(plain) || plain;
}

const isContinent = word => CONTINENTS.has(word);
const lettersOf = word => isContinent(word) ? CONTINENTS.get(word).split(' ').map(entry => entry.slice(0, 2)) : sizes.has(word) ? [ word ] : [];

/* A flag is two letters of another alphabet, which many systems draw as one. */
const flag = letters => String.fromCodePoint(...[ ...letters ].map(letter => 0x1f1e6 + letter.charCodeAt(0) - 97));

/* What a word of the file is called. */
function title(word) {
	const plain = meant(word);

	if (isContinent(plain))
		return TITLES.get(plain)();

	return sizes.has(plain) ? flag(plain) + ' ' + names.of(plain.toUpperCase()) : String(word);
}

/* About how many networks these words have, each country counted once: [ IPv4, IPv6 ]. */
function networks(words) {
	return [ ...new Set(words.flatMap(lettersOf)) ].map(letters => sizes.get(letters))
		.reduce((sum, size) => [ sum[0] + size[0], sum[1] + size[1] ], [ 0, 0 ]);
}

/* Every word with its name: continents first, then countries in the order of the page's language. */
function choices() {
	const sort = words => words.map(word => [ word, title(word) ]).sort((a, b) => a[1].replace(/^\S+ (?=\S)/, '').localeCompare(b[1].replace(/^\S+ (?=\S)/, '')));

	return sort([ ...CONTINENTS.keys() ]).concat(sort([ ...sizes.keys() ]));
}

return baseclass.extend({
	title: title,
	networks: networks,
	choices: choices,
	isPlace: word => isContinent(meant(word)) || sizes.has(meant(word))
});
