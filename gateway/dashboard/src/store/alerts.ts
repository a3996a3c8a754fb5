/** What an operator has to know now: bounded, one an occasion, dismissible. Pure; time is passed in. */

export type Severity = "warning" | "error";

export interface Alert {
  /** What it is about: a later one with the same key takes its place. */
  key: string;
  severity: Severity;
  text: string;
  atMs: number;
  count: number;
}

/** Where there would be more, the oldest warning goes, and only where there is none the oldest error. */
const MAX_ALERTS = 6;
/** What was dismissed is not said again for so long, ms. */
const QUIET_MS = 60_000;
/** A warning that does not come again goes by itself after so long, ms; what is an error stays until it is dismissed. */
const WARNING_MS = 45_000;

export class Alerts {
  #alerts: Alert[] = [];
  readonly #quietUntil = new Map<string, number>();

  get list(): readonly Alert[] {
    return this.#alerts;
  }

  raise(key: string, severity: Severity, text: string, nowMs: number): void {
    for (const [quiet, until] of this.#quietUntil) if (until <= nowMs) this.#quietUntil.delete(quiet);
    if (this.#quietUntil.has(key)) return;
    const known = this.#alerts.find((alert) => alert.key === key);
    const alert = { key, severity, text, atMs: nowMs, count: (known?.count ?? 0) + 1 };
    this.#alerts = [alert, ...this.#alerts.filter((other) => other.key !== key)];
    if (this.#alerts.length > MAX_ALERTS) this.#dropOne();
  }

  #dropOne(): void {
    const warning = this.#alerts.findLastIndex((alert) => alert.severity === "warning");
    this.#alerts.splice(warning < 0 ? this.#alerts.length - 1 : warning, 1);
  }

  dismiss(key: string, nowMs: number): void {
    this.#alerts = this.#alerts.filter((alert) => alert.key !== key);
    this.#quietUntil.set(key, nowMs + QUIET_MS);
  }

  /** Says that it still holds: it does not go by itself for a while, where it was not dismissed. */
  touch(key: string, nowMs: number): void {
    this.#alerts = this.#alerts.map((alert) => (alert.key === key ? { ...alert, atMs: nowMs } : alert));
  }

  /** Takes away warnings that are over; says whether there were any. */
  expire(nowMs: number): boolean {
    const held = this.#alerts.length;
    this.#alerts = this.#alerts.filter((alert) => alert.severity === "error" || nowMs - alert.atMs < WARNING_MS);
    return this.#alerts.length < held;
  }

  /** Takes back what does not hold any more. */
  settle(key: string): void {
    this.#alerts = this.#alerts.filter((alert) => alert.key !== key);
  }

  clear(): void {
    this.#alerts = [];
    this.#quietUntil.clear();
  }
}
