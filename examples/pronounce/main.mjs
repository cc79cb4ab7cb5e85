// @ts-check
// node examples/pronounce/main.mjs --model FOLDER WORD...
import { parseArgs } from "node:util";
import { Pronouncer } from "./model.mjs";

const { values, positionals } = parseArgs({ options: { model: { type: "string" } }, allowPositionals: true });
if (values.model === undefined || positionals.length === 0) {
  console.error("node examples/pronounce/main.mjs --model FOLDER WORD...");
  process.exit(2);
}

const pronouncer = await Pronouncer.read(values.model);
for (const word of positionals) console.log(`${word}: ${await pronouncer.pronounce(word)}`);
