// @ts-check

/** @param {number | null} seconds */
export function time(seconds) {
  if (seconds === null) return "";
  const [scale, unit] = seconds < 1e-3 ? [1e6, "µs"] : seconds < 1 ? [1e3, "ms"] : [1, "s"];
  return `${digits(seconds * scale)} ${unit}`;
}

/** Three significant digits. @param {number} x */
export function digits(x) {
  return x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2);
}

/** @param {number | null} share */
export function percent(share) {
  return share === null || Number.isNaN(share) ? "" : `${(100 * share).toFixed(0)}%`;
}

/** A Markdown table; all columns but the first are numbers. @param {string[]} header @param {string[][]} rows */
export function table(header, rows) {
  const rule = header.map((_, column) => (column === 0 ? "---" : "---:"));
  return [header, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Columns of equal width for a terminal. @param {(string | number)[]} cells @param {number[]} widths */
export function line(cells, widths) {
  return cells
    .map((cell, at) => (at === 0 ? String(cell).padEnd(widths[at]) : String(cell).padStart(widths[at])))
    .join("  ");
}

/** Shown while it is true: overwritten on a terminal, left out elsewhere. @param {string} text */
export function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
