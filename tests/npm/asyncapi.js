// Prints what AsyncAPI's own parser has against the document on stdin, as a JSON list.
const { readFileSync } = require("fs");
const { Parser } = require("@asyncapi/parser");

new Parser().validate(readFileSync(0, "utf8")).then((diagnostics) => {
  const found = diagnostics.map(({ severity, path, message }) => ({ severity, path: path.join("."), message }));
  process.stdout.write(JSON.stringify(found));
});
