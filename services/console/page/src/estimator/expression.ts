/** Formulas of the estimator, as cardwatch/estimator/expression.py writes their trees: each gives the same bits here and there. */

/** A number, the name of a quantity, or an operator with its arguments. */
export type Tree = number | string | [operator: string, ...Tree[]];

export type Values = Readonly<Record<string, number>>;

const OPERATIONS: Record<string, (...values: number[]) => number> = {
  "+": (a, b) => a! + b!,
  "-": (a, b) => a! - b!,
  "*": (a, b) => a! * b!,
  "/": (a, b) => a! / b!,
  ">": (a, b) => Number(a! > b!),
  "<=": (a, b) => Number(a! <= b!),
  min: Math.min,
  max: Math.max,
  ceil: Math.ceil,
};

/** The value of a formula. Throws an Error for a name without a value, and for an operator that this page does not know. */
export function evaluate(tree: Tree, values: Values): number {
  if (typeof tree === "number") return tree;
  if (typeof tree === "string") return valueOf(tree, values);
  const [operator, ...parts] = tree;
  if (operator === "if") return evaluate(evaluate(parts[0]!, values) ? parts[1]! : parts[2]!, values);
  const operation = OPERATIONS[operator];
  if (!operation) throw new Error(`there is no operator ${operator}`);
  return operation(...parts.map((part) => evaluate(part, values)));
}

/** A formula without the branches of its conditions that are not taken; the condition stays. */
export function branchTaken(tree: Tree, values: Values): Tree {
  if (!Array.isArray(tree)) return tree;
  const [operator, ...parts] = tree;
  if (operator === "if") {
    return ["if", parts[0]!, branchTaken(evaluate(parts[0]!, values) ? parts[1]! : parts[2]!, values)];
  }
  return [operator, ...parts.map((part) => branchTaken(part, values))];
}

/** The names of a formula in their order, repeated ones too. */
export function namesIn(tree: Tree): string[] {
  if (typeof tree === "string") return [tree];
  return Array.isArray(tree) ? (tree.slice(1) as Tree[]).flatMap(namesIn) : [];
}

function valueOf(name: string, values: Values): number {
  const value = values[name];
  if (value === undefined) throw new Error(`there is no figure ${name}`);
  return value;
}
