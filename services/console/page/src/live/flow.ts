/** What an edge shows at this moment: its colour, its rate, and which dots move along it. */

import type { Edge } from "./layout.ts";
import type { Box, LiveFrame } from "../frames.ts";

export type By = "model" | "rules" | "waiting";

export interface Flow {
  /** Colour of the line; `idle` if nothing flows, `broken` if one of its ends is away. */
  by: By | "idle" | "active" | "broken" | "neutral";
  /** Records per second, null where no number is known. */
  rate: number | null;
  /** Transactions that wait at the start of this edge, if it is a queue that one should see. */
  waiting?: number;
  /** Shares of the dots, adding up to 1; the rest is neutral. */
  dots: Partial<Record<By, number>>;
}

/** States in which a process does nothing. */
const AWAY = new Set(["down", "frozen", "absent", "starting"]);

export function flowOf(edge: Edge, frame: LiveFrame, boxes: ReadonlyMap<string, Box>): Flow {
  const isAway = (name: string) => AWAY.has(boxes.get(name)?.state ?? "absent");
  const broken = isAway(edge.from) || isAway(edge.to);
  const {
    transactions_per_second: arriving,
    by_model_per_second: byModel,
    by_rules_per_second: byRules,
    waiting,
  } = frame.traffic;
  // More than a second of traffic in the queue is a queue that one should see.
  if (edge.traffic === "taken" && waiting > Math.max(arriving, 20)) {
    return { by: "waiting", rate: broken ? 0 : arriving, waiting, dots: { waiting: 1 } };
  }
  if (broken) return { by: "broken", rate: 0, dots: {} };
  const decided = byModel + byRules;
  const shares = decided > 0 ? { model: byModel / decided, rules: byRules / decided } : {};
  const by = decided === 0 ? "idle" : byModel >= byRules ? "model" : "rules";
  switch (edge.traffic) {
    case "transactions":
      return { by: arriving > 0 ? "neutral" : "idle", rate: arriving, dots: {} };
    case "taken":
    case "states":
      return { by: decided > 0 ? "neutral" : "idle", rate: decided, dots: {} };
    case "decisions":
      return { by, rate: decided, dots: shares };
    case "rows":
      return { by: byModel > 0 ? "neutral" : "idle", rate: byModel, dots: {} };
    case "none":
      return { by: isActive(edge, frame) ? "active" : "idle", rate: null, dots: {} };
  }
}

/** Edges without a rate are marked while what they stand for happens. */
function isActive(edge: Edge, frame: LiveFrame): boolean {
  if (edge.id === "decay") return frame.states.includes("decayed") || frame.states.includes("retraining");
  if (edge.id === "challenger") return frame.states.includes("retraining");
  const { champion_version: champion, serving_version: serving } = frame.model;
  return edge.id === "champion" && champion !== null && serving !== null && champion !== serving;
}
