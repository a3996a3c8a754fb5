/** Numbers and times for people. Pure. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const NONE = "–";

export function count(value: number): string {
  return Number.isFinite(value) ? whole.format(value) : NONE;
}

/** "1 machine", "2,000 machines". */
export function machines(value: number): string {
  return `${count(value)} ${value === 1 ? "machine" : "machines"}`;
}

export function short(value: number): string {
  return Number.isFinite(value) ? compact.format(value) : NONE;
}

export function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : NONE;
}

export function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(0)} %` : NONE;
}

/** A speed factor: as short as it is exact. */
export function factor(speed: number | "max"): string {
  if (speed === "max") return "max";
  return Number.isFinite(speed) ? `${Number(speed.toPrecision(speed >= 100 ? 4 : 3))}×` : NONE;
}

/** A duration of s as days, hours, minutes and seconds. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return NONE;
  const s = Math.max(Math.floor(seconds), 0);
  const two = (n: number) => String(n).padStart(2, "0");
  const clock = `${two(Math.floor(s / 3600) % 24)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  const days = Math.floor(s / 86_400);
  return days > 0 ? `${days} d ${clock}` : clock;
}

/** A duration of us in the unit that suits it. */
export function latency(us: number): string {
  if (!Number.isFinite(us)) return NONE;
  if (us < 1000) return `${us.toFixed(0)} µs`;
  if (us < 10_000) return `${(us / 1000).toFixed(2)} ms`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(0)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}

export function bytes(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  if (value < 1000) return `${value.toFixed(0)} B`;
  if (value < 1_000_000) return `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)} kB`;
  if (value < 1_000_000_000) return `${(value / 1_000_000).toFixed(1)} MB`;
  return `${(value / 1_000_000_000).toFixed(2)} GB`;
}

/** `charger_waits` as "charger waits". */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
