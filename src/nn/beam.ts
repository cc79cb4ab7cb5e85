import { wrongKind, wrongValue } from "../errors.js";
import type { MapOptions } from "../maps.js";
import { integer } from "../values.js";
import type { AnyMap, MapOf } from "./options.js";
import {
  type CheckedSearch,
  checkSearch,
  type Found,
  predict,
  SEARCH_NAMES,
  type SearchModel,
  type SearchOptions,
} from "./search.js";

export interface BeamSearchOptions<Asked extends boolean | MapOptions = boolean | MapOptions>
  extends SearchOptions<Asked> {
  /** Hypotheses that are followed at a time. */
  beams: number;
  /** The score is logProb / length ** lengthPenalty, the length with the end token; 1 by default: the mean. */
  lengthPenalty?: number | undefined;
}

/** A whole target. */
export interface Hypothesis<Asked extends boolean | MapOptions = boolean> {
  /** Without prompt and end token. */
  tokens: number[];
  /** Natural logarithm of its probability, with the end token where it was reached. */
  logProb: number;
  score: number;
  /** Per token and layer, as Found has it; there when it was asked for. */
  weights?: MapOf<Asked>[][];
}

const BEAM_NAMES = new Set([...SEARCH_NAMES, "beams", "lengthPenalty"]);

/**
 * The best of several hypotheses that are followed side by side (Graves, "Sequence transduction with recurrent neural
 * networks", 2012, section 3), until no open one scores better than `beams` finished ones. Leaving the loop stops it.
 *
 * @returns an async iterator over tokens as soon as all hypotheses agree on them, in the end those of the best one; its
 * return value has all finished hypotheses, best first. It throws as greedy() does
 * @example
 * for await (const { token } of beamSearch(model, { beams: 4, prompt: [bos], end: eos, maxLength: 100 })) {
 *   console.log(token);
 * }
 */
export async function* beamSearch<const Asked extends boolean | MapOptions = boolean>(
  model: SearchModel,
  options: BeamSearchOptions<Asked>,
): AsyncGenerator<Found<Asked>, Hypothesis<Asked>[]> {
  const search = checkSearch(options, BEAM_NAMES);
  const { lengthPenalty = 1 } = options;
  if (typeof lengthPenalty !== "number") throw wrongKind("lengthPenalty", "a finite number", lengthPenalty);
  if (!Number.isFinite(lengthPenalty)) throw wrongValue("lengthPenalty", "a finite number", lengthPenalty);
  if (typeof model.reorder !== "function") throw wrongKind("model.reorder", "a function", model.reorder);
  const beams = new Beams(search, integer("beams", options.beams, 1), lengthPenalty);
  let yielded = 0;
  for (let length = 1; length <= search.maxLength && !beams.isSettled; length++) {
    const tokens = length === 1 ? search.prompt : beams.open.map(({ tokens }) => tokens[tokens.length - 1]);
    const { rows, weights } = await predict(model, tokens, beams.open.length, search);
    const parents = beams.extend(rows, weights, length);
    for (const agreed = beams.agreed(); yielded < agreed; yielded++) yield beams.found<Asked>(yielded);
    if (!beams.isSettled) model.reorder(parents);
  }
  const finished = beams.finish();
  for (; yielded < finished[0].tokens.length; yielded++) yield beams.found<Asked>(yielded);
  return finished as unknown as Hypothesis<Asked>[];
}

interface Candidate {
  parent: number;
  token: number;
  logProb: number;
}

type AnyHypothesis = Hypothesis<boolean | MapOptions>;

class Beams {
  /** Best first. */
  open: AnyHypothesis[] = [{ tokens: [], logProb: 0, score: 0 }];
  /** Best first, `size` at most. */
  private finished: AnyHypothesis[] = [];

  constructor(
    private readonly search: CheckedSearch,
    private readonly size: number,
    private readonly lengthPenalty: number,
  ) {
    if (search.weights) this.open[0].weights = [];
  }

  /** Every open hypothesis by a token. Returns whose continuation each one is. */
  extend(rows: Float32Array[], weights: (AnyMap[] | undefined)[], length: number): number[] {
    // So many that `size` of them do not end, whatever ends.
    const count = (1 + this.search.ends.length) * this.size;
    const candidates = best(rows.map((row, parent) => likeliest(row, parent, this.open[parent].logProb, count)));
    const [open, parents]: [AnyHypothesis[], number[]] = [[], []];
    candidates.slice(0, count).forEach(({ parent, token, logProb }, rank) => {
      const score = logProb / length ** this.lengthPenalty;
      const { tokens, weights: maps } = this.open[parent];
      if (this.search.ends.includes(token)) {
        if (rank < this.size) this.finished.push({ ...this.open[parent], logProb, score });
      } else if (open.length < this.size) {
        const map = weights[parent];
        open.push({ tokens: [...tokens, token], logProb, score, ...(maps && map && { weights: [...maps, map] }) });
        parents.push(parent);
      }
    });
    this.keepBest();
    this.open = open;
    return parents;
  }

  /** Whether no open hypothesis, as it is, has a chance against those that are finished. */
  get isSettled(): boolean {
    if (this.open.length === 0) return true;
    return this.finished.length === this.size && this.open[0].score <= this.finished[this.size - 1].score;
  }

  /** Those that are open at the end count as they are. */
  finish(): AnyHypothesis[] {
    if (this.finished.length < this.size) this.finished.push(...this.open);
    this.keepBest();
    this.open = [];
    return this.finished;
  }

  private keepBest(): void {
    this.finished.sort((a, b) => b.score - a.score).splice(this.size);
  }

  private get all(): AnyHypothesis[] {
    return [...this.finished, ...this.open];
  }

  /** How many first tokens all hypotheses have in common. */
  agreed(): number {
    const [{ tokens: first }, ...others] = this.all;
    const at = first.findIndex((token, i) => others.some(({ tokens }) => tokens[i] !== token));
    return at < 0 ? first.length : at;
  }

  found<Asked extends boolean | MapOptions>(at: number): Found<Asked> {
    const { tokens, weights } = this.all[0];
    return { token: tokens[at], ...(weights && { weights: weights[at] as MapOf<Asked>[] }) };
  }
}

function best(candidates: Candidate[][]): Candidate[] {
  return candidates.flat().sort((a, b) => b.logProb - a.logProb || a.parent - b.parent || a.token - b.token);
}

/** The `count` likeliest tokens after a hypothesis, by its row of logits; their probabilities include the hypothesis'. */
function likeliest(logits: Float32Array, parent: number, logProb: number, count: number): Candidate[] {
  const tokens: number[] = [];
  for (let token = 0; token < logits.length; token++) {
    if (tokens.length === count && !(logits[token] > logits[tokens[count - 1]])) continue;
    if (tokens.length === count) tokens.pop();
    let at = tokens.length;
    while (at > 0 && logits[tokens[at - 1]] < logits[token]) at--;
    tokens.splice(at, 0, token);
  }
  const largest = logits[tokens[0]];
  let sum = 0;
  for (let token = 0; token < logits.length; token++) sum += Math.exp(logits[token] - largest);
  const offset = logProb - largest - Math.log(sum);
  return tokens.map((token) => ({ parent, token, logProb: logits[token] + offset }));
}
