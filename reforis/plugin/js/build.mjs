// SPDX-License-Identifier: GPL-3.0-or-later
// Makes the one file that reForis loads: our sources and what they use of `foris`. What the host brings
// itself (React and its kin) is taken from its globals. Called by `npm run build`; by default the result goes
// where reForis' own build tools look for it, or to the file named as argument.

import { build } from "esbuild";

const HOST = {
    "prop-types": "PropTypes",
    react: "React",
    "react-dom": "ReactDOM",
    "react-router-dom": "ReactRouterDOM",
};

const names = new RegExp(`^(${Object.keys(HOST).join("|")})$`);

const host = {
    name: "host",
    setup(builder) {
        builder.onResolve({ filter: names }, ({ path }) => ({ path, namespace: "host" }));
        builder.onLoad({ filter: names, namespace: "host" }, ({ path }) => ({
            contents: `module.exports = window.${HOST[path]};`,
        }));
    },
};

// `foris` is one index of everything, and none of its files does anything by being loaded: what is not used
// can go, and what that alone used goes with it. It does not say so itself.
const unused = {
    name: "unused",
    setup(builder) {
        builder.onResolve({ filter: /./ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
            if (pluginData === "seen" || !/node_modules/.test(`${importer} ${path}`) && path !== "foris") return undefined;
            if (names.test(path)) return undefined;
            const found = await builder.resolve(path, { importer, resolveDir, kind, pluginData: "seen" });
            return found.errors.length || /\.css$/.test(found.path) ? undefined : { ...found, sideEffects: false };
        });
    },
};

await build({
    entryPoints: ["src/app.js"],
    outfile: process.argv[2] ?? "../reforis_static/reforis_diswall/js/app.min.js",
    bundle: true,
    minify: true,
    // Czech stays readable in either direction, and the host's page says UTF-8.
    charset: "utf8",
    legalComments: "inline",
    target: "es2019",
    loader: { ".js": "jsx", ".css": "empty" },
    plugins: [host, unused],
});
