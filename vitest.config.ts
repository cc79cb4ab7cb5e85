import { defineConfig } from "vitest/config";
import { backends } from "./src/index.js";

/** One suite for all backends: these files run once for each, in projects of the backend's name. The rest runs once. */
const EVERY_BACKEND = [
  "abort",
  "accessors",
  "backends",
  "blocks",
  "disguises",
  "facade",
  "hostile",
  "linear",
  "maps",
  "masks",
  "merge",
  "memory",
  "memory-growth",
  "memory-maps",
  "memory-types",
  "onnx",
  "properties",
  "semantics",
  "tensors",
  "torch",
  "multihead",
  "modules",
  "decoding",
  "transliterate",
  "pronounce",
  "transcribe",
].map((name) => `test/${name}.test.ts`);

const forced = process.env.XATTN_BACKEND;
if (!forced && backends.length === 1) console.warn(`The addon is not built: only "${backends[0]}" is tested.`);

const testTimeout = 60_000;
const shared = (forced ? [forced] : backends).map((backend) => ({
  test: {
    name: backend,
    include: EVERY_BACKEND,
    testTimeout,
    // More threads than most machines have cores, so that work is really shared.
    env: { XATTN_BACKEND: backend, XATTN_NUM_THREADS: process.env.XATTN_NUM_THREADS ?? "7" },
  },
}));
const once = { test: { name: "once", include: ["test/**/*.test.ts"], exclude: EVERY_BACKEND, testTimeout } };

export default defineConfig({ test: { projects: forced ? shared : [...shared, once] } });
