// SPDX-License-Identifier: GPL-3.0-or-later
// Dropped packets by the hour as columns, with the same figures as a table for whoever cannot see them.

import React from "react";

import { moment, number, say } from "./text";

const HEIGHT = 120;
const COLUMN = 20;

/* The columns' sums over all sources, oldest first. */
export function sums(sources) {
    const length = Math.max(0, ...sources.map(({ packets }) => packets.length));
    return Array.from({ length }, (_unused, at) =>
        sources.reduce((sum, { packets }) => sum + (packets[at] || 0), 0)
    );
}

export default function Chart({ history }) {
    const columns = sums(history.sources);
    const most = Math.max(1, ...columns);
    const total = columns.reduce((sum, column) => sum + column, 0);
    const when = (at) => moment(history.end - (columns.length - at) * history.step);

    return (
        <>
            <svg
                className="w-100"
                style={{ maxHeight: "10rem" }}
                viewBox={`0 0 ${Math.max(1, columns.length) * COLUMN} ${HEIGHT}`}
                preserveAspectRatio="none"
                role="img"
                aria-label={say(_("Dropped packets by the hour, %s in all, %s at most"), number(total), number(most))}
            >
                {columns.map((column, at) => (
                    <rect
                        // eslint-disable-next-line react/no-array-index-key
                        key={at}
                        x={at * COLUMN + 2}
                        width={COLUMN - 4}
                        y={HEIGHT - 1 - (column / most) * (HEIGHT - 2)}
                        height={1 + (column / most) * (HEIGHT - 2)}
                        fill="var(--bs-primary, #00a2e2)"
                    >
                        <title>{`${when(at)}: ${number(column)}`}</title>
                    </rect>
                ))}
            </svg>
            <details>
                <summary>{say(_("As a table (%s packets in all)"), number(total))}</summary>
                <table className="table table-sm">
                    <thead>
                        <tr>
                            <th scope="col">{_("Since")}</th>
                            <th scope="col">{_("Dropped packets")}</th>
                        </tr>
                    </thead>
                    <tbody>
                        {columns.map((column, at) => (
                            // eslint-disable-next-line react/no-array-index-key
                            <tr key={at}>
                                <td>{when(at)}</td>
                                <td>{number(column)}</td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </details>
        </>
    );
}
