// SPDX-License-Identifier: GPL-3.0-or-later
// A form that sends an address, with more fields or without, and says what came of it. Used by Overview and Allowed.

import React from "react";

import { Button, TextInput } from "foris";

import { failureOf } from "./api";

export function Failure({ of, kind = "warning" }) {
    const text = failureOf(of);
    return text ? <div className={`alert alert-${kind} mt-3`} role="alert">{text}</div> : null;
}

/* What was done, in diswall's own words, or why it was not. */
export function Done({ answers }) {
    const last = answers.find(({ state }) => state === "success" || state === "error");
    if (!last) return null;
    if (failureOf(last)) return <Failure of={last} />;
    return <p role="status" className="mt-2">{(last.data.done || []).map(({ text }) => text).join("; ")}</p>;
}

export default function AddressForm({ label, helpText, address, onChange, onSubmit, action, children }) {
    return (
        <form
            onSubmit={(event) => {
                event.preventDefault();
                if (address.trim()) onSubmit(address.trim());
            }}
        >
            <TextInput
                label={label}
                value={address}
                required
                maxLength="255"
                placeholder="198.51.100.7"
                autoComplete="off"
                helpText={helpText}
                onChange={(event) => onChange(event.target.value)}
            />
            {children}
            <Button className="btn-primary" type="submit">
                {action}
            </Button>
        </form>
    );
}
