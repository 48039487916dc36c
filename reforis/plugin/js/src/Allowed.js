// SPDX-License-Identifier: GPL-3.0-or-later
// What is never blocked: a page of it at a time, searched by the daemon; added and taken back one by one.

import React, { useEffect, useState } from "react";

import { Button, Spinner, TextInput, useAPIGet, useAPIPost } from "foris";

import AddressForm, { Done } from "./AddressForm";
import { URLS, failureOf } from "./api";
import { addressClass, end, number, say } from "./text";

function origin(name) {
    switch (name) {
        case "config":
            return _("Settings");
        case "command":
            return _("For a time");
        case "nats":
            return "DisWall";
        default:
            return name;
    }
}

function Add({ onDone }) {
    const [address, setAddress] = useState("");
    const [comment, setComment] = useState("");
    const [added, allow] = useAPIPost(URLS.allow);

    const submit = async (given) => {
        await allow({ data: { addresses: [given], ...(comment.trim() ? { comment: comment.trim() } : {}) } });
        onDone();
    };

    return (
        <>
            <AddressForm
                label={_("Address or network")}
                helpText={_("Of either family. An allowance opens nothing: the firewall's own rules still decide.")}
                address={address}
                onChange={setAddress}
                onSubmit={submit}
                action={_("Allow")}
            >
                <TextInput
                    label={_("Comment")}
                    value={comment}
                    maxLength="120"
                    autoComplete="off"
                    onChange={(event) => setComment(event.target.value)}
                />
            </AddressForm>
            <Done answers={[added]} />
        </>
    );
}

function Rows({ data, onRemove }) {
    if (data.allowances.length === 0) return <p>{_("Nothing is allowed by name.")}</p>;
    return (
        <div className="table-responsive">
            <table className="table table-hover">
                <thead>
                    <tr>
                        <th scope="col">{_("Address or network")}</th>
                        <th scope="col">{_("Comment")}</th>
                        <th scope="col" className="d-none d-md-table-cell">{_("Ends")}</th>
                        <th scope="col" className="d-none d-md-table-cell">{_("From")}</th>
                        <th scope="col" aria-label={_("Actions")} />
                    </tr>
                </thead>
                <tbody>
                    {data.allowances.map((row) => (
                        <tr key={row.origin + row.address}>
                            <td className={addressClass(row.address)}>{row.address}</td>
                            <td className="text-break">{row.comment}</td>
                            <td className="d-none d-md-table-cell">{end(row)}</td>
                            <td className="d-none d-md-table-cell">{origin(row.origin)}</td>
                            <td className="text-end">
                                {row.origin !== "nats" && (
                                    <Button
                                        className="btn-sm btn-outline-danger"
                                        aria-label={say(_("Take back the allowance of %s"), row.address)}
                                        onClick={() => onRemove(row.address)}
                                    >
                                        {_("Take back")}
                                    </Button>
                                )}
                            </td>
                        </tr>
                    ))}
                </tbody>
            </table>
        </div>
    );
}

export default function Allowed() {
    const [search, setSearch] = useState("");
    const [offset, setOffset] = useState(0);
    const [shown, refresh] = useAPIGet(`${URLS.allowances}?offset=${offset}&search=${encodeURIComponent(search)}`);
    const [removed, disallow] = useAPIPost(URLS.disallow);

    useEffect(() => {
        // A word that is still being typed is not looked for letter by letter.
        const timer = setTimeout(refresh, 300);
        return () => clearTimeout(timer);
    }, [refresh]);

    const remove = async (address) => {
        await disallow({ data: { addresses: [address] } });
        refresh();
    };

    const failed = failureOf(shown) || failureOf(removed);
    const data = shown.data && shown.data.allowances ? shown.data : null;
    const last = data ? offset + data.allowances.length : 0;
    return (
        <>
            <h1>{_("Allowed addresses")}</h1>
            <p>{_("diswall never blocks these.")}</p>
            <Add onDone={refresh} />
            <h2 className="mt-4">{_("Allowances")}</h2>
            <TextInput
                label={_("Search")}
                value={search}
                maxLength="120"
                autoComplete="off"
                onChange={(event) => {
                    setSearch(event.target.value);
                    setOffset(0);
                }}
            />
            {failed && <div className="alert alert-warning" role="alert">{failed}</div>}
            {!data && !failed && <Spinner />}
            {data && (
                <>
                    <Rows data={data} onRemove={remove} />
                    {data.matched > data.allowances.length && (
                        <p>
                            {say(_("%s to %s of %s"), number(offset + 1), number(last), number(data.matched))}{" "}
                            <Button
                                className="btn-sm btn-outline-primary me-2"
                                disabled={offset === 0}
                                onClick={() => setOffset(Math.max(0, offset - 50))}
                            >
                                {_("Back")}
                            </Button>
                            <Button
                                className="btn-sm btn-outline-primary"
                                disabled={last >= data.matched}
                                onClick={() => setOffset(offset + 50)}
                            >
                                {_("Next")}
                            </Button>
                        </p>
                    )}
                </>
            )}
        </>
    );
}
