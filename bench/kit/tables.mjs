// @ts-check
// Results as Markdown: a summary for the README, and everything for results.md.
import { digits, percent, table, time } from "./format.mjs";
import { layers, layerText } from "./layer-shapes.mjs";
import { shapeOf, sizesText } from "./shapes.mjs";

/**
 * @typedef {import("./results.mjs").Results} Results
 * @typedef {import("./results.mjs").Row} Row
 */

export const NODE = "onnxruntime-node";

/** The best backend on one thread, beside js and the peer that comes nearest. @param {Results} results */
export function summary({ machine, attention, peers }) {
  const first = attention.filter(({ threads, backend }) => threads === 1 && backend === attention[0].backend);
  const lines = first
    .filter(({ shape }) => shapeOf(shape).mask === "none" && shapeOf(shape).memory === undefined)
    .map(({ shape, best, gflops, share, overJs }) => {
      const measured = peers.filter((row) => row.shape === shape && row.threads === 1);
      const ofPackage = (/** @type {string} */ name) => bestOf(measured.filter((row) => packageOf(row) === name));
      const overNode = Number(ofPackage(NODE)) / Number(ofPackage("xattn"));
      const limit = percent(/** @type {number | null} */ (share));
      const name = `${shape} (${sizesText(shapeOf(shape))})`;
      return [name, time(Number(best)), digits(Number(gflops)), limit, times(Number(overJs)), times(overNode)];
    });
  const header = ["shape (batch, heads, tq, tk, d, dv)", "time", "GFLOP/s", "of the limit", "over js", `over ${NODE}`];
  return `![Share of what one core can do, by shape and package](bench/chart.svg)

Whole calls from JavaScript on one core, float32, ${first[0]?.backend ?? ""}; ${machine.cpu}, Node ${machine.node}. The limit is the
core's FMA peak, for one query (decode, beams) a plain read loop over the keys and values, measured beside each call.
${NODE} is the best of four graphs. How it was measured, other packages, two threads, masks and scaling:
[bench](bench/README.md).

${table(header, lines)}`;
}

/** Everything that was measured. @param {Results} results */
export function tables(results) {
  const { cpu, node } = results.machine;
  const sections = [
    "# Results",
    `${cpu}, Node ${node}, float32, best whole call from JavaScript. FLOP = 2 · batch · heads · tq · tk · (d + dv).`,
    ...threadCounts(results.attention).map((threads) => attentionTable(results.attention, threads)),
    ...threadCounts(results.peers).map((threads) => peersTable(results.peers, threads)),
    pairsTable(results.pairs),
    ...threadCounts(results.blocks).map((threads) => blocksTable(results.blocks, threads)),
    scalingTable(results.scaling),
  ];
  return `${sections.filter((section) => section !== undefined).join("\n\n")}\n`;
}

/** @param {Row[]} rows @param {number} threads */
function attentionTable(rows, threads) {
  const name = (/** @type {string} */ shape) => `${shape} (${sizesText(shapeOf(shape))})`;
  return `## Backends, ${threadsText(threads)}

The limit is the FMA peak of the instruction set, for one query (decode, beams) a plain read loop over the keys and values,
measured beside each call. Masked pairs count as FLOP. Shapes named after a type have a memory of it. The last column is the first backend's speed over \`js\`.

${backendsTable(rows, threads, "shape (batch, heads, tq, tk, d, dv)", name)}`;
}

/** @param {Row[]} rows @param {number} threads */
function blocksTable(rows, threads) {
  const name = (/** @type {string} */ layer) => {
    const shape = layers.find((each) => each.name === layer);
    return shape === undefined ? layer : `${layer} (${layerText(shape)})`;
  };
  return `## Linear layers, ${threadsText(threads)}

The limit of many rows is the FMA peak, of few (row, beams) a plain read loop over as many bytes as the weights have. Beside
weights of int8 products are of integers, of 8 bits where the layer is dynamic, and the FMA peak does not limit them.

${backendsTable(rows, threads, "layer (rows, inputs, outputs)", name)}`;
}

