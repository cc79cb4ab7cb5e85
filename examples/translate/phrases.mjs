// @ts-check
// Phrases that ICU (Node's Intl) says in every language: dates, times, relative times, measures, amounts of money.
//   node phrases.mjs COUNT SEED > phrases.tsv     random ones, as the translator was trained on: language, source, target
import { pathToFileURL } from "node:url";

/**
 * What to say, before any language.
 * @typedef {{ kind: "date", value: number, options: Intl.DateTimeFormatOptions }
 *   | { kind: "relative", value: number, unit: Intl.RelativeTimeFormatUnit }
 *   | { kind: "measure", value: number, unit: string }
 *   | { kind: "money", value: number, currency: string }} Phrase
 */

export const LANGUAGES = ["fr", "de", "es", "ja"];

export const DATE_OPTIONS = /** @type {Intl.DateTimeFormatOptions[]} */ ([
  { dateStyle: "full" },
  { dateStyle: "long" },
  { dateStyle: "full", timeStyle: "short" },
  { dateStyle: "long", timeStyle: "short" },
  { timeStyle: "short" },
  { weekday: "long", month: "long", day: "numeric" },
  { month: "long", year: "numeric" },
  { month: "long", day: "numeric" },
  { weekday: "long", hour: "numeric", minute: "2-digit" },
]);
export const TIME_UNITS = /** @type {const} */ ([
  "second",
  "minute",
  "hour",
  "day",
  "week",
  "month",
  "quarter",
  "year",
]);
export const MEASURE_UNITS = (
  "kilometer meter centimeter liter kilogram gram degree percent byte megabyte kilometer-per-hour mile " +
  "day hour minute second week month year"
).split(" ");
export const CURRENCIES = "USD EUR GBP JPY CHF CAD AUD CNY INR BRL MXN SEK NOK PLN ZAR KRW".split(" ");

/** What ICU says, with spaces folded. @param {string} locale @param {Phrase} phrase */
export function say(locale, phrase) {
  return fold(formatter(locale, phrase)(phrase.value));
}

/** One spelling of equal texts: ICU's narrow and unbreakable spaces become plain ones. @param {string} text */
export function fold(text) {
  return text
    .normalize("NFC")
    .replace(/[\s\u202f\u00a0]+/g, " ")
    .trim();
}

/** @type {Map<string, (value: number) => string>} */
const formatters = new Map();

// Making a formatter takes ICU far longer than using it.
/** @param {string} locale @param {Phrase} phrase */
function formatter(locale, phrase) {
  const { value: _, ...rest } = phrase;
  const key = locale + JSON.stringify(rest);
  const known = formatters.get(key) ?? makeFormatter(locale, phrase);
  formatters.set(key, known);
  return known;
}

/** @param {string} locale @param {Phrase} phrase @returns {(value: number) => string} */
function makeFormatter(locale, phrase) {
  switch (phrase.kind) {
    case "date":
      return new Intl.DateTimeFormat(locale, { timeZone: "UTC", ...phrase.options }).format;
    case "relative": {
      const format = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
      return (value) => format.format(value, phrase.unit);
    }
    case "measure":
      return new Intl.NumberFormat(locale, { style: "unit", unit: phrase.unit, unitDisplay: "long" }).format;
    case "money":
      return new Intl.NumberFormat(locale, { style: "currency", currency: phrase.currency, currencyDisplay: "name" })
        .format;
  }
}

/**
 * The same count and seed give the same phrases.
 * @param {number} count @param {number} seed
 * @returns {{ language: string, source: string, target: string }[]}
 */
export function randomPhrases(count, seed) {
  const dice = new Dice(seed);
  return Array.from({ length: count }, () => {
    const phrase = randomPhrase(dice);
    const language = dice.pick(LANGUAGES);
    const source = say(dice.pick(["en-US", "en-US", "en-GB"]), phrase);
    return { language, source, target: say(language, phrase) };
  });
}

/** @param {Dice} dice @returns {Phrase} */
function randomPhrase(dice) {
  const chance = dice.roll();
  if (chance < 0.6) {
    const [year, month, day] = [dice.integer(1700, 2199), dice.integer(0, 11), dice.integer(1, 28)];
    const value = Date.UTC(year, month, day, dice.integer(0, 23), dice.integer(0, 59));
    return { kind: "date", value, options: dice.pick(DATE_OPTIONS) };
  }
  if (chance < 0.75) {
    const value = dice.pick([-1, 1]) * dice.integer(1, dice.pick([3, 30, 500]));
    return { kind: "relative", value, unit: dice.pick(TIME_UNITS) };
  }
  if (chance < 0.88) {
    const value = dice.pick([dice.integer(0, 20), dice.integer(0, 999), dice.integer(1, 99999) / 100]);
    return { kind: "measure", value, unit: dice.pick(MEASURE_UNITS) };
  }
  const value = dice.pick([dice.integer(1, 100), dice.integer(1, 9999999) / 100]);
  return { kind: "money", value, currency: dice.pick(CURRENCIES) };
}

/** The generator mulberry32. */
class Dice {
  /** @param {number} seed */
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** From 0 to less than 1. */
  roll() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Both ends may come. @param {number} low @param {number} high */
  integer(low, high) {
    return low + Math.floor(this.roll() * (high - low + 1));
  }

  /** @template T @param {readonly T[]} list */
  pick(list) {
    return list[Math.floor(this.roll() * list.length)];
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [count, seed] = process.argv.slice(2).map(Number);
  if (!Number.isInteger(count) || !Number.isInteger(seed)) throw new RangeError("usage: node phrases.mjs COUNT SEED");
  for (const { language, source, target } of randomPhrases(count, seed)) {
    console.log([language, source, target].join("\t"));
  }
}
