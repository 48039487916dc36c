// SPDX-License-Identifier: GPL-3.0-or-later
// Whether the router is protected, by whom, what was dropped and banned; and one address looked up, allowed,
// unblocked.

import React, { useCallback, useEffect, useState } from "react";

import { Button, Spinner, useAPIGet, useAPIPost } from "foris";

import AddressForm, { Done, Failure } from "./AddressForm";
import { URLS, failureOf } from "./api";
import Chart from "./Chart";
import { addressClass, end, isList, moment, number, reason, say, sourceName } from "./text";

const REFRESH = 10000;

const STATES = {
    protected: ["success", () => _("The router is protected.")],
    local: ["success", () => _("The router is protected by what it sees itself; no feed is on.")],
    waiting: ["info", () => _("The router is protected, but a part of the protection is still to come.")],
    degraded: ["warning", () => _("A part of the protection is not in force.")],
    unprotected: ["danger", () => _("The router is not protected: nothing is blocked.")],
    off: ["secondary", () => _("diswall is switched off: nothing is blocked.")],
};

function stateOf(name) {
    return Object.prototype.hasOwnProperty.call(STATES, name)
        ? STATES[name]
        : ["warning", () => _("The state is unknown.")];
}

function Banner({ status }) {
    const [kind, sentence] = stateOf(status.state);
    const broken = status.parts.filter(({ state }) => state !== "in_force");
    return (
        <div className={`alert alert-${kind}`} role="status">
            <strong>{sentence()}</strong>
            {broken.length + status.problems.length > 0 && (
                <ul className="mb-0 mt-2">
                    {broken.map(({ name, why, lost, remedy }) => (
                        <li key={name}>{`${name}: ${[why, lost, remedy].filter(Boolean).join("; ")}`}</li>
                    ))}
                    {status.problems.map(({ key, text }) => (
                        <li key={key + text}>{text}</li>
                    ))}
                </ul>
            )}
        </div>
    );
}

