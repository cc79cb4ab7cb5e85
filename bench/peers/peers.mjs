// What other packages need for the same work. A peer:
// { name, threads: whether it has them, can(shape), setup(shape, inputs, threads) -> { run, read, byTime? } }
// `run` is one call, `read` takes its result to a Float32Array, `byTime` says that rows are [batch, tq, heads].
import { createRequire } from "node:module";
import * as graphs from "./onnx.mjs";

const require = createRequire(import.meta.url);
const always = () => true;
const sameWidths = ({ d, dv }) => d === dv;

/** [batch, heads, t, width] as [batch, t, heads, width]. */
function byTime(data, { batch, heads }, t, width) {
  const out = new Float32Array(data.length);
  for (let row = 0; row < batch * heads * t; row++) {
    const [b, h, i] = [Math.floor(row / (heads * t)), Math.floor(row / t) % heads, row % t];
    out.set(data.subarray(row * width, (row + 1) * width), ((b * t + i) * heads + h) * width);
  }
  return out;
}

// --- onnxruntime ---

const runtimes = {
  node: { load: () => require("onnxruntime-node"), provider: "cpu" },
  web: { load: loadWeb, provider: "wasm" },
};

async function loadWeb(threads) {
  const ort = await import("onnxruntime-web");
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return ort;
}

const onnxruntime = (runtime, name, graph, can = always) => ({
  name: `onnxruntime-${runtime} ${name}`,
  threads: true,
  can,
  async setup(shape, { query, key, value }, threads) {
    const { load, provider } = runtimes[runtime];
    const ort = await load(threads);
    const { model, dims } = graph(shape);
    const session = await ort.InferenceSession.create(model, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    const { tq, tk, d, dv } = shape;
    const feed = (data, t, width, to) =>
      new ort.Tensor("float32", to.length === 3 ? byTime(data, shape, t, width) : data, to);
    const feeds = {
      q: feed(query.data, tq, d, dims.q),
      k: feed(key.data, tk, d, dims.k),
      v: feed(value.data, tk, dv, dims.v),
    };
    return {
      run: () => session.run(feeds),
      read: ({ y }) => y.data,
      byTime: dims.y.length === 3,
      dispose: () => session.release(),
    };
  },
});

const onnxruntimes = (runtime) => [
  onnxruntime(runtime, "MultiHeadAttention", graphs.multiHead),
  onnxruntime(runtime, "MultiHeadAttention, cached keys", graphs.multiHeadCached, sameWidths),
  onnxruntime(runtime, "Attention", graphs.attention),
  onnxruntime(runtime, "MatMul, Softmax, MatMul", graphs.unfused),
];

// --- TensorFlow.js ---

const tfjs = {
  name: "tfjs-wasm",
  threads: false,
  can: always,
  async setup({ d }, { query, key, value }) {
    const tf = require("@tensorflow/tfjs");
    require("@tensorflow/tfjs-backend-wasm");
    await tf.setBackend("wasm");
    const [q, k, v] = [query, key, value].map(({ data, dims }) => tf.tensor(data, dims));
    const scale = tf.scalar(1 / Math.sqrt(d));
    return {
      // Inputs stay in the wasm heap; the output is copied out, as a caller needs it.
      run() {
        const y = tf.tidy(() => tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), scale)), v));
        const output = y.dataSync();
        y.dispose();
        return output;
      },
      read: (output) => output,
      dispose: () => tf.dispose([q, k, v, scale]),
    };
  },
};

// --- @ruvector/attention: one query at a time ---

const ruvector = {
  name: "ruvector",
  threads: false,
  can: sameWidths,
  setup({ batch, heads, tq, tk, d }, { query, key, value, out }) {
    const { DotProductAttention } = require("@ruvector/attention");
    const operator = new DotProductAttention(d);
    const rows = ({ data }, count) => Array.from({ length: count }, (_, i) => data.subarray(i * d, (i + 1) * d));
    const split = (list) => Array.from({ length: batch * heads }, (_, i) => list.slice(i * tk, (i + 1) * tk));
    const queries = rows(query, batch * heads * tq);
    const [keys, values] = [key, value].map((tensor) => split(rows(tensor, batch * heads * tk)));
    const output = new Float32Array(out.length);
    const answer = (q, row) => operator.compute(q, keys[Math.floor(row / tq)], values[Math.floor(row / tq)]);
    return {
      run() {
        for (const [row, q] of queries.entries()) output.set(answer(q, row), row * d);
        return output;
      },
      read: (result) => result,
    };
  },
};

export const peers = [...onnxruntimes("node"), ...onnxruntimes("web"), tfjs, ruvector];
