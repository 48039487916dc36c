// SPDX-License-Identifier: GPL-3.0-or-later
// The plugin's routes, and what a failure means in words. Used by every page.

import { REFORIS_URL_PREFIX } from "foris";

const ROOT = `${REFORIS_URL_PREFIX}/diswall/api`;

export const URLS = {
    status: `${ROOT}/status`,
    history: `${ROOT}/history`,
    events: `${ROOT}/events`,
    check: `${ROOT}/check`,
    allowances: `${ROOT}/allowances`,
    allow: `${ROOT}/allow`,
    disallow: `${ROOT}/disallow`,
    unblock: `${ROOT}/unblock`,
    lists: `${ROOT}/lists`,
    switch: `${ROOT}/switch`,
    settings: `${ROOT}/settings`,
};

/* What a failure means, in the reader's language where we know it. */
export function failureText({ code, message }) {
    switch (code) {
        case "not_running":
            return _("The service diswall is not running.");
        case "missing":
            return _("diswall is not installed, or does not answer on this router.");
        case "timeout":
            return _("diswall did not answer in time.");
        case "shape":
            return _("diswall gave an answer that this page does not understand. Are all packages of the same version?");
        default:
            return message || _("The request failed.");
    }
}

/* An answer of the bus, or of an error on the way: the words of its failure, or nothing. */
export function failureOf({ state, data }) {
    if (state === "error") return typeof data === "string" ? data : _("The request failed.");
    return data && data.failed ? failureText(data.failed) : "";
}
