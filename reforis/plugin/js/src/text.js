// SPDX-License-Identifier: GPL-3.0-or-later
// How the pages say numbers, times, sources and reasons. Texts that strangers wrote stay texts: React makes
// text nodes of them, and nothing here makes HTML.

const LANGUAGE = (document.documentElement.lang || "en").replace("_", "-");

function intl(Format, options) {
    try {
        return new Intl[Format](LANGUAGE, options);
    } catch (error) {
        return new Intl[Format]("en", options);
    }
}

const NUMBER = intl("NumberFormat");
const AHEAD = intl("RelativeTimeFormat", { numeric: "auto" });
const MOMENT = intl("DateTimeFormat", { dateStyle: "short", timeStyle: "short" });
const UNITS = [
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
    ["second", 1],
];

export const number = (value) => NUMBER.format(value);

export const moment = (seconds) => MOMENT.format(new Date(seconds * 1000));

export function ahead(seconds) {
    const unit = UNITS.find(([, length]) => seconds >= length) || UNITS[3];
    return AHEAD.format(Math.ceil(seconds / unit[1]), unit[0]);
}

export const end = ({ left }) => (left === null ? _("until taken back") : ahead(left));

/* An IPv4 address stays in one piece on a telephone; what is longer may be broken. */
export const addressClass = (address) => (address.length > 18 ? "text-break" : "text-nowrap");

/* %s is taken by the arguments in turn; a text is never looked through twice. */
export function say(template, ...values) {
    return template.split("%s").reduce((text, part, index) => `${text}${values[index - 1]}${part}`);
}

export function sourceName(source) {
    switch (source) {
        case "dynfw":
            return "Turris DynFW";
        case "nats":
            return "DisWall";
        case "crowdsec":
            return "CrowdSec";
        case "scan":
            return _("This router: scans");
        case "login":
            return _("This router: log-ins");
        case "manual":
            return _("Own blocks");
        default:
            return source || "?";
    }
}

/* A list is replaced as a whole: nobody is struck off it by name. Its own name is none of these. */
export const isList = (source) => !["dynfw", "nats", "scan", "manual", "crowdsec"].includes(source);

export function reason({ kind, text, protocol, port }) {
    switch (kind) {
        case "listed":
            return _("on its list");
        case "announced":
            return _("announced");
        case "port":
            return say(_("touched closed port %s"), protocol ? `${protocol}/${port}` : port);
        case "login":
            return say(_("failed log-ins: %s"), text);
        default:
            return text || _("blocked by hand");
    }
}