function Sources({ status }) {
    return (
        <div className="table-responsive">
            <table className="table">
                <thead>
                    <tr>
                        <th scope="col">{_("Source")}</th>
                        <th scope="col">{_("Blocked addresses")}</th>
                        <th scope="col" className="d-none d-md-table-cell">{_("Blocked networks")}</th>
                        <th scope="col">{_("Dropped in the last hour")}</th>
                    </tr>
                </thead>
                <tbody>
                    {status.sources.map(({ name, v4, v6, networks, packets_hour: packets }) => (
                        <tr key={name}>
                            <td>{sourceName(name)}</td>
                            <td>{number(v4 + v6)}</td>
                            <td className="d-none d-md-table-cell">{number(networks)}</td>
                            <td>{number(packets)}</td>
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}

function headline(verdict) {
    switch (verdict) {
        case "blocked":
            return _("Blocked.");
        case "partly":
            return _("Blocked in part.");
        default:
            return _("Not blocked.");
    }
}

function Verdict({ answer, onAllow, onUnblock }) {
    const blocked = ["blocked", "partly"].includes(answer.verdict);
    const bannedByName = answer.verdict !== "allowed" && answer.bans.some(({ source }) => !isList(source));
    return (
        <div className="mt-3" role="status">
            <p className="mb-1">
                <strong>{headline(answer.verdict)}</strong> {answer.sentence}
            </p>
            <ul>
                {answer.bans.map((ban) => (
                    <li key={ban.source + ban.address}>
                        {say(_("%s by %s, %s, ends %s"), ban.address, sourceName(ban.source), reason(ban.reason), end(ban))}
                    </li>
                ))}
            </ul>
            {bannedByName && (
                <Button className="btn-primary me-2" onClick={onUnblock}>
                    {_("Unblock")}
                </Button>
            )}
            {blocked && (
                <Button className="btn-outline-primary" onClick={onAllow}>
                    {_("Always allow")}
                </Button>
            )}
        </div>
    );
}

function Check({ asked }) {
    const [address, setAddress] = useState("");
    const [checked, ask] = useAPIPost(URLS.check);
    const [allowed, allow] = useAPIPost(URLS.allow);
    const [unblocked, unblock] = useAPIPost(URLS.unblock);

    useEffect(() => {
        if (!asked.address) return;
        setAddress(asked.address);
        ask({ data: { address: asked.address } });
    }, [asked, ask]);

    const failed = failureOf(checked);
    const act = async (send, data) => {
        await send({ data });
        ask({ data: { address } });
    };

    return (
        <>
            <AddressForm
                label={_("Address")}
                address={address}
                onChange={setAddress}
                onSubmit={(given) => ask({ data: { address: given } })}
                action={_("Why is this address blocked?")}
            />
            <Done answers={[allowed, unblocked]} />
            <Failure of={checked} />
            {!failed && checked.state === "success" && (
                <Verdict
                    answer={checked.data}
                    onAllow={() => act(allow, { addresses: [checked.data.address] })}
                    onUnblock={() => act(unblock, { addresses: [checked.data.address] })}
                />
            )}
        </>
    );
}

function Newest({ events, onAsk }) {
    if (events.length === 0) return <p>{_("Nobody was banned since diswall started.")}</p>;
    return (
        <div className="table-responsive">
            <table className="table table-hover">
                <thead>
                    <tr>
                        <th scope="col">{_("Time")}</th>
                        <th scope="col">{_("Address")}</th>
                        <th scope="col" className="d-none d-md-table-cell">{_("Banned by")}</th>
                        <th scope="col">{_("Reason")}</th>
                    </tr>
                </thead>
                <tbody>
                    {[...events].reverse().map((event) => (
                        <tr key={`${event.at} ${event.address} ${event.source}`}>
                            <td>{moment(event.at)}</td>
                            <td>
                                <button
                                    type="button"
                                    className={`btn btn-link p-0 text-start ${addressClass(event.address)}`}
                                    title={_("Why is this address blocked?")}
                                    onClick={() => onAsk({ address: event.address })}
                                >
                                    {event.address}
                                </button>
                            </td>
                            <td className="d-none d-md-table-cell">{sourceName(event.source)}</td>
                            <td className="text-break">{reason(event.reason)}</td>
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}

export default function Overview() {
    const [status, getStatus] = useAPIGet(URLS.status);
    const [history, getHistory] = useAPIGet(URLS.history);
    const [events, getEvents] = useAPIGet(URLS.events);
    const [asked, setAsked] = useState({});

    const refresh = useCallback(() => {
        getStatus();
        getEvents();
        getHistory();
    }, [getStatus, getEvents, getHistory]);

    useEffect(() => {
        refresh();
        const timer = setInterval(refresh, REFRESH);
        return () => clearInterval(timer);
    }, [refresh]);

    const failed = failureOf(status);
    return (
        <>
            <h1>diswall</h1>
            {failed && <div className="alert alert-danger" role="status">{failed}</div>}
            {!failed && !status.data && <Spinner />}
            {!failed && status.data && (
                <>
                    <Banner status={status.data} />
                    <Sources status={status.data} />
                </>
            )}
            <h2>{_("Why is this address blocked?")}</h2>
            <Check asked={asked} />
            {!failed && history.data && history.data.sources && (
                <>
                    <h2 className="mt-4">{_("Dropped packets by the hour")}</h2>
                    <Chart history={history.data} />
                </>
            )}
            {!failed && events.data && events.data.events && (
                <>
                    <h2 className="mt-4">{_("Newest bans")}</h2>
                    <Newest events={events.data.events} onAsk={setAsked} />
                </>
            )}
            <p className="text-muted">
                {_("The addresses of Turris DynFW are licensed CC BY-NC-SA 4.0 by CZ.NIC: not for commercial use.")}
            </p>
        </>
    );
}
