// Prints the backends of the addon at hand and a hash of the bits of fixed calls on each, to compare two builds.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { attentionSync, backends } from "xattn";

function random(length, seed) {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

function fingerprint() {
  const hash = createHash("sha256");
  for (const [heads, tq, tk, d, dv] of [
    [2, 1, 300, 64, 64],
    [3, 17, 97, 40, 24],
    [2, 65, 200, 64, 96],
    [1, 5, 5000, 8, 8],
  ]) {
    const query = { data: random(heads * tq * d, 1), dims: [heads, tq, d] };
    const key = { data: random(heads * tk * d, 2), dims: [heads, tk, d] };
    const value = { data: random(heads * tk * dv, 3), dims: [heads, tk, dv] };
    for (const options of [{}, { causal: "bottom-right", softcap: 20, lse: true, weights: true }]) {
      const result = attentionSync(query, key, value, options);
      for (const { data } of Object.values(result))
        hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  }
  return hash.digest("hex");
}

if (process.env.XATTN_BACKEND) {
  console.log(process.env.XATTN_BACKEND, fingerprint());
} else {
  console.log([...backends].join(" "));
  for (const backend of backends) {
    const env = { ...process.env, XATTN_BACKEND: backend };
    const { stdout, stderr } = spawnSync(process.execPath, [fileURLToPath(import.meta.url)], { env, encoding: "utf8" });
    process.stderr.write(stderr);
    process.stdout.write(stdout);
  }
}
