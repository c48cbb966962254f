// Every formula of derivations written with `bptt derive … --level full --format json` in KaTeX's
// strict mode: `npm ci` beside this file, then `node katex.js FILE …`. `.ci/run` does both in a
// folder of its own.
const fs = require("fs");
const katex = require("katex");

let count = 0;
let refused = 0;

function check(where, formula) {
  count += 1;
  try {
    katex.renderToString(formula, { strict: "error", throwOnError: true });
  } catch (error) {
    refused += 1;
    console.error(`${where}: ${formula}\n  ${error.message}`);
  }
}

for (const file of process.argv.slice(2)) {
  const derivation = JSON.parse(fs.readFileSync(file));
  derivation.theorem.forEach((line) => check(`${file}: theorem`, line.latex));
  derivation.run?.columns.forEach((column) => check(`${file}: run`, column.of));
  for (const rule of derivation.rules) {
    [rule.statement, rule.proof].filter(Boolean).forEach((formula) => check(`${file}: ${rule.id}`, formula));
  }
  for (const line of derivation.equations) {
    const steps = (line.steps || []).flatMap((step) => [step.before, step.after]);
    const formulas = [line.left, line.right, line.given, ...steps].filter(Boolean);
    formulas.forEach((formula) => check(`${file}: ${line.id}`, formula));
  }
}
console.log(`${count} formulas, ${refused} refused`);
process.exit(refused === 0 && count > 0 ? 0 : 1);
