'use strict';

/* Reads translation files, and the texts that the pages ask translations for. */

const fs = require('node:fs');

const unquote = text => JSON.parse('"' + text + '"');

/* → { plural: the C expression, entries: [{ id, plural, texts }] } */
function read(file) {
	const entries = [];
	let entry = null, into = null;

	const add = text => {
		if (into == 'id' || into == 'plural')
			entry[into] = (entry[into] || '') + text;
		else
			entry.texts[into] = (entry.texts[into] || '') + text;
	};

	for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
		const match = line.match(/^(?:(msgid_plural|msgid|msgstr)(?:\[(\d)\])? )?"(.*)"$/);

		if (!match)
			continue;

		if (match[1] == 'msgid') {
			entry = { id: '', texts: [] };
			entries.push(entry);
		}

		if (match[1])
			into = { msgid: 'id', msgid_plural: 'plural' }[match[1]] || Number(match[2] || 0);

		add(unquote(match[3]));
	}

	const header = entries.find(found => !found.id);
	const plural = header ? header.texts[0].match(/plural=([^;]+);/) : null;

	return { plural: plural ? plural[1] : 'n != 1', entries: entries.filter(found => found.id) };
}

/* The texts in _('…') and N_(n, '…', '…') of a source, plural ones as "one\u0001many". */
function used(source) {
	const literal = `'((?:[^'\\\\]|\\\\.)*)'`;
	const plain = text => text.replace(/\\(.)/g, '$1');
	const found = new Set();

	for (const match of source.matchAll(new RegExp('(?<![\\w.])_\\(\\s*' + literal, 'g')))
		found.add(plain(match[1]));

	for (const match of source.matchAll(new RegExp('N_\\([^\']*,\\s*' + literal + ',\\s*' + literal, 'g')))
		found.add(plain(match[1]) + '\u0001' + plain(match[2]));

	return found;
}

module.exports = { read, used };
