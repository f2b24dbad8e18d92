/** The parts of a margin, in the order in which the waterfall shows them. */

import type { Contribution, Explanation } from "../decision_record.ts";
import * as format from "../format.ts";

/** Number of contributions that have a step of their own. */
const SHOWN = 10;

export interface Step {
  name: string;
  title: string;
  from: number;
  to: number;
  total: boolean;
}

/** Steps whose ends meet, from the expected margin to the margin. */
export function stepsOf({ expected_margin: expected, margin, contributions, rest: unlisted = 0 }: Explanation): Step[] {
  const bySize = [...contributions].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
  const [shown, rest] = [bySize.slice(0, SHOWN), bySize.slice(SHOWN)];
  const steps: Step[] = [
    { name: "average", title: "Expected margin of the model", from: 0, to: expected, total: true },
  ];
  let at = expected;
  const add = (name: string, title: string, by: number) => {
    steps.push({ name, title, from: at, to: at + by, total: false });
    at += by;
  };
  for (const part of shown) add(nameOf(part), part.meaning, part.contribution);
  if (rest.length > 0 || unlisted !== 0)
    add(
      unlisted === 0 ? `${rest.length} other features` : "all other features",
      "All smaller contributions",
      rest.reduce((sum, part) => sum + part.contribution, unlisted),
    );
  steps.push({ name: "this transaction", title: "Margin of the record", from: 0, to: margin, total: true });
  return steps;
}

function nameOf({ feature, value }: Contribution): string {
  return `${feature} = ${value === null ? "missing" : format.number(value)}`;
}
