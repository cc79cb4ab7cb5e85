// @ts-check
// Results against the float64 oracle of the tests, on sampled rows: one query at a time is a call of its own.
import fs from "node:fs";
import ts from "typescript";
import { mulberry32 } from "./inputs.mjs";

/**
 * @typedef {import("./inputs.mjs").Inputs} Inputs
 * @typedef {import("./shapes.mjs").Shape} Shape
 * @typedef {{ row: number, expected: Float64Array }} Sample rows count through [batch, heads, tq]
 */

/** Key rows that the samples of a shape may read; the oracle takes about 1 us for a row of 128 columns. */
const KEY_ROWS = 2e5;

const { oracle } = await importTest("oracle.ts");

/** A file of the tests that imports nothing. @param {string} name */
export function importTest(name) {
  const source = fs.readFileSync(new URL(`../../test/${name}`, import.meta.url), "utf8");
  const module = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  return import(`data:text/javascript,${encodeURIComponent(module.outputText)}`);
}

/** First, last, and random ones between. @param {Shape} shape @param {Inputs} inputs @returns {Sample[]} */
export function sampleRows(shape, inputs) {
  const total = shape.batch * shape.heads * shape.tq;
  const random = mulberry32(total);
  const rows = new Set([0, total - 1]);
  const wanted = Math.min(total, 64, Math.max(8, Math.floor(KEY_ROWS / shape.tk)));
  while (rows.size < wanted) rows.add(Math.floor(random() * total));
  return Array.from(rows, (row) => ({ row, expected: oracleRow(shape, inputs, row) }));
}

/** @param {Shape} shape @param {Inputs} inputs @param {number} row @returns {Float64Array} */
function oracleRow({ batch, keyBatch, heads, kvHeads, tq, tk, d, dv }, { query, key, value, options }, row) {
  const i = row % tq;
  const h = Math.floor(row / tq) % heads;
  const b = Math.floor(row / (tq * heads));
  const keyHead = (batch === keyBatch ? b : 0) * kvHeads + Math.floor(h / (heads / kvHeads));
  /** @param {import("./inputs.mjs").Tensor} tensor @param {number} from @param {number} rows @param {number} columns */
  const part = ({ data, type }, from, rows, columns) => ({
    data: data.subarray(from * columns, (from + rows) * columns),
    dims: [rows, columns],
    type,
  });
  const { mask, keyLengths, causal } = options;
  const maskRow = mask && (mask.dims.length === 2 ? i : b);
  return oracle(part(query, row, 1, d), part(key, keyHead * tk, tk, d), part(value, keyHead * tk, tk, dv), {
    ...(mask && { mask: part(mask, /** @type {number} */ (maskRow), 1, tk) }),
    ...(keyLengths && { keyLengths: [keyLengths[b]] }),
    ...(causal && { causal: { offset: i } }),
  }).output.data;
}

/**
 * Largest absolute error over the samples; NaN where the output has one.
 * @param {Sample[]} samples @param {ArrayLike<number>} output @param {(row: number) => number} [startOf] of a row in it
 */
export function largestError(samples, output, startOf = (row) => row * samples[0].expected.length) {
  let worst = 0;
  for (const { row, expected } of samples) {
    const start = startOf(row);
    // Math.max keeps a NaN.
    expected.forEach((x, c) => {
      worst = Math.max(worst, Math.abs(output[start + c] - x));
    });
  }
  return worst;
}

/** Largest absolute error on unit-normal data, by how keys and values are kept. */
export const MOST_ERRORS = { float32: 2e-6, float16: 1e-3, bfloat16: 1e-2, int8: 1e-2 };

/** Refuses to time what is wrong. @param {string} who @param {number} error */
export function assertClose(who, error, most = MOST_ERRORS.float32) {
  if (!(error <= most)) throw new Error(`${who} is off by ${error}, more than ${most}: not timed`);
}
