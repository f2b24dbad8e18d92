/**
 * Evaluates formulas as the page does: a line `{"table": ..., "given": {...}}` or `{"tree": ..., "values": {...}}` from the
 * standard input, a line with the result to the standard output. tests/properties/test_estimator_of_the_page.py uses it.
 */

import { createInterface } from "node:readline";
import { evaluate, type Tree, type Values } from "../src/estimator/expression.ts";
import { estimateOf, type EstimatorTable } from "../src/estimator/table.ts";

type Question = { table: EstimatorTable; given: Values } | { tree: Tree; values: Values };

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line) as Question;
  const answer = "tree" in asked ? evaluate(asked.tree, asked.values) : estimateOf(asked.table, asked.given);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
