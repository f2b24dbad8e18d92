/** The table of all quantities as `cardwatch tour` writes it, cli/estimate/page_data.py, and what follows from inputs. */

import { branchTaken, evaluate, namesIn, type Tree, type Values } from "./expression.ts";
import type { Unit } from "./figure_text.ts";

/** What a figure rests on, the most certain first: a computed figure has the least certain basis of its parts. */
export const BASES = ["given", "code", "measured", "assumed"] as const;
export type Basis = (typeof BASES)[number];

export interface EstimateInput {
  name: string;
  title: string;
  unit: Unit;
  default: number;
  least: number;
  most: number;
  note: string;
  /** What happens without it; null if it is always there. */
  empty: string | null;
}

export interface KnownFigure {
  name: string;
  title: string;
  unit: Unit;
  value: number;
  basis: Basis;
  source: string;
}

export interface EstimateStep {
  name: string;
  title: string;
  unit: Unit;
  note: string;
  tree: Tree;
}

export interface EstimateSection {
  name: string;
  title: string;
  note: string;
  steps: EstimateStep[];
}

export interface EstimatorTable {
  inputs: EstimateInput[];
  known: KnownFigure[];
  sections: EstimateSection[];
  checks: { tree: Tree; passed: string; failed: string }[];
}

export interface Estimate {
  /** Of every name: inputs, known figures and steps. */
  values: Values;
  basis: Readonly<Record<string, Basis>>;
  checks: { holds: boolean; text: string }[];
}

/** What follows from inputs and from assumptions of the reader's own; what is missing has its default. */
export function estimateOf(table: EstimatorTable, given: Values): Estimate {
  const values: Record<string, number> = {};
  const basis: Record<string, Basis> = {};
  for (const each of table.known) {
    values[each.name] = given[each.name] ?? each.value;
    basis[each.name] = each.name in given ? "given" : each.basis;
  }
  for (const each of table.inputs) {
    values[each.name] = given[each.name] ?? each.default;
    basis[each.name] = "given";
  }
  for (const { steps } of table.sections) {
    for (const each of steps) {
      values[each.name] = evaluate(each.tree, values);
      basis[each.name] = leastCertain(namesIn(branchTaken(each.tree, values)).map((name) => basis[name]!));
    }
  }
  const checks = table.checks.map(({ tree, passed, failed }) => {
    const holds = evaluate(tree, values) > 0;
    return { holds, text: holds ? passed : failed };
  });
  return { values, basis, checks };
}

function leastCertain(parts: Basis[]): Basis {
  return BASES[Math.max(...parts.map((part) => BASES.indexOf(part)), 0)]!;
}

/** Inputs and assumptions of an address such as `tps=40000`; what is no number of the table in its range is left out. */
export function givenIn(parts: readonly string[], table: EstimatorTable): Record<string, number> {
  const given: Record<string, number> = {};
  for (const part of parts) {
    const [name = "", text = ""] = part.split("=");
    const value = Number(text);
    if (text !== "" && isAllowed(table, name, value)) given[name] = value;
  }
  return given;
}

/** Whether an input or an assumption may have this value. */
export function isAllowed(table: EstimatorTable, name: string, value: number): boolean {
  const input = table.inputs.find((each) => each.name === name);
  if (input) return value >= input.least && value <= input.most;
  const known = table.known.find((each) => each.name === name);
  return known?.basis === "assumed" && value > 0 && value < Infinity;
}
