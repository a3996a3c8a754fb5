/** The page's end of the stream worker. One worker serves one simulation at a time, as long as the page lives. */

import type { FromWorker, ToWorker, View } from "./channel";

export class Link {
  readonly #worker: Worker;
  #simulation: string | null = null;

  /** `handle` gets what the worker says of the simulation that is open; what it still says of an earlier one is dropped. */
  constructor(handle: (message: FromWorker) => void) {
    this.#worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "stream" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.simulation === this.#simulation) handle(data);
    };
    this.#worker.onerror = () => {
      const why = "A part of this page failed or could not be loaded. Reload the page.";
      handle({ type: "status", simulation: this.#simulation ?? "", status: { phase: "waiting", why, retryAtMs: null } });
    };
  }

  open(simulation: string, token: string | null, view: View): void {
    this.#simulation = simulation;
    this.#say({ type: "open", simulation, token, view });
  }

  setView(view: View, anchorM: [number, number]): void {
    this.#say({ type: "view", view, anchorM });
  }

  setClasses(classOfRow: Uint8Array): void {
    this.#say({ type: "classes", classOfRow });
  }

  recycle(buffer: ArrayBuffer): void {
    if (buffer.byteLength > 0) this.#worker.postMessage({ type: "recycle", buffer } satisfies ToWorker, [buffer]);
  }

  retry(): void {
    this.#say({ type: "retry" });
  }

  close(): void {
    this.#simulation = null;
    this.#say({ type: "close" });
  }

  #say(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
