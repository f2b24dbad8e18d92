/** What the page says of cases. */

import * as format from "../format.ts";
import type { CaseAction, ShownCase } from "./case_calls.ts";

/** The expected loss; a policy without a currency takes amounts as they are. */
export function lossOf(shown: ShownCase): string {
  if (shown.expected_loss_minor === null) return "not known";
  return format.money(shown.expected_loss_minor, shown.loss_currency ?? shown.currency ?? "");
}

/** The state in words, with the name of whoever has the case. */
export function stateText(shown: ShownCase): string {
  if (shown.outcome !== null) {
    const by = shown.decided_by === null ? "by a label outside of the queue" : `by ${shown.decided_by}`;
    return `${shown.outcome}, ${by}${shown.is_label_pending ? "; its label follows" : ""}`;
  }
  return shown.assignee === null ? "open" : `assigned to ${shown.assignee}`;
}

/** One action in words. */
export function actionText(action: CaseAction): string {
  switch (action.kind) {
    case "assign":
      return action.assignee === action.by ? "took the case" : `assigned the case to ${action.assignee}`;
    case "release":
      return "put the case back";
    case "note":
      return "noted";
    case "decide":
      return `decided: ${action.outcome}`;
    case "confirm":
      return "the label is in the log";
  }
}
