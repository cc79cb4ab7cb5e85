// @ts-check
// In a process of its own: how much memory a call takes at its peak, in MB. The argument is the option `weights` as JSON.
import { attention } from "xattn";

const [HEADS, T, D] = [8, 4096, 16];
const tensor = () => ({ data: new Float32Array(HEADS * T * D).map((_, i) => Math.sin(i)), dims: [HEADS, T, D] });
const [query, key, value] = [tensor(), tensor(), tensor()];
await attention(query, key, value); // the pool's threads and their scratch
const before = process.memoryUsage.rss();
let peak = before;
const look = () => {
  peak = Math.max(peak, process.memoryUsage.rss());
};
const timer = setInterval(look, 1);
const { weights } = await attention(query, key, value, { weights: JSON.parse(process.argv[2]) });
look();
clearInterval(timer);
if (weights === undefined) throw new Error("no map");
console.log((peak - before) / 2 ** 20);
