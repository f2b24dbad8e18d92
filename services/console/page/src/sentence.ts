/** The state of the whole system as a plain sentence, and how serious it is. */

import { age, plural, rate } from "./format.ts";
import { BOX_TEXTS } from "./boxes.ts";
import type { BoxName, LiveFrame } from "./frames.ts";

export type Severity = "ok" | "notice" | "warning" | "critical" | "unknown";

export interface Sentence {
  severity: Severity;
  text: string;
}

/** `ageSeconds` is given if the frame is not the present. */
export function systemSentence(frame: LiveFrame | null, ageSeconds: number | null): Sentence {
  if (!frame) return { severity: "unknown", text: "Waiting for the first data from the console’s server." };
  if (ageSeconds !== null) {
    return {
      severity: "unknown",
      text: `Disconnected: everything below is ${age(ageSeconds)} old. The page reconnects by itself.`,
    };
  }
  const sentence = present(frame);
  return frame.states.includes("recording")
    ? { ...sentence, text: `${sentence.text} This run is being recorded.` }
    : sentence;
}

function present(frame: LiveFrame): Sentence {
  const { traffic, model, states } = frame;
  const away = frame.boxes.filter((box) => box.state === "down" || box.state === "frozen");
  if (states.includes("starting")) {
    const parts = frame.boxes.filter((box) => box.state !== "absent");
    const ready = parts.filter((box) => box.state !== "starting" && box.state !== "down" && box.state !== "waiting");
    return { severity: "notice", text: `The system is starting: ${ready.length} of ${parts.length} parts are ready.` };
  }
  if (states.includes("no champion")) {
    return {
      severity: "critical",
      text: "There is no champion model yet. The rules decide, and decisions are marked degraded.",
    };
  }
  const awayText = away.map((box) => `${titleOf(box.name)} is ${box.state}`).join(", ");
  if (states.includes("degraded")) {
    const share = Math.round(
      (100 * traffic.by_rules_per_second) / Math.max(1e-9, traffic.by_rules_per_second + traffic.by_model_per_second),
    );
    const cause = awayText ? `: ${awayText}` : "";
    return { severity: "critical", text: `Degraded${cause}. The rules decide ${share} % of the transactions.` };
  }
  if (awayText)
    return { severity: "critical", text: `${awayText}. ${plural(traffic.waiting, "transaction waits", "transactions wait")} for a decision.` };
  if (states.includes("retraining")) {
    return {
      severity: "notice",
      text: `A challenger is being trained. Model ${nameOf(model)} keeps deciding meanwhile.`,
    };
  }
  if (states.includes("decayed")) {
    return {
      severity: "warning",
      text: `Model ${nameOf(model)} has decayed: its performance loss has passed the threshold.`,
    };
  }
  if (states.includes("drift suspected")) {
    return { severity: "warning", text: "Drift is suspected. Drift alone does not start a retraining." };
  }
  const perSecond = traffic.by_model_per_second + traffic.by_rules_per_second;
  if (perSecond === 0 && traffic.transactions_per_second === 0) {
    return { severity: "ok", text: "Everything is ready. No transactions are arriving." };
  }
  const decider = model.serving_version ? `Model ${nameOf(model)}` : "The model";
  return { severity: "ok", text: `Running normally. ${decider} decides ${rate(perSecond)} transactions per second.` };
}

function nameOf({ serving_version: version }: LiveFrame["model"]): string {
  return version === null ? "of unknown version" : `v${version}`;
}

function titleOf(name: string): string {
  return BOX_TEXTS[name as BoxName]?.title ?? name;
}
