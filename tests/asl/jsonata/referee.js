// What the reference implementation makes of expressions: `npm install jsonata@2.0.6`, then
//   TZ=UTC node referee.js input.json < expressions.txt > corpus.jsonl
// An expression a line goes in; a JSON object a line comes out: {expression, value} or {expression} for
// undefined, {expression, code, message} for one that fails, {expression, syntax, message} for one that does
// not parse.
const fs = require('fs');
const jsonata = require('jsonata');
const input = JSON.parse(fs.readFileSync(process.argv[2]));

const finite = (_, value) => (typeof value === 'number' && !isFinite(value) ? String(value) : value);

async function outcome(expression) {
  let compiled;
  try {
    compiled = jsonata(expression);
  } catch (error) {
    return { expression, syntax: error.code, message: error.message };
  }
  try {
    const value = await compiled.evaluate(input);
    return value === undefined ? { expression } : { expression, value: JSON.parse(JSON.stringify(value, finite)) };
  } catch (error) {
    return { expression, code: error.code, message: error.message };
  }
}

(async () => {
  for (const line of fs.readFileSync(0, 'utf8').split('\n').filter((line) => line)) {
    console.log(JSON.stringify(await outcome(line)));
  }
})();
