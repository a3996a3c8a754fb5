/** How the dashboard is built: plain files with hashed names, nothing inline, so that a strict Content-Security-Policy holds. */

import { readFileSync } from "node:fs";
import process from "node:process";
import { defineConfig } from "vite";

/** Where the build goes; the gateway's build names a directory of its own. */
const outDir = process.env["AUTOFARM_DASHBOARD_OUT"] ?? "dist";
/** The server that the development server passes requests on to. */
const target = process.env["AUTOFARM_URL"] ?? "http://127.0.0.1:8080";
const passedOn = ["/v1", "/openapi.json", "/docs", "/metrics", "/healthz", "/readyz", "/problems"];

const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

export default defineConfig({
  define: { __VERSION__: JSON.stringify(version) },
  build: {
    outDir,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  worker: { format: "es" },
  server: {
    proxy: Object.fromEntries(passedOn.map((path) => [path, { target, ws: true }])),
  },
});
