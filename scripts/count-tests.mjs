// Sums up vitest's JSON reports: "N passed, N failed". Fails where a test failed, a file did not load, or none ran. A test
// that is still pending took its process down; vitest itself calls such a run a success.
import { readFileSync } from "node:fs";

let passed = 0;
let failed = 0;
for (const file of process.argv.slice(2)) {
  const report = JSON.parse(readFileSync(file, "utf8"));
  const unloaded = report.testResults.filter((one) => one.assertionResults.length === 0);
  const tests = report.testResults.flatMap((one) => one.assertionResults);
  passed += report.numPassedTests;
  failed += report.numFailedTests + unloaded.length + tests.filter(({ status }) => status === "pending").length;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
