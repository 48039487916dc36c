// SPDX-License-Identifier: GPL-3.0-or-later
// The catalogue of lists as switches, by what they are for. A switch takes force at once, on its own: it asks what
// diswall asks of `diswall lists enable`, and says why a list does not fit.

import React, { useEffect } from "react";

import { Spinner, Switch, useAPIGet, useAPIPost } from "foris";

import { Done, Failure } from "./AddressForm";
import { URLS, failureOf } from "./api";
import { number, say } from "./text";

const CATEGORIES = {
    attackers: () => _("Attackers"),
    crime: () => _("Crime"),
    collections: () => _("Collections"),
    spam: () => _("Spam"),
    anonymity: () => _("Anonymity"),
    resolvers: () => _("Resolvers"),
    unassigned: () => _("Unassigned addresses"),
};

const RISKS = {
    low: () => _("seldom hits the innocent"),
    medium: () => _("sometimes hits the innocent"),
    high: () => _("often hits the innocent"),
};

/* The word for a name of diswall's; one that a later version has is shown as it is. */
function word(words, name) {
    return Object.prototype.hasOwnProperty.call(words, name) ? words[name]() : name;
}

function about(list) {
    const size = [
        [list.hosts, _("%s addresses")],
        [list.networks, _("%s networks")],
    ].filter(([count]) => count).map(([count, text]) => say(text, number(count)));
    const terms = list.commercial === false ? _("not for commercial use") : "";
    const told = [...size, word(RISKS, list.risk), say(_("licence: %s"), list.licence), terms].filter(Boolean);
    return `${list.about} (${told.join("; ")})`;
}

function Category({ name, lists, onSwitch }) {
    const on = lists.filter(({ enabled }) => enabled).length;
    return (
        <details className="mb-2">
            <summary>{say(_("%s: %s of %s on"), word(CATEGORIES, name), number(on), number(lists.length))}</summary>
            {lists.map((list) => (
                <div key={list.name} className="mt-2 text-break">
                    <Switch
                        label={list.recommended ? say(_("%s (recommended for this router)"), list.title) : list.title}
                        helpText={about(list)}
                        checked={list.enabled}
                        disabled={!list.enabled && list.refusal !== ""}
                        onChange={() => onSwitch(list)}
                    />
                    {!list.enabled && list.refusal && <p>{list.refusal}</p>}
                </div>
            ))}
        </details>
    );
}

export default function Lists() {
    const [loaded, get] = useAPIGet(URLS.lists);
    const [switched, post] = useAPIPost(URLS.switch);

    useEffect(() => {
        get();
    }, [get]);

    const change = async ({ name, enabled }) => {
        // Not by greying it out: that would take the focus away.
        if (switched.state === "sending") return;
        await post({ data: { names: [name], on: !enabled } });
        get();
    };

    const lists = loaded.data && loaded.data.lists;
    const names = lists ? [...new Set(lists.map(({ category }) => category))] : [];
    return (
        <>
            <h2 className="mt-4">{_("Lists")}</h2>
            <p>{_("Published lists of addresses, blocked beside the feeds. A switch takes force at once.")}</p>
            {!lists && !failureOf(loaded) && <Spinner />}
            <Failure of={loaded} />
            {names.map((name) => (
                <Category
                    key={name}
                    name={name}
                    lists={lists.filter(({ category }) => category === name)}
                    onSwitch={change}
                />
            ))}
            <Done answers={[switched]} />
        </>
    );
}
