// Numbers and times for people. Each function takes what the API answers and gives a text; the exact value belongs
// into a title (ui.js: Num, Time do that).

export const NONE = "–";

const counts = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

export function count(value) {
  if (value === null || value === undefined) return NONE;
  return Math.abs(value) < 100000 ? counts.format(value) : compact.format(value);
}

export function number(value) {
  if (value === null || value === undefined) return NONE;
  if (typeof value !== "number") return String(value);
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e9)) return value.toExponential(3);
  return digits.format(value);
}

// A share from 0 to 1 as a percentage.
export function percent(value) {
  if (value === null || value === undefined) return NONE;
  const shown = value * 100;
  const places = shown === 0 || shown >= 99.95 || shown % 1 === 0 ? 0 : shown < 1 ? 2 : 1;
  return `${shown.toFixed(places)} %`;
}

export function milliseconds(value) {
  if (value === null || value === undefined) return NONE;
  return value >= 1000 ? `${number(value / 1000)} s` : `${number(value)} ms`;
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let place = 0;
  let shown = value;
  while (shown >= 1000 && place < units.length - 1) {
    shown /= 1000;
    place += 1;
  }
  return `${place === 0 ? shown : shown.toFixed(1)} ${units[place]}`;
}

// Seconds as a span of time, such as a time to live.
export function span(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  for (const [size, name] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
    if (seconds >= size) {
      const many = Math.round((seconds / size) * 10) / 10;
      return `${many} ${name}${many === 1 ? "" : "s"}`;
    }
  }
  const many = Math.round(seconds);
  return `${many} second${many === 1 ? "" : "s"}`;
}

// How long ago an ISO time was (or how far ahead it is).
export function ago(time, now = Date.now()) {
  if (time === null || time === undefined) return NONE;
  const seconds = (now - new Date(time).getTime()) / 1000;
  if (Number.isNaN(seconds)) return String(time);
  if (Math.abs(seconds) < 5) return "now";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

export function moment(time) {
  if (time === null || time === undefined) return NONE;
  const made = new Date(time);
  if (Number.isNaN(made.getTime())) return String(time);
  return made.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

// Any value of the API as text: text as it is, everything else as JSON.
export function text(value) {
  if (value === null || value === undefined) return NONE;
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function split(shares) {
  if (!shares) return "all to production";
  return Object.entries(shares)
    .map(([version, share]) => `${version} ${percent(share)}`)
    .join(", ");
}
