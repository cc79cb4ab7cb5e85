// Vitest's configuration under wine, where its resolver, a WebAssembly build, does not know paths of Windows.
import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

const relativeImports = {
  name: "relative-imports",
  enforce: "pre",
  resolveId(source, importer) {
    if (!source.startsWith(".") || importer === undefined) return null;
    const file = fileURLToPath(new URL(source, pathToFileURL(importer))).replaceAll("\\", "/");
    const typed = file.replace(/\.js$/, ".ts");
    return existsSync(typed) ? typed : file;
  },
};

export default { plugins: [relativeImports], test: { testTimeout: 600_000 } };
