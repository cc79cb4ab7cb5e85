// @ts-check
// Text in columns of a terminal, and the cross-attention as a heatmap.

export const WIDTH = 80;

const WIDE = /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|[\u3000-\u30ff\uff00-\uff60]/u;
// From which weight on a cell is drawn so: its character, and its 256-colour code where the terminal has colours.
const STEPS = [
  { from: 0, character: " ", colour: 234 },
  { from: 0.05, character: "░", colour: 24 },
  { from: 0.2, character: "▒", colour: 31 },
  { from: 0.4, character: "▓", colour: 80 },
  { from: 0.7, character: "█", colour: 229 },
];

/** Columns that a text takes: characters of East Asia take two. @param {string} text */
export function columns(text) {
  return [...text].reduce((sum, character) => sum + (WIDE.test(character) ? 2 : 1), 0);
}

/** @param {string} text @param {number} width */
export function left(text, width) {
  return text + " ".repeat(Math.max(0, width - columns(text)));
}

/** @param {string} text @param {number} width */
export function right(text, width) {
  return " ".repeat(Math.max(0, width - columns(text))) + text;
}

/** Cells by rows; the first column is set to the left, the others to the right. @param {string[][]} rows */
export function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => columns(row[i]))));
  return rows.map((row) => row.map((cell, i) => (i === 0 ? left : right)(cell, widths[i])).join("   "));
}

/**
 * Rows of weights with labels down the left side and, on steps, along the top.
 * @param {string[]} across label of each column
 * @param {string[]} down label of each row
 * @param {number[][]} weights 0 to 1, by row
 * @param {boolean} colour whether the terminal shows 256 colours
 * @returns {string[]} lines; one that says so where the columns do not fit
 */
export function heatmap(across, down, weights, colour) {
  const margin = Math.max(...down.map(columns));
  const cell = Math.min(4, Math.floor((WIDTH - margin - 2) / across.length));
  if (cell < 2) return [`(${across.length} source tokens do not fit ${WIDTH} columns)`];
  const indent = " ".repeat(margin + 2);
  const guides = (/** @type {number} */ n) => left("│", cell).repeat(n);
  const draw = (/** @type {number} */ weight) => shade(weight, cell, colour);
  const stairs = [...across, ""].map((label, i) => indent + (guides(i) + label).trimEnd());
  const rows = down.map((label, i) => `${right(label, margin)}  ${weights[i].map(draw).join("").trimEnd()}`);
  const legend = STEPS.slice(1).map(({ from }) => `${draw(from)} from ${100 * from}%`);
  return [...stairs, ...rows, "", indent + legend.join("   ")];
}

/** @param {number} weight @param {number} width @param {boolean} colour */
function shade(weight, width, colour) {
  const step = STEPS.findLast(({ from }) => weight >= from) ?? STEPS[0];
  return colour ? `\x1b[48;5;${step.colour}m${" ".repeat(width)}\x1b[0m` : step.character.repeat(width);
}
