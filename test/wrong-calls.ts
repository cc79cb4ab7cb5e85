// What the tables of wrong calls are made of. The right call has batch 2, heads 4, kvHeads 2, tq 3, tk 5, d 8, dv 6.

export type Arguments = [query: unknown, key: unknown, value: unknown, options?: unknown];

/** What is wrong, what comes of it, and the call. */
export type Row = [what: string, kind: typeof TypeError | typeof RangeError, message: string, call: () => Arguments];

export function tensor(dims: number[]): { data: Float32Array; dims: number[] } {
  return { data: new Float32Array(dims.reduce((a, b) => a * b, 1)), dims };
}

export const query = tensor([2, 4, 3, 8]);
export const key = tensor([2, 2, 5, 8]);
export const value = tensor([2, 2, 5, 6]);
export const OUTPUT = 2 * 4 * 3 * 6;

export const asQuery = (wrong: unknown) => (): Arguments => [wrong, key, value];
export const asKey = (wrong: unknown) => (): Arguments => [query, wrong, value];
export const asValue = (wrong: unknown) => (): Arguments => [query, key, wrong];
export const asOptions = (options: unknown) => (): Arguments => [query, key, value, options];

export function transferred(length: number): Float32Array {
  const data = new Float32Array(length);
  structuredClone(data.buffer, { transfer: [data.buffer] });
  return data;
}
