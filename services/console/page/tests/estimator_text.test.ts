/** Figures and formulas of the estimator as text, without a browser. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Tree } from "../src/estimator/expression.ts";
import { figureText, typedNumber } from "../src/estimator/figure_text.ts";
import { beforeRounding, figuresText, formulaText } from "../src/estimator/formula_text.ts";
import { estimateOf, givenIn, type EstimatorTable } from "../src/estimator/table.ts";

const TABLE: EstimatorTable = {
  inputs: [{ name: "tps", title: "rate", unit: "/s", default: 10, least: 1, most: 1e6, note: "", empty: null }],
  known: [
    { name: "us", title: "time", unit: "us", value: 50, basis: "measured", source: "a benchmark" },
    { name: "share", title: "planned share", unit: "share", value: 0.5, basis: "assumed", source: "a reason" },
  ],
  sections: [
    {
      name: "cores",
      title: "Cores",
      note: "",
      steps: [
        { name: "work", title: "work", unit: "cores", note: "", tree: ["/", ["*", "tps", "us"], 1e6] },
        { name: "cores", title: "cores", unit: "cores", note: "", tree: ["max", 1, ["ceil", ["/", "work", "share"]]] },
      ],
    },
  ],
  checks: [{ tree: ["<=", "cores", 2], passed: "Two are enough.", failed: "Two are not enough." }],
};

test("a step has the least certain basis of its parts, and a replaced assumption is given", () => {
  const estimate = estimateOf(TABLE, { tps: 50_000 });
  assert.equal(estimate.values["work"], 2.5);
  assert.equal(estimate.values["cores"], 5); // 2.5 / 0.5
  assert.deepEqual([estimate.basis["work"], estimate.basis["cores"]], ["measured", "assumed"]);
  assert.deepEqual(estimate.checks, [{ holds: false, text: "Two are not enough." }]);
  const own = estimateOf(TABLE, { tps: 50_000, share: 1.25 });
  assert.deepEqual([own.values["cores"], own.basis["cores"]], [2, "measured"]);
  assert.deepEqual(own.checks, [{ holds: true, text: "Two are enough." }]);
});

test("an address gives inputs and assumptions that are possible, and nothing else", () => {
  const given = givenIn(["tps=500", "share=0.7", "us=1", "tps=0", "work=3", "share=-1", "x", "share="], TABLE);
  assert.deepEqual(given, { tps: 500, share: 0.7 });
});

test("numbers can be typed as they are said", () => {
  const cases: [string, number | null][] = [
    ["40,000", 40_000], ["100M", 1e8], ["100 million", 1e8], ["1.5k", 1_500], ["2 bn", 2e9], ["99.95 %", 99.95],
    ["40,000 /s", 40_000], [".5", 0.5], ["", null], ["many", null], ["1e9", null], ["-3", null], ["5 apples", null],
  ];
  for (const [text, number] of cases) assert.equal(typedNumber(text), number, text);
});

test("figures have their unit and at most three digits, or all of a whole number", () => {
  const cases: [number, Parameters<typeof figureText>[1], string][] = [
    [200.4e9, "bytes", "200 GB"], [999.6e9, "bytes", "1 TB"], [80.16e6, "bytes/s", "80.2 MB/s"], [0, "bytes", "0 bytes"],
    [1_314, "s", "21.9 min"], [6.06, "s", "6.06 s"], [0.6, "share", "60 %"], [99.95, "%", "99.95 %"],
    [3_456_000_000, "", "3,456,000,000"], [2.837, "cores", "2.84 cores"], [42.7, "us", "42.7 µs"],
    [0.00065, "$", "$0.00065"], [3.65, "$", "$3.65"], [32_686.4, "$", "$32,686"],
  ];
  for (const [value, unit, text] of cases) assert.equal(figureText(value, unit).replaceAll("\u00a0", " "), text);
});

test("formulas have the brackets that they need and no others", () => {
  const cases: [Tree, string][] = [
    [["-", "a", ["+", "b", "c"]], "a − (b + c)"],
    [["+", ["-", "a", "b"], "c"], "a − b + c"],
    [["/", "a", ["*", "b", "c"]], "a ÷ (b × c)"],
    [["*", ["+", "a", 1], "b"], "(a + 1) × b"],
    [["max", 1, ["ceil", ["/", "a", 1000]]], "max(1, ⌈a ÷ 1,000⌉)"],
    [["+", "a", ["if", [">", "b", 3], "c", 0]], "a + (c if b > 3, else 0)"],
  ];
  for (const [tree, text] of cases) assert.equal(formulaText(tree, (name) => name), text);
});

test("with figures only the branch is shown that is taken", () => {
  const tree: Tree = ["*", 2, ["if", [">", "a", 0], "a", ["+", "b", 1]]];
  const shown = (values: Record<string, number>) => figuresText(tree, values, (name) => `${name}=${values[name]}`);
  assert.equal(shown({ a: 4, b: 5 }), "2 × a=4");
  assert.equal(shown({ a: 0, b: 5 }), "2 × (b=5 + 1)");
});

test("what was rounded up is known only where the result is the rounded figure", () => {
  const values = { a: 7 };
  assert.equal(beforeRounding(["max", 1, ["ceil", ["/", "a", 2]]], values), 3.5);
  assert.equal(beforeRounding(["*", 3, ["ceil", ["/", "a", 2]]], values), null);
});
