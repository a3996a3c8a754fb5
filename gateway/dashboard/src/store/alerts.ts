/**
 * What an operator has to know now: bounded, one an occasion, dismissible. Pure; the time that is passed in is that for which
 * somebody saw the page, so that nothing is over before it could be read.
 */

export type Severity = "warning" | "error";

/** What it holds for: a moment, the simulation that is open, or the page until it is loaded anew. */
export type Lasts = "moment" | "simulation" | "page";

/** What may be done about it, by a button. */
export interface Action {
  label: string;
  run: () => void;
}

export interface More {
  lasts?: Lasts;
  action?: Action;
  /** When it happened, for who reads it, UNIX ms. */
  happenedMs?: number;
}

export interface Alert {
  /** What it is about: a later one with the same key takes its place. */
  key: string;
  severity: Severity;
  text: string;
  atMs: number;
  /** How often it was said in the same words. */
  count: number;
  lasts: Lasts;
  action: Action | null;
  happenedMs: number;
}

/** Where there would be more, the oldest warning goes, and only where there is none the oldest error. */
const MAX_ALERTS = 6;
/**
 * A warning that was dismissed is not said again before there was no cause for it for so long, ms, and an error not in the same
 * words for so long: another worker may be lost.
 */
const QUIET_MS = 60_000;
/** A warning of a moment goes by itself after so long, ms; a state stays until it ends, and an error until it is dismissed. */
const WARNING_MS = 20_000;

export class Alerts {
  #alerts: Alert[] = [];
  readonly #quietUntil = new Map<string, number>();

  /** Errors first, each the newest first. */
  get list(): readonly Alert[] {
    return this.#alerts;
  }

  raise(key: string, severity: Severity, text: string, nowMs: number, { lasts = "moment", action, happenedMs }: More = {}): void {
    for (const [quiet, until] of this.#quietUntil) if (until <= nowMs) this.#quietUntil.delete(quiet);
    const quiet = quietKey({ key, severity, text });
    if (this.#quietUntil.has(quiet)) {
      if (severity === "warning") this.#quietUntil.set(quiet, nowMs + QUIET_MS);
      return;
    }
    const known = this.#alerts.find((alert) => alert.key === key);
    const count = known?.text === text ? known.count + 1 : 1;
    const alert = { key, severity, text, atMs: nowMs, count, lasts, action: action ?? null, happenedMs: happenedMs ?? Number.NaN };
    const alerts = [alert, ...this.#alerts.filter((other) => other.key !== key)];
    this.#alerts = alerts.sort((a, b) => Number(b.severity === "error") - Number(a.severity === "error"));
    if (this.#alerts.length > MAX_ALERTS) this.#dropOne();
  }

  #dropOne(): void {
    const warning = this.#alerts.findLastIndex((alert) => alert.severity === "warning");
    this.#alerts.splice(warning < 0 ? this.#alerts.length - 1 : warning, 1);
  }

  dismiss(key: string, nowMs: number): void {
    const dismissed = this.#alerts.find((alert) => alert.key === key);
    if (dismissed !== undefined) this.#quietUntil.set(quietKey(dismissed), nowMs + QUIET_MS);
    this.settle(key);
  }

  /** Says that it still holds: it does not go by itself for a while, where it was not dismissed. */
  touch(key: string, nowMs: number): void {
    this.#alerts = this.#alerts.map((alert) => (alert.key === key ? { ...alert, atMs: nowMs } : alert));
  }

  /** Takes away warnings that are over; says whether there were any. */
  expire(nowMs: number): boolean {
    const held = this.#alerts.length;
    this.#alerts = this.#alerts.filter((alert) => alert.severity === "error" || alert.lasts !== "moment" || nowMs - alert.atMs < WARNING_MS);
    return this.#alerts.length < held;
  }

  /** Takes back what does not hold any more; says whether it was there. */
  settle(key: string): boolean {
    const held = this.#alerts.length;
    this.#alerts = this.#alerts.filter((alert) => alert.key !== key);
    return this.#alerts.length < held;
  }

  /** Takes away what is of the simulation that was open. */
  clear(): void {
    this.#alerts = this.#alerts.filter((alert) => alert.lasts === "page");
    this.#quietUntil.clear();
  }
}

function quietKey({ key, severity, text }: Pick<Alert, "key" | "severity" | "text">): string {
  return severity === "error" ? `${key}: ${text}` : key;
}
