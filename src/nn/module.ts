import { unknownName, wrongKind, wrongValue } from "../errors.js";
import { floatView, type TensorLike, type View } from "../tensor.js";

/** Own parameters of a module by their names in it. */
export type Parameters = Record<string, View>;

/** Dims of parameters by their names. */
export type Shapes = Record<string, readonly number[]>;

/** Something with parameters, under PyTorch's names. */
export abstract class Module {
  readonly #children = new Map<string, Module>();
  #hasParameters = false;

  /** @param shapes of the parameters that are this module's own */
  constructor(protected readonly shapes: Shapes = {}) {}

  /** Takes them over: they are of those shapes. Weights are packed here, once. */
  protected take(_parameters: Parameters): void {}

  /** Makes another module a part of this one: its names get `name.` in front. */
  protected child<M extends Module>(name: string, module: M): M {
    this.#children.set(name, module);
    return module;
  }

  /**
   * Takes all parameters from `tensors`, such as readSafetensors() gives, in float32, float16 or bfloat16. Their names are
   * those of PyTorch's state_dict with `prefix` in front; names without the prefix are left alone.
   *
   * @throws TypeError for a name that is missing or unknown and RangeError for wrong dims, and then nothing has changed
   * @example
   * layer.loadStateDict(await readSafetensors("model.safetensors"), "decoder.layers.0.");
   */
  loadStateDict(tensors: ReadonlyMap<string, TensorLike>, prefix = ""): void {
    if (typeof tensors?.get !== "function") throw wrongKind("tensors", "a Map of tensors by name", tensors);
    const modules = [...this.#family(prefix)];
    const names = modules.flatMap(({ module, prefix }) => Object.keys(module.shapes).map((name) => prefix + name));
    const known = new Set(names);
    for (const name of tensors.keys()) {
      if (name.startsWith(prefix) && !known.has(name)) throw unknownName(name, names);
    }
    const checked = modules.map(({ module, prefix }) => checkParameters(module.shapes, tensors, prefix));
    modules.forEach(({ module }, i) => {
      module.#assign(checked[i]);
    });
  }

  /** For a module that was not loaded: random matrices as torch.nn.Transformer begins with, norms of 1, biases of 0. */
  protected prepare(): void {
    if (!this.#hasParameters) this.#assign(randomParameters(this.shapes));
  }

  #assign(parameters: Parameters): void {
    this.take(parameters);
    this.#hasParameters = true;
  }

  *#family(prefix: string): Generator<{ module: Module; prefix: string }> {
    yield { module: this, prefix };
    for (const [name, child] of this.#children) yield* child.#family(`${prefix}${name}.`);
  }
}

function checkParameters(shapes: Shapes, tensors: ReadonlyMap<string, TensorLike>, prefix: string): Parameters {
  const parameters: Parameters = {};
  for (const [short, dims] of Object.entries(shapes)) {
    const name = prefix + short;
    const tensor = tensors.get(name);
    if (tensor === undefined) throw wrongKind(name, `a tensor [${dims.join(", ")}]`, tensor);
    const view = floatView(name as View["name"], tensor);
    if (view.dims.join() !== dims.join()) throw wrongValue(`${name}.${view.field}`, `[${dims.join(", ")}]`, view.dims);
    parameters[short] = view;
  }
  return parameters;
}

/** Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, equation 16. */
function randomParameters(shapes: Shapes): Parameters {
  const parameters: Parameters = {};
  for (const [name, dims] of Object.entries(shapes)) {
    const [outputs, inputs] = dims.slice(-2);
    const reach = Math.sqrt(6 / (outputs + inputs));
    const constant = name === "weight" ? 1 : 0;
    const draw = dims.length === 1 ? () => constant : () => (2 * Math.random() - 1) * reach;
    const data = Float32Array.from({ length: dims.reduce((a, b) => a * b) }, draw);
    parameters[name] = floatView(name as View["name"], { data, dims });
  }
  return parameters;
}
