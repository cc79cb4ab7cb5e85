import { expect } from "vitest";
import { product } from "./tensors.js";

export interface Given {
  data: Float32Array;
  dims: number[];
}

/** Numbers between -1 and 1 without a pattern that a wrong stride would keep. */
export function filled(dims: number[], seed = 1): Given {
  return { data: Float32Array.from({ length: product(dims) }, (_, i) => Math.sin(i * i * 0.37 + seed)), dims };
}

/** The same numbers with the dimensions in another order. */
export function transposed({ data, dims }: Given, order: number[]): Given {
  const strides = dims.map((_, axis) => product(dims.slice(axis + 1)));
  const turned = order.map((axis) => dims[axis]);
  const moved = data.map((_, at) => {
    let from = 0;
    for (let axis = turned.length - 1; axis >= 0; axis--) {
      from += (at % turned[axis]) * strides[order[axis]];
      at = Math.floor(at / turned[axis]);
    }
    return data[from];
  });
  return { data: moved, dims: turned };
}

export function reshaped({ data }: Given, dims: number[]): Given {
  return { data, dims };
}

export function expectClose(got: ArrayLike<number>, wanted: ArrayLike<number>): void {
  expect(got.length).toBe(wanted.length);
  for (let i = 0; i < wanted.length; i++) expect(got[i]).toBeCloseTo(wanted[i], 5);
}
