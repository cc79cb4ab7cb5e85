// @ts-check
// What an English phrase means, so that ICU can say it in the other languages. Guesses values from the numbers and names
// in the text, and takes the one that ICU says in English as the text does.
import { CURRENCIES, DATE_OPTIONS, MEASURE_UNITS, say, TIME_UNITS } from "./phrases.mjs";

/** @typedef {import("./phrases.mjs").Phrase} Phrase */

const ENGLISH = ["en-US", "en-GB"];
const MONTHS = "January February March April May June July August September October November December".split(" ");

/** The phrase that ICU says so in English, if there is one. @param {string} text @returns {Phrase | undefined} */
export function recognise(text) {
  for (const phrase of guesses(text)) {
    if (ENGLISH.some((locale) => say(locale, phrase) === text)) return phrase;
  }
  return undefined;
}

/** @param {string} text @returns {Generator<Phrase>} */
function* guesses(text) {
  // Without a number one unit is meant: "tomorrow", "last month".
  const number = Number(text.replaceAll(",", "").match(/\d+(\.\d+)?/)?.[0] ?? 1);
  for (const unit of TIME_UNITS) {
    for (const value of [number, -number]) yield { kind: "relative", value, unit };
  }
  for (const unit of MEASURE_UNITS) yield { kind: "measure", value: number, unit };
  for (const currency of CURRENCIES) yield { kind: "money", value: number, currency };
  for (const value of dates(text)) {
    for (const options of DATE_OPTIONS) yield { kind: "date", value, options };
  }
}

/** Milliseconds since 1970 in UTC. @param {string} text @returns {Generator<number>} */
function* dates(text) {
  const [, hour = "0", minute = "0", half] = text.match(/(\d{1,2}):(\d\d)(?: ([AP])M)?/) ?? [];
  const hours = half === undefined ? Number(hour) : (Number(hour) % 12) + (half === "P" ? 12 : 0);
  const month = Math.max(
    0,
    MONTHS.findIndex((name) => text.includes(name)),
  );
  const year = text.match(/\b\d{4}\b/)?.[0];
  const day = text.match(/(?<!:)\b\d{1,2}\b(?!:)/)?.[0];
  // A weekday alone is one of seven days; a day of the year falls on every weekday within 28 years.
  for (const y of year === undefined ? range(2000, 28) : [Number(year)]) {
    for (const d of day === undefined ? range(1, 7) : [Number(day)]) {
      yield Date.UTC(y, month, d, hours, Number(minute));
    }
  }
}

/** @param {number} from @param {number} count */
function range(from, count) {
  return Array.from({ length: count }, (_, i) => from + i);
}
