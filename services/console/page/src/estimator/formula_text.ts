/** Formulas in the words and in the figures of a chain. */

import { branchTaken, evaluate, type Tree, type Values } from "./expression.ts";
import { numberText } from "./figure_text.ts";

const SIGNS: Record<string, string> = { "+": " + ", "-": " − ", "*": " × ", "/": " ÷ ", ">": " > ", "<=": " ≤ " };
const STRENGTH: Record<string, number> = { ">": 1, "<=": 1, "+": 2, "-": 2, "*": 3, "/": 3 };

/** A formula with what `shown` says for each name: `peak rate × worker's time ÷ 1,000,000`. */
export function formulaText(tree: Tree, shown: (name: string) => string, around = 0): string {
  if (typeof tree === "number") return numberText(tree);
  if (typeof tree === "string") return shown(tree);
  const [operator, ...parts] = tree;
  const inner = parts.map((part) => formulaText(part, shown));
  if (operator === "ceil") return `⌈${inner[0]}⌉`;
  if (operator === "min" || operator === "max") return `${operator}(${inner.join(", ")})`;
  if (operator === "if") return bracketed(`${inner[1]} if ${inner[0]}, else ${inner[2]}`, around > 0);
  const strength = STRENGTH[operator]!;
  const [left, right] = parts as [Tree, Tree];
  // What stands behind − or ÷ needs brackets at the same strength too.
  const text = formulaText(left, shown, strength) + SIGNS[operator] + formulaText(right, shown, strength + Number("-/".includes(operator)));
  return bracketed(text, strength < around);
}

/** The same with figures, of conditions only the branch that is taken. */
export function figuresText(tree: Tree, values: Values, shown: (name: string) => string): string {
  return formulaText(withoutConditions(branchTaken(tree, values)), shown);
}

/** A formula of which only branches are left that are taken. */
function withoutConditions(tree: Tree): Tree {
  if (!Array.isArray(tree)) return tree;
  const [operator, ...parts] = tree;
  if (operator === "if") return withoutConditions(parts[1]!);
  return [operator, ...parts.map(withoutConditions)];
}

/** What is rounded up in a formula that is rounded up as a whole or within `max`, null in others. */
export function beforeRounding(tree: Tree, values: Values): number | null {
  if (!Array.isArray(tree)) return null;
  if (tree[0] === "ceil") return evaluate(tree[1] as Tree, values);
  const inner = (tree.slice(1) as Tree[]).map((part) => (tree[0] === "max" ? beforeRounding(part, values) : null));
  return inner.find((value) => value !== null) ?? null;
}

function bracketed(text: string, needed: boolean): string {
  return needed ? `(${text})` : text;
}
