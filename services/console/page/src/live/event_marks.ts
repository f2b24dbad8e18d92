/** Kinds of events, each with a glyph that charts and timeline share. */

import type { EventFrame } from "../frames.ts";

export type Mark = "change" | "data" | "drift" | "retraining" | "verdict" | "swap" | "process" | "fault" | "other";

/** The glyphs as paths in a square of 10 by 10. */
export const GLYPHS: Record<Mark, string> = {
  change: "M5 0L10 5L5 10L0 5Z",
  data: "M0 1H10V4H0ZM0 6H10V9H0Z",
  drift: "M5 0.5L10 9.5H0Z",
  retraining: "M5 0A5 5 0 1 1 4.99 0Z",
  verdict: "M0.5 0.5H9.5V9.5H0.5Z",
  swap: "M5 0L6.5 3.5L10 3.8L7.3 6.2L8.1 10L5 8L1.9 10L2.7 6.2L0 3.8L3.5 3.5Z",
  process: "M1.5 0L5 3.5L8.5 0L10 1.5L6.5 5L10 8.5L8.5 10L5 6.5L1.5 10L0 8.5L3.5 5L0 1.5Z",
  fault: "M6 0L1 6H4.5L4 10L9 4H5.5Z",
  other: "M5 3A2 2 0 1 1 4.99 3Z",
};

export const MARK_NAMES: Record<Mark, string> = {
  change: "Change of the population",
  data: "Data contract",
  drift: "Drift",
  retraining: "Retraining",
  verdict: "Verdict",
  swap: "Model swap",
  process: "Process",
  fault: "Fault",
  other: "Event",
};

/** The mark of each kind of event in cardwatch/live/timeline.py; `change` is the demo's, `process` that of actions, `fault` that of switches. */
const MARKS: Record<string, Mark> = {
  change: "change",
  data: "data",
  drift: "drift",
  retraining: "retraining",
  verdict: "verdict",
  champion: "swap",
  swap: "swap",
  process: "process",
  fault: "fault",
};

export function markOf(event: EventFrame): Mark {
  return MARKS[event.kind] ?? "other";
}
