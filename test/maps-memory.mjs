// @ts-check
// In a process of its own: how much memory a call takes at its peak, in MB. The argument is the option `weights` as JSON.
import { attention } from "xattn";

const [HEADS, T, D] = [8, 4096, 16];
// Without garbage: what the collector frees meanwhile would count against the call.
const data = new Float32Array(HEADS * T * D);
for (let i = 0; i < data.length; i++) data[i] = Math.sin(i);
const tensor = { data, dims: [HEADS, T, D] };
const out = new Float32Array(data.length);
await attention(tensor, tensor, tensor, { out }); // the pool's threads and their scratch
const before = process.memoryUsage.rss();
let peak = before;
const look = () => {
  peak = Math.max(peak, process.memoryUsage.rss());
};
const timer = setInterval(look, 1);
const { weights } = await attention(tensor, tensor, tensor, { out, weights: JSON.parse(process.argv[2]) });
look();
clearInterval(timer);
if (weights === undefined) throw new Error("no map");
console.log((peak - before) / 2 ** 20);
