// @ts-check
// What each package makes of one core, as SVG: a bar a package, in percent of the machine's limit.
import { shapeOf, sizesText } from "./shapes.mjs";
import { NODE, packageOf } from "./tables.mjs";

/** @typedef {import("./results.mjs").Row} Row */

const SERIES = [
  { of: (/** @type {string} */ name) => name === "xattn", label: "xattn", fill: "#0b7285" },
  { of: (/** @type {string} */ name) => name === NODE, label: "onnxruntime-node, best graph", fill: "#f08c00" },
  {
    of: (/** @type {string} */ name) => name !== "xattn" && name !== NODE,
    label: "best of onnxruntime-web, tfjs wasm, ruvector",
    fill: "#ced4da",
  },
];

const GROUPS = [
  { limit: "compute", title: "Many queries: share of the core’s FMA peak" },
  { limit: "memory", title: "Decoding, one query: share of a plain read loop over the keys and values" },
];

// Pixels.
const WIDTH = 900;
const LEFT = 214;
const RIGHT = 110;
const PLOT = WIDTH - LEFT - RIGHT;
const TOP = 100;
const TITLE = 46;
const ROW = 56;
const SPACE = 16;
const BAR = 13;
const GAP = 2;
const BOTTOM = 4;

/** @param {Row[]} peers */
export function chart(peers) {
  const rows = peers.filter(({ threads }) => threads === 1);
  let y = TOP;
  const parts = GROUPS.flatMap(({ limit, title }) => {
    const known = rows.filter(({ peer, share }) => peer === "xattn" && share !== null);
    const names = known.map(({ shape }) => shape).filter((name) => shapeOf(name).limit === limit);
    if (names.length === 0) return [];
    const body = names.map((name, at) => shapeRow(name, rows, y + TITLE + at * ROW));
    const group = [heading(title, y), grid(y + TITLE, names.length * ROW), ...body];
    y += TITLE + names.length * ROW + SPACE;
    return group;
  });
  const height = y + BOTTOM;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Share of the machine's limit by shape and package">
<style>
  text { font-family: -apple-system, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; fill: #212529; font-size: 13px }
  .title { font-size: 19px; font-weight: 600 }
  .group { font-weight: 600 }
  .small { font-size: 11px; fill: #868e96 }
  .name { font-weight: 600 }
  .ratio { font-size: 15px; font-weight: 600; fill: #0b7285 }
</style>
<rect width="${WIDTH}" height="${height}" rx="10" fill="#ffffff"/>
${[...titleAndLegend(rows), ...parts].join("\n")}
</svg>
`;
}

/** @param {Row[]} rows */
function titleAndLegend(rows) {
  let x = 24;
  const measured = SERIES.filter(({ of }) => rows.some((row) => of(packageOf(row))));
  const legend = measured.map(({ label, fill }) => {
    const entry = `<rect x="${x}" y="59" width="13" height="13" rx="3" fill="${fill}"/>${text(x + 20, 70, label)}`;
    x += 48 + 7 * label.length;
    return entry;
  });
  return [text(24, 36, "Attention in Node on one CPU core, float32", "title"), ...legend];
}

/** @param {string} title @param {number} y */
function heading(title, y) {
  return `${text(24, y + 18, title, "group")}${text(WIDTH - 16, y + 18, "xattn ahead", "small", "end")}`;
}

/** @param {number} y @param {number} height */
function grid(y, height) {
  const lines = [0, 25, 50, 75, 100].map((percent) => {
    const x = LEFT + (PLOT * percent) / 100;
    const line = `<line x1="${x}" x2="${x}" y1="${y - 6}" y2="${y + height - 8}" stroke="${percent === 0 ? "#adb5bd" : "#e9ecef"}"/>`;
    return line + text(x, y - 10, `${percent}%`, "small", "middle");
  });
  return [text(LEFT - 20, y - 10, "batch, heads, tq, tk, d, dv", "small", "end"), ...lines].join("");
}

/** @param {string} name @param {Row[]} rows @param {number} y */
function shapeRow(name, rows, y) {
  const ofShape = rows.filter(({ shape }) => shape === name);
  const best = SERIES.map(({ of }) => fastest(ofShape.filter((row) => of(packageOf(row)))));
  const [xattn, ...others] = best;
  const rival = Math.min(...others.map((row) => Number(row?.best ?? Infinity)));
  const ahead = Number.isFinite(rival) ? `${(rival / Number(xattn?.best)).toFixed(1)}×` : "";
  const middle = y + (3 * BAR + 2 * GAP) / 2;
  return [
    text(LEFT - 12, middle, name, "name", "end"),
    text(LEFT - 12, middle + 15, sizesText(shapeOf(name)), "small", "end"),
    ...best.map((row, at) => bar(row, xattn, y + at * (BAR + GAP), SERIES[at].fill)),
    text(WIDTH - 16, middle + 5, ahead, "ratio", "end"),
  ].join("\n");
}

/** @param {Row[]} rows @returns {Row | undefined} */
function fastest(rows) {
  return rows.toSorted((a, b) => Number(a.best) - Number(b.best))[0];
}

/** All bars of a shape stand in the proportion of the times, under the share of xattn. @param {Row | undefined} row @param {Row | undefined} xattn @param {number} y @param {string} fill */
function bar(row, xattn, y, fill) {
  if (row === undefined || xattn === undefined) return "";
  const share = (Number(xattn.share) * Number(xattn.best)) / Number(row.best);
  const width = PLOT * Math.min(share, 1);
  const label = text(LEFT + width + 6, y + BAR - 2, `${Math.round(100 * share)}%`, "small");
  return `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" fill="${fill}"/>${label}`;
}

/** @param {number} x @param {number} y @param {string} content @param {string} [kind] @param {string} [anchor] */
function text(x, y, content, kind, anchor) {
  const attributes = `${kind ? ` class="${kind}"` : ""}${anchor ? ` text-anchor="${anchor}"` : ""}`;
  return `<text x="${x.toFixed(0)}" y="${y.toFixed(0)}"${attributes}>${content}</text>`;
}
