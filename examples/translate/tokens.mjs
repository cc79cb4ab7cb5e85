// @ts-check
// Text to tokens and back: Latin words whole, every other character alone. "▁" marks a leading space.

const SPACE = "▁";

/** @param {string} text @returns {string[]} */
export function split(text) {
  return (SPACE + text.replaceAll(" ", SPACE)).match(/▁?(?:\p{Script=Latin}+|[^▁])|▁/gu) ?? [];
}

export class Vocabulary {
  /** @param {readonly string[]} tokens by id @param {import("./weights.mjs").Config} config */
  constructor(tokens, config) {
    this.tokens = tokens;
    this.config = config;
    this.ids = new Map(tokens.map((token, id) => [token, id]));
  }

  /** Ids of a source: language token, tokens, end. @param {string} text @param {string} language @returns {number[]} */
  encode(text, language) {
    const { languages, unk, eos } = this.config;
    return [languages[language], ...split(text)].map((token) => this.ids.get(token) ?? unk).concat(eos);
  }

  /** The tokens of a text that the translator never saw. @param {string} text @returns {string[]} */
  unknown(text) {
    return split(text).filter((token) => !this.ids.has(token));
  }

  /** @param {readonly number[]} ids @returns {string} */
  decode(ids) {
    return ids
      .map((id) => this.tokens[id])
      .join("")
      .replaceAll(SPACE, " ")
      .trim();
  }
}
