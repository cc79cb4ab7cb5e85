// What flows between modules: float32 rows without gaps.
import { float32 } from "../blocks/weights.js";
import { wrongValue } from "../errors.js";
import { floatView, type Tensor, type TensorLike, type View } from "../tensor.js";

/** `[batch, t, d]` or `[t, d]`. */
export type Activations = Tensor<Float32Array>;

/** A tensor that the caller gives to a module: rows of `columns`. 16-bit elements are widened, gaps are closed. */
export function activations(name: string, tensor: TensorLike, columns: number): Activations {
  const view = floatView(name as View["name"], tensor);
  const { dims, field } = view;
  const rank = dims.length;
  if ((rank !== 2 && rank !== 3) || dims[rank - 1] !== columns) {
    throw wrongValue(`${name}.${field}`, `[batch, t, ${columns}] or [t, ${columns}]`, dims);
  }
  return { data: float32(view), dims, type: "float32" };
}
