// node check.mjs FILE: prints what the AsyncAPI project's parser finds, one finding a line, errors first word "error".
// It stands beside node_modules when it runs.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const SEVERITIES = ["error", "warning", "information", "hint"];
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, message, path } of diagnostics) {
  console.log(SEVERITIES[severity], path.join("."), message);
}
console.log(document === undefined ? "invalid" : `${document.allMessages().length} messages`);
