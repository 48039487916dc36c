// SPDX-License-Identifier: GPL-3.0-or-later
// The settings that most owners want. Only what was changed here is sent: another browser, or LuCI, may have
// changed the rest meanwhile.

import React, { useEffect, useState } from "react";

import { Button, PasswordInput, Spinner, Switch, TextInput, useAPIGet, useAPIPost } from "foris";

import Lists from "./Lists";
import { URLS, failureOf } from "./api";

export default function Settings() {
    const [loaded, get] = useAPIGet(URLS.settings);
    const [saved, post] = useAPIPost(URLS.settings);
    const [changed, setChanged] = useState({});

    useEffect(() => {
        get();
    }, [get]);

    const failed = failureOf(loaded);
    if (failed) {
        return (
            <>
                <h1>{_("Settings")}</h1>
                <div className="alert alert-danger">{failed}</div>
            </>
        );
    }
    if (!loaded.data) return <Spinner />;

    const now = { ...loaded.data, ...changed };
    const change = (name, value) => setChanged({ ...changed, [name]: value });
    const toggle = (name, label, helpText, disabled) => (
        <Switch
            label={label}
            helpText={helpText}
            checked={now[name]}
            disabled={disabled}
            onChange={(event) => change(name, event.target.checked)}
        />
    );
    const zone = (name, on) =>
        change("zones", on ? [...now.zones, name] : now.zones.filter((other) => other !== name));

    const submit = async (event) => {
        event.preventDefault();
        await post({ data: changed });
        // What was refused stays in the fields.
        await get();
    };

    const refused = failureOf(saved);
    const feeds = now.enabled && !now.local_only;
    const nothing = Object.keys(changed).length === 0 || now.zones.length === 0;
    return (
        <>
            <h1>{_("Settings")}</h1>
            <form onSubmit={submit}>
                {toggle("enabled", _("Protect this router"), _("Off: nothing is blocked."))}
                {toggle(
                    "local_only",
                    _("Without feeds"),
                    _("No connection to any feed; what this router sees itself still counts."),
                    !now.enabled
                )}
                <h2>{_("Guarded zones")}</h2>
                {now.known_zones.map((name) => (
                    <Switch
                        key={name}
                        label={name}
                        checked={now.zones.includes(name)}
                        onChange={(event) => zone(name, event.target.checked)}
                    />
                ))}
                {now.zones.length === 0 && (
                    <p className="text-danger" role="alert">
                        {_("At least one zone is needed; to block nothing, switch the protection off.")}
                    </p>
                )}
                <h2>{_("Feeds")}</h2>
                {toggle(
                    "dynfw",
                    "Turris DynFW",
                    _("Attackers that CZ.NIC knows from routers and honeypots, up to the second. Sends nothing."),
                    !feeds
                )}
                {toggle("nats", "DisWall", _("What the users of DisWall ban. Needs no registration."), !feeds)}
                <TextInput
                    label={_("DisWall account")}
                    value={now.client_name}
                    maxLength="120"
                    autoComplete="off"
                    disabled={!feeds || !now.nats}
                    onChange={(event) => change("client_name", event.target.value)}
                />
                <PasswordInput
                    withEye
                    label={_("Password")}
                    value={now.client_pass || ""}
                    maxLength="120"
                    newPass
                    helpText={_("Empty: as it was. It travels unencrypted unless the server offers TLS.")}
                    disabled={!feeds || !now.nats}
                    onChange={(event) => change("client_pass", event.target.value)}
                />
                {toggle(
                    "share_bans",
                    _("Give own bans to DisWall"),
                    _("Sends the addresses that this router banned."),
                    !feeds || !now.nats
                )}
                <Button className="btn-primary" type="submit" disabled={nothing} loading={saved.state === "sending"}>
                    {_("Save")}
                </Button>
                {refused && <div className="alert alert-danger mt-3" role="alert">{refused}</div>}
                {!refused && saved.state === "success" && (
                    <p role="status" className="mt-2">{_("Saved; it takes force within seconds.")}</p>
                )}
            </form>
            <Lists />
        </>
    );
}
