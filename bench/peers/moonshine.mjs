// Moonshine by onnxruntime-node: the int8 graphs of the package that examples/transcribe takes its weights from.
import fs from "node:fs";
import path from "node:path";
import ort from "onnxruntime-node";
import { FOLDER, MOONSHINE, take } from "../../examples/transcribe/fetch.mjs";

const [LAYERS, HEADS, HEAD_DIM] = [6, 8, 36];
const START = 1;
const END = 2;

export class OnnxMoonshine {
  /** @param {number} threads */
  static async read(threads) {
    const options = { intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: "all" };
    const model = new OnnxMoonshine();
    [model.encoder, model.decoder] = await Promise.all(
      (await graphs()).map((file) => ort.InferenceSession.create(file, options)),
    );
    return model;
  }

  /** Greedy tokens, with the start token; the seconds that the encoder takes are left in `encoding`. */
  async transcribe(samples, maxLength) {
    const start = performance.now();
    const audio = new ort.Tensor("float32", samples, [1, samples.length]);
    const { last_hidden_state: encoded } = await this.encoder.run({ input_values: audio });
    this.encoding = (performance.now() - start) / 1000;
    const tokens = [START];
    let past = emptyPast();
    while (tokens.length <= maxLength) {
      const outputs = await this.decoder.run({
        input_ids: new ort.Tensor("int64", BigInt64Array.of(BigInt(tokens.at(-1))), [1, 1]),
        encoder_hidden_states: encoded,
        use_cache_branch: new ort.Tensor("bool", [tokens.length > 1], [1]),
        ...past,
      });
      past = nextPast(past, outputs, tokens.length === 1);
      const token = largest(outputs.logits.data);
      if (token === END) break;
      tokens.push(token);
    }
    return tokens;
  }
}

/** The graphs' files, fetched at first use. */
async function graphs() {
  const files = MOONSHINE.files.map((file) => path.join(FOLDER, path.basename(file)));
  if (files.every((file) => fs.existsSync(file))) return files;
  const contents = await take(MOONSHINE);
  files.forEach((file, i) => {
    fs.writeFileSync(file, contents[i]);
  });
  return files;
}

const SLOTS = Array.from({ length: LAYERS }, (_, i) =>
  ["decoder.key", "decoder.value", "encoder.key", "encoder.value"].map((part) => `${i}.${part}`),
).flat();

function emptyPast() {
  const none = new ort.Tensor("float32", new Float32Array(0), [1, HEADS, 0, HEAD_DIM]);
  return Object.fromEntries(SLOTS.map((slot) => [`past_key_values.${slot}`, none]));
}

/** Keys and values of the encoder are computed by the first run; later runs give none. */
function nextPast(past, outputs, isFirst) {
  const names = SLOTS.map((slot) => [`past_key_values.${slot}`, `present.${slot}`]);
  return Object.fromEntries(
    names.map(([to, from]) => [to, isFirst || from.includes("decoder") ? outputs[from] : past[to]]),
  );
}

function largest(values) {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[at]) at = i;
  return at;
}
