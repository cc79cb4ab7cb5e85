import { expect } from "vitest";
import { type Case, tolerance } from "./cases.js";
import { oracle, type Result, type Results } from "./oracle.js";
import { numbersOf, product } from "./tensors.js";

/** What a call returned. */
export interface Actual {
  output: Returned;
  lse?: Returned | undefined;
  weights?: Returned | undefined;
}

interface Returned {
  data: ArrayLike<number>;
  dims: readonly number[];
  type: string;
}

/** Compares all that a call returned with the oracle. `more`: what is allowed beside the error of float32. */
export function expectAgreement(actual: Actual, call: Case, expected: Results = oracleOf(call), more = 0): void {
  const allowed = new Allowed(call, expected, more);
  expectClose("output", actual.output, expected.output, allowed.output, call);
  if (actual.lse) expectClose("lse", actual.lse, expected.lse, allowed.lse, call);
  if (actual.weights) expectClose("weights", actual.weights, expected.weights, allowed.weights, call);
}

export function oracleOf({ query, key, value, options }: Case): Results {
  return oracle(query, key, value, options);
}

/** Expects the same bits, NaN included. */
export function expectSameBits(actual: Returned, expected: Returned): void {
  expect(actual.dims).toEqual(expected.dims);
  expect(bytesOf(actual.data).equals(bytesOf(expected.data))).toBe(true);
}

export function bytesOf(data: ArrayLike<number>): Buffer {
  const { buffer, byteOffset, byteLength } = data as unknown as Uint8Array;
  return Buffer.from(buffer, byteOffset, byteLength);
}

// Half an ulp of a number of magnitude 1 to 2 is at most this much of it. Below the normal range of float16 it is 2^-25.
const ROUNDING: Record<string, number> = { float32: 0, float16: 2 ** -11, bfloat16: 2 ** -8 };

function expectClose(
  name: string,
  actual: Returned,
  expected: Result,
  allowed: (at: number) => number,
  call: Case,
): void {
  expect(actual.dims, `dims of ${name}`).toEqual(expected.dims);
  const type = name === "output" ? call.query.type : "float32";
  expect(actual.type, `type of ${name}`).toBe(type);
  const numbers = numbersOf(actual);
  expect(numbers.length, `length of ${name}`).toBe(product(expected.dims));
  for (let at = 0; at < numbers.length; at++) {
    const [got, want] = [numbers[at], expected.data[at]];
    if (Object.is(got, want) || got === want) continue;
    const limit = allowed(at) + ROUNDING[type] * (Math.abs(want) + allowed(at)) + (type === "float16" ? 2 ** -25 : 0);
    if (Math.abs(got - want) <= limit) continue;
    expect.fail(`${name}[${at}] expected ${want} within ${limit}, got ${got} in ${describeCase(call)}`);
  }
}

/** The tolerance of each number, by the lse of its row. */
class Allowed {
  constructor(
    private readonly call: Case,
    private readonly expected: Results,
    private readonly more: number,
  ) {}

  readonly lse = (at: number): number => this.bound(Math.abs(this.expected.lse.data[at]));

  readonly weights = (at: number): number => this.row(Math.floor(at / this.tk));

  readonly output = (at: number): number => {
    const { output, lse } = this.expected;
    const { layout, heads } = this.call.options;
    const row = Math.floor(at / (output.data.length / lse.data.length));
    if (heads === undefined && layout !== "bthd") return this.row(row);
    const [n, tq] = lse.dims.slice(-2);
    const [b, i, h] = [Math.floor(row / (n * tq)), Math.floor(row / n) % tq, row % n];
    return this.row((b * n + h) * tq + i);
  };

  // Beside a bias of 1e17 and more, scores vanish in float64 as they do in float32: nothing is lost.
  private row(row: number): number {
    const lse = Math.abs(this.expected.lse.data[row]);
    return this.bound(lse < 1e17 ? lse : 0);
  }

  private bound(lse: number): number {
    return tolerance(Number.isFinite(lse) ? lse : 0, this.tk, this.d) + this.more;
  }

  private get tk(): number {
    return this.expected.weights.dims.slice(-1)[0];
  }

  private get d(): number {
    return this.call.query.dims.slice(-1)[0] / (this.call.options.heads ?? 1);
  }
}

/** One line to reproduce a case by. */
export function describeCase({ query, key, value, options }: Case): string {
  const text = (name: string, { dims, type, strides }: Case["query"]) =>
    `${name} ${type} [${dims}]${strides ? ` strides [${strides}]` : ""}`;
  const { mask, ...others } = options;
  const tensors = [text("query", query), text("key", key), text("value", value), ...(mask ? [text("mask", mask)] : [])];
  const spelled = JSON.stringify(others, (_, entry) =>
    ArrayBuffer.isView(entry) ? Array.from(entry as Int32Array, Number) : entry === -Infinity ? "-Infinity" : entry,
  );
  return `${tensors.join(", ")}, ${spelled}`;
}