/** @param {Row[]} rows @param {number} threads @param {string} first @param {(shape: string) => string} nameOf */
function backendsTable(rows, threads, first, nameOf) {
  const measured = rows.filter((row) => row.threads === threads);
  const names = distinct(measured, "backend");
  const simd = names.filter((name) => measured.some(({ backend, share }) => backend === name && share !== null));
  const header = names.flatMap((name) => (simd.includes(name) ? [name, "GFLOP/s", "of the limit"] : [name]));
  const lines = distinct(measured, "shape").map((shape) => {
    const ofShape = measured.filter((row) => row.shape === shape);
    const cells = names.flatMap((name) => {
      const row = ofShape.find(({ backend }) => backend === name);
      const { best = null, gflops = null, share = null } = /** @type {Record<string, number | null>} */ (row ?? {});
      return simd.includes(name) ? [time(best), gflops === null ? "" : digits(gflops), percent(share)] : [time(best)];
    });
    return [nameOf(shape), ...cells, times(Number(ofShape[0].overJs))];
  });
  return table([first, ...header, "over js"], lines);
}

/** @param {Row[]} rows @param {number} threads */
function peersTable(rows, threads) {
  const measured = rows.filter((row) => row.threads === threads);
  const packages = [...new Set(measured.map(packageOf))].filter((name) => name !== "xattn");
  const lines = distinct(measured, "shape").map((shape) => {
    const ofShape = measured.filter((row) => row.shape === shape);
    const best = (/** @type {string} */ name) => bestOf(ofShape.filter((row) => packageOf(row) === name));
    const [xattn, ...others] = ["xattn", ...packages].map(best);
    const ahead = Math.min(...others.map((seconds) => seconds ?? Infinity)) / Number(xattn);
    return [shape, time(xattn), ...others.map(time), times(ahead)];
  });
  return `## Other packages, ${threadsText(threads)}

Same inputs, results compared, in turns. Of onnxruntime the best graph it can run (\`MultiHeadAttention\` with two layouts of keys, \`Attention\`, unfused).

${table(["shape", "xattn", ...packages, "xattn ahead"], lines)}`;
}

/** "onnxruntime-node" for all of its graphs. @param {Row} row */
export function packageOf({ peer }) {
  return String(peer).split(" ")[0];
}

/** Seconds of the fastest. @param {Row[]} rows */
function bestOf(rows) {
  const seconds = rows.map(({ best }) => Number(best));
  return seconds.length > 0 ? Math.min(...seconds) : null;
}

/** @param {Row[]} rows */
function pairsTable(rows) {
  if (rows.length === 0) return undefined;
  const lines = rows.map(({ shape, extra, threads, to, best, toBest, ratio, most }) => {
    const call = [shape, extra, threads === 1 ? "" : threadsText(threads)].filter(Boolean).join(", ");
    return [call, String(to), time(Number(best)), time(Number(toBest)), Number(ratio).toFixed(2), String(most)];
  });
  return `## Masks, beams, threads, memories and maps

In terms of the plain call on one thread.

${table(["call", "plain call", "time", "plain time", "ratio", "at most"], lines)}`;
}

/** @param {Row[]} rows */
function scalingTable(rows) {
  if (rows.length === 0) return undefined;
  const lines = rows.map(({ tq, tk, best, pair, memory }) => {
    const pairTime = `${(1e9 * Number(pair)).toFixed(2)} ns`;
    return [`${tq}`, `${tk}`, time(Number(best)), pairTime, `${(1e-6 * Number(memory)).toFixed(1)} MB`];
  });
  return `## Scaling

4 heads of 64, one thread: time is linear in queries and keys, and memory above inputs and output does
not grow.

${table(["queries", "keys", "time", "a pair of query and key", "extra memory"], lines)}`;
}

/** @param {Row[]} rows @param {string} column */
function distinct(rows, column) {
  return [...new Set(rows.map((row) => String(row[column])))];
}

/** @param {Row[]} rows */
function threadCounts(rows) {
  return [...new Set(rows.map(({ threads }) => threads))].sort((a, b) => a - b);
}

/** @param {number} threads */
function threadsText(threads) {
  return threads === 1 ? "one thread" : `${threads} threads`;
}

/** @param {number} ratio */
function times(ratio) {
  return Number.isFinite(ratio) && ratio > 0 ? `${ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2)}×` : "";
}
