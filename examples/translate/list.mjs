// @ts-check
// The phrases that the demo translates by default, by value, so that ICU can say them in every language.

/** @typedef {import("./phrases.mjs").Phrase} Phrase */

// A Tuesday.
const EVENING = Date.UTC(2026, 10, 24, 20, 45);

/** @type {Phrase[]} */
export const LIST = [
  { kind: "date", value: EVENING, options: { dateStyle: "long", timeStyle: "short" } },
  { kind: "date", value: EVENING, options: { dateStyle: "full" } },
  { kind: "date", value: EVENING, options: { weekday: "long", hour: "numeric", minute: "2-digit" } },
  { kind: "date", value: Date.UTC(1789, 6, 14), options: { month: "long", day: "numeric" } },
  { kind: "date", value: Date.UTC(1969, 6, 20), options: { month: "long", year: "numeric" } },
  { kind: "relative", value: -1, unit: "month" },
  { kind: "relative", value: 2, unit: "day" },
  { kind: "relative", value: -3, unit: "quarter" },
  { kind: "measure", value: 5, unit: "hour" },
  { kind: "measure", value: 42.2, unit: "kilometer" },
  { kind: "measure", value: 130, unit: "kilometer-per-hour" },
  { kind: "money", value: 1299.99, currency: "USD" },
  { kind: "money", value: 50, currency: "CHF" },
];
