/** Fails where what a browser loads of the built dashboard is larger, compressed, than it may be. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { gzipSync } from "node:zlib";

const MAX_BYTES = 80_000;
const directory = process.env["AUTOFARM_DASHBOARD_OUT"] ?? "dist";

let total = 0;
for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const path = join(entry.parentPath, entry.name);
  const bytes = gzipSync(readFileSync(path), { level: 9 }).length;
  total += bytes;
  console.log(`${String(bytes).padStart(7)}  ${path}`);
}
console.log(`${String(total).padStart(7)}  in all, of at most ${MAX_BYTES}`);
if (total === 0) {
  console.error(`${directory} is empty: run npm run build first`);
  process.exit(1);
}
if (total > MAX_BYTES) {
  console.error(`the bundle is ${total - MAX_BYTES} bytes too large`);
  process.exit(1);
}
