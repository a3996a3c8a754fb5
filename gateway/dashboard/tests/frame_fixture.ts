/** The worked example of docs/stream.md, which the gateway's own tests hold against what the gateway writes. */

import { readFileSync } from "node:fs";

const page = readFileSync(new URL("../../../docs/stream.md", import.meta.url), "utf8");

/** The bytes of the n-th hex dump of the page. */
function dump(n: number): ArrayBuffer {
  const dumps = [...page.matchAll(/```text\n([\s\S]*?)```/g)].map((found) => found[1] ?? "");
  const lines = (dumps[n] ?? "").trim().split("\n");
  const bytes = lines.flatMap((line) =>
    line
      .trim()
      .split(/\s+/)
      .slice(1)
      .map((hex) => Number.parseInt(hex, 16)),
  );
  return Uint8Array.from(bytes).buffer;
}

export const idsBytes = () => dump(0);
export const tickBytes = () => dump(1);

/** The same message with something else in it. */
export function changed(message: ArrayBuffer, change: (data: DataView) => void): ArrayBuffer {
  const copy = message.slice(0);
  change(new DataView(copy));
  return copy;
}
