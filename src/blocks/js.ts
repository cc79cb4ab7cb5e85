// The building blocks in plain TypeScript.
import { addScores, holdQueries, holdRows, KEYS, ROWS, scores, WIDTH } from "../block.js";
import { toIntegers } from "../convert.js";
import { addDots } from "../decode.js";
import { readRows } from "../read.js";
import { atOnce, inSlices } from "../slices.js";
import { ACTIVATE } from "./activate.js";
import type { Blocks, EmbeddingCall, Layer, LinearCall, NormCall } from "./calls.js";
import { widenWeights } from "./weights.js";

export const jsBlocks: Blocks = {
  pack: (weights) => widenWeights(weights).slice(),

  linear: (call) => atOnce(linearSteps(rounded(call))),

  linearAsync: (call, signal) => inSlices(linearSteps(rounded(call)), signal),

  norm(call) {
    for (let row = 0; row < call.rows; row++) normRow(call, row * call.width);
  },

  embedding(call) {
    const { ids, width } = call;
    ids.forEach((id, row) => {
      for (let c = 0; c < width; c += WIDTH) embedPart(call, id, row, c, Math.min(WIDTH, width - c));
    });
  },

  rotary({ x, heads, size, dims, interleaved, positions, table, y }) {
    if (y !== x) y.set(x);
    const [second, step] = interleaved ? [1, 2] : [dims / 2, 1];
    for (let head = 0; head < positions.length * heads; head++) {
      const angles = positions[Math.floor(head / heads)] * dims;
      for (let i = 0; i < dims / 2; i++) {
        const at = head * size + i * step;
        const [a, b] = [x[at], x[at + second]];
        const [cos, sin] = [table[angles + i], table[angles + dims / 2 + i]];
        y[at] = a * cos - b * sin;
        y[at + second] = b * cos + a * sin;
      }
    }
  },
};

// A part of x, row after row.
const held = new Float64Array(ROWS * WIDTH);
// Products of a tile with hidden rows, while those with the gates are made.
const hidden = new Float64Array(ROWS * KEYS);

/** For both kinds of int8: rows as what the integers stand for that they are rounded to. */
function rounded(call: LinearCall): LinearCall {
  const { layer, x, rows, stride } = call;
  const { inputs } = layer;
  if (layer.scales === undefined) return call;
  const [numbers, integers] = [new Float64Array(inputs), new Int16Array(inputs)];
  const to = new Float32Array(rows * inputs);
  for (let r = 0; r < rows; r++) {
    numbers.set(x.subarray(r * stride, r * stride + inputs));
    const factor = toIntegers(integers, 0, numbers, layer.type === "int8" ? 32639 : 127);
    for (let i = 0; i < inputs; i++) to[r * inputs + i] = integers[i] * factor;
  }
  return { ...call, x: to, stride: inputs };
}

/** Tiles of at most ROWS rows by KEYS outputs; scores (see block.ts) holds a tile's products, KEYS apart. */
function* linearSteps(call: LinearCall): Generator<void> {
  const { layer, rows } = call;
  for (let row = 0; row < rows; row += ROWS) {
    for (let output = 0; output < layer.outputs; output += KEYS) {
      finishTile(call, row, Math.min(ROWS, rows - row), output, Math.min(KEYS, layer.outputs - output));
      yield;
    }
  }
}

function finishTile(call: LinearCall, row: number, rows: number, output: number, outputs: number): void {
  const { layer, residual, y } = call;
  const activate = ACTIVATE[layer.activation];
  multiplyTile(call, row, rows, output, outputs);
  if (layer.gated) {
    hidden.set(scores);
    multiplyTile(call, row, rows, layer.outputs + output, outputs);
  }
  for (let r = 0; r < rows; r++) {
    const to = (row + r) * layer.outputs + output;
    for (let j = 0; j < outputs; j++) {
      const active = activate(scores[r * KEYS + j]);
      y[to + j] = (layer.gated ? active * hidden[r * KEYS + j] : active) + (residual ? residual[to + j] : 0);
    }
  }
}

/** scores = x W^T + bias for some rows of x and some of W. */
function multiplyTile({ layer, x, stride }: LinearCall, row: number, rows: number, from: number, count: number): void {
  const { inputs, packed } = layer;
  startScores(layer, rows, from, count);
  for (let c = 0; c < inputs; c += WIDTH) {
    const width = Math.min(WIDTH, inputs - c);
    for (let r = 0; r < rows; r++) {
      const at = (row + r) * stride + c;
      held.set(x.subarray(at, at + width), r * width);
    }
    const part = { data: packed as Float32Array, start: from * inputs + c, stride: inputs };
    if (rows === 1) {
      addDots(scores, held, 0, part, count, width);
    } else {
      holdQueries(held, 0, rows, width);
      holdRows(part, count, width, width);
      addScores(rows, count, width);
    }
  }
}

function startScores({ bias }: Layer, rows: number, from: number, count: number): void {
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < count; j++) scores[r * KEYS + j] = bias ? bias[from + j] : 0;
  }
}

function normRow({ x, width, centred, eps, weight, bias, y }: NormCall, at: number): void {
  let sum = 0;
  if (centred) for (let i = 0; i < width; i++) sum += x[at + i];
  const mean = sum / width;
  let squares = 0;
  for (let i = 0; i < width; i++) squares += (x[at + i] - mean) ** 2;
  const factor = 1 / Math.sqrt(squares / width + eps);
  for (let i = 0; i < width; i++) {
    y[at + i] = (x[at + i] - mean) * factor * (weight ? weight[i] : 1) + (bias ? bias[i] : 0);
  }
}

function embedPart(
  { table, type, stride, scale, width, y }: EmbeddingCall,
  id: number,
  row: number,
  c: number,
  n: number,
) {
  const { data, start } = readRows({ data: table, type, row: stride }, id * stride + c, 1, n);
  for (let i = 0; i < n; i++) y[row * width + c + i] = data[start + i] * scale;
}
