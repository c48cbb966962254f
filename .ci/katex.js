// Every formula of derivations written with `bptt derive … --level full --format json` in KaTeX's
// strict mode: `npm install katex`, then `node .ci/katex.js FILE.json …`.
const fs = require("fs");
const katex = require("katex");

let count = 0;
let refused = 0;
for (const file of process.argv.slice(2)) {
  for (const line of JSON.parse(fs.readFileSync(file)).equations) {
    const steps = (line.steps || []).flatMap((step) => [step.before, step.after]);
    for (const formula of [line.left, line.right, ...steps]) {
      count += 1;
      try {
        katex.renderToString(formula, { strict: "error", throwOnError: true });
      } catch (error) {
        refused += 1;
        console.error(`${file}: ${line.id}: ${formula}\n  ${error.message}`);
      }
    }
  }
}
console.log(`${count} formulas, ${refused} refused`);
process.exit(refused === 0 && count > 0 ? 0 : 1);
