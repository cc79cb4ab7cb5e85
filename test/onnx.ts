// The operator Attention of ONNX (opset 23 and 24), said with the options of xattn.

/** A tensor of a case's file. */
export interface Stored {
  data: Float32Array | Uint16Array | Uint8Array;
  dims: number[];
  type: string;
}

/** Attributes of a node; null or absent: not set. */
export interface Attributes {
  is_causal?: number | null;
  scale?: number | null;
  q_num_heads?: number | null;
  kv_num_heads?: number | null;
  softcap?: number | null;
  qk_matmul_output_mode?: number | null;
}

/** Arguments of attention() that compute a node's Y. */
export interface Call {
  query: Stored;
  key: Stored;
  value: Stored;
  options: CallOptions;
}

export interface CallOptions {
  heads?: number;
  scale?: number;
  softcap?: number;
  mask?: Stored;
  keyLengths?: BigInt64Array;
  causal?: "top-left" | "bottom-right" | { offset: number };
}

export function toCall(inputs: Record<string, Stored>, attributes: Attributes): Call {
  const { Q, K, V, attn_mask, past_key, past_value, nonpad_kv_seqlen } = inputs;
  const key = past_key === undefined ? K : append(past_key, K);
  const value = past_value === undefined ? V : append(past_value, V);
  const options: CallOptions = {};
  const { q_num_heads, scale, softcap, is_causal } = attributes;
  if (q_num_heads) options.heads = q_num_heads;
  if (typeof scale === "number") options.scale = scale;
  if (softcap) options.softcap = softcap;
  if (attn_mask !== undefined) options.mask = padMask(attn_mask, key.dims[key.dims.length - 2]);
  if (nonpad_kv_seqlen !== undefined) options.keyLengths = nonpad_kv_seqlen.data as unknown as BigInt64Array;
  if (is_causal) {
    // Offset nonpad - q_len is what "bottom-right" means; with a cache it is the length of the past.
    const past = past_key === undefined ? "top-left" : { offset: past_key.dims[2] };
    options.causal = nonpad_kv_seqlen === undefined ? past : "bottom-right";
  }
  return { query: Q, key, value, options };
}

/**
 * Scores after a stage of the computation, from the weights of a call that stops there: x = ln(weight) + lse.
 * Mode 0: scaled; 1: after the soft cap; 2: after soft cap and masks; 3: the weights themselves.
 */
export function matmulOutput(mode: number, options: CallOptions, run: (options: CallOptions) => Maps): Float64Array {
  const { heads, scale, softcap } = options;
  const scores = { ...(heads && { heads }), ...(scale !== undefined && { scale }) };
  const stages = [scores, { ...scores, ...(softcap && { softcap }) }, options, options];
  const { weights, lse } = run(stages[mode]);
  const tk = weights.length / lse.length;
  return Float64Array.from(weights, (w, at) => (mode === 3 ? w : Math.log(w) + lse[Math.floor(at / tk)]));
}

export interface Maps {
  weights: ArrayLike<number> & Iterable<number>;
  lse: ArrayLike<number>;
}

/** [batch, heads, t, d] of a key or value, as present_key and present_value have it. */
export function unfold({ data, dims, type }: Stored, heads: number | null | undefined): Stored {
  if (dims.length === 4 || !heads) return { data, dims, type };
  const [batch, t, folded] = dims;
  return transpose({ data, dims: [batch, t, heads, folded / heads], type });
}

/** Keys (or values) that follow those of a past [batch, heads, t, d], in their own rank. */
function append(past: Stored, next: Stored): Stored {
  const [batch, heads, pastLength, d] = past.dims;
  if (next.dims.length === 3) {
    const { data } = transpose(past);
    return concatenate({ data, dims: [batch, pastLength, heads * d], type: past.type }, next, batch);
  }
  return concatenate(past, next, batch * heads);
}

/** Joins along the second last dimension; `parts` is the product of those before it. */
function concatenate(a: Stored, b: Stored, parts: number): Stored {
  const [stepA, stepB] = [a.data.length / parts, b.data.length / parts];
  const data = new (a.data.constructor as Float32ArrayConstructor)(a.data.length + b.data.length);
  for (let part = 0; part < parts; part++) {
    data.set(a.data.slice(part * stepA, (part + 1) * stepA), part * (stepA + stepB));
    data.set(b.data.slice(part * stepB, (part + 1) * stepB), part * (stepA + stepB) + stepA);
  }
  const dims = a.dims.map((size, axis) => (axis === a.dims.length - 2 ? size + b.dims[axis] : size));
  return { data, dims, type: a.type };
}

/** [batch, x, y, d] as [batch, y, x, d]. */
function transpose({ data, dims, type }: Stored): Stored {
  const [batch, x, y, d] = dims;
  const swapped = data.slice();
  for (let at = 0; at < data.length; at++) {
    const [b, i, j, c] = [Math.floor(at / (x * y * d)), Math.floor(at / (y * d)) % x, Math.floor(at / d) % y, at % d];
    swapped[((b * y + j) * x + i) * d + c] = data[at];
  }
  return { data: swapped, dims: [batch, y, x, d], type };
}

/** A mask shorter than the keys takes the rest away. */
function padMask(mask: Stored, tk: number): Stored {
  const length = mask.dims[mask.dims.length - 1];
  if (length === tk) return mask;
  const rows = mask.data.length / length;
  const data = mask.type === "bool" ? new Uint8Array(rows * tk) : new Float32Array(rows * tk).fill(-Infinity);
  for (let row = 0; row < rows; row++) data.set(mask.data.slice(row * length, (row + 1) * length), row * tk);
  return { data, dims: [...mask.dims.slice(0, -1), tk], type: mask.type };
}
