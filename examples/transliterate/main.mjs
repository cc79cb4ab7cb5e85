// @ts-check
// node examples/transliterate/main.mjs --model FOLDER [--beams N] NAME...
import { parseArgs } from "node:util";
import { Transliterator } from "./model.mjs";

const { values, positionals } = parseArgs({
  options: { model: { type: "string" }, beams: { type: "string", default: "4" } },
  allowPositionals: true,
});
if (values.model === undefined || positionals.length === 0) {
  console.error("node examples/transliterate/main.mjs --model FOLDER [--beams N] NAME...");
  process.exit(2);
}

const transliterator = await Transliterator.read(values.model);
for (const name of positionals) {
  const [first, ...others] = await transliterator.best(name, Number(values.beams));
  const alternatives = others.map(({ text, score }) => `${text} ${score.toFixed(2)}`).join(", ");
  console.log(`${name}: ${first.text} ${first.score.toFixed(2)} (${alternatives})`);
}
