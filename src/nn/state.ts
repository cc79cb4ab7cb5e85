import { disposed, wrongValue } from "../errors.js";
import type { KeyValueMemory } from "../memory.js";
import type { MemoryVisibility } from "./decoder-layer.js";
import { Lineage, type Reach } from "./lineage.js";

/** What one layer keeps: keys and values of the target so far, and of the memory. */
export interface LayerState {
  own: KeyValueMemory;
  memory: KeyValueMemory;
}

/** What a decoder keeps between steps: from TransformerDecoder.start(). */
export class DecoderState {
  readonly #lineage = new Lineage();
  #isStepping = false;
  #isDisposed = false;

  constructor(
    /** Dims that come before t: `[batch]` or none. */
    readonly outer: readonly number[],
    readonly layers: readonly LayerState[],
    readonly visibility: MemoryVisibility,
  ) {}

  /** Tokens so far, of each beam: the position of the next. */
  get length(): number {
    return this.#lineage.length;
  }

  /** Hypotheses that are decoded side by side; 1 until reorder() says otherwise. */
  get beams(): number {
    return this.#lineage.beams;
  }

  /**
   * Makes beam i go on from what beam parents[i] was; there are as many beams as parents. Nothing is copied: beams share
   * keys and values of the tokens that they have in common.
   *
   * @throws RangeError where the batch is not 1, or for parents that are not there; Error while a step is under way
   * @example
   * state.reorder([0, 0, 2]); // the first beam goes on twice, the second is dropped
   */
  reorder(parents: ArrayLike<number>): void {
    this.#checkIdle();
    if (this.outer.some((size) => size !== 1)) throw wrongValue("state.batch", "1 for beams", this.outer[0]);
    this.#lineage.reorder(parents);
  }

  /** Frees the keys and values now, not when the state is collected. The state is of no use then. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    for (const { own, memory } of this.layers) {
      own[Symbol.dispose]();
      memory[Symbol.dispose]();
    }
  }

  /** Runs a step that adds `count` rows to every layer's own keys and values; after a failure all is as before. */
  async grow<T>(count: number, step: (reach: Reach) => Promise<T>): Promise<T> {
    this.#checkIdle();
    if (this.beams > 1 && count !== this.beams) {
      throw wrongValue("token.dims", `${this.beams} rows (one for each beam)`, count);
    }
    this.#isStepping = true;
    try {
      const result = await step(this.#lineage.reach(count));
      this.#lineage.grow(count);
      return result;
    } catch (error) {
      // Disposed of during the step, it has nothing to bring back.
      for (const { own } of this.#isDisposed ? [] : this.layers)
        own.truncate(Math.min(own.length, this.#lineage.total));
      throw error;
    } finally {
      this.#isStepping = false;
    }
  }

  #checkIdle(): void {
    if (this.#isDisposed) throw disposed("state");
    if (this.#isStepping) throw new Error("the state is in use by another step: wait for its promise");
  }
}
