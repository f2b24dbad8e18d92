/** The numbers of a box as lines of text: those that the service measures, and what the frame says of the model. */

import * as format from "../format.ts";
import type { Box, Figure, LiveFrame } from "../frames.ts";

export interface Line {
  name: string;
  value: string;
  /** A unit in words, which the diagram has no room for. */
  unit?: string;
}

export type Tone = "ok" | "notice" | "warning" | "critical" | "unknown";

/** The lines of a box, the most important first. */
export function linesOf(box: Box, frame: LiveFrame): Line[] {
  return [...modelLines(box.name, frame), ...box.figures.map(line)];
}

function modelLines(name: string, { model }: LiveFrame): Line[] {
  switch (name) {
    case "scoring":
      return [{ name: "model", value: version(model.serving_version) }];
    case "mlflow":
      return [{ name: "champion", value: version(model.champion_version) }];
    case "monitor":
      return [
        { name: "model is", value: model.drift_state ?? format.NONE },
        { name: "outcomes known", value: format.percent(model.label_coverage) },
      ];
    default:
      return [];
  }
}

function version(value: string | null): string {
  return value === null ? "none" : `v${value}`;
}

function line({ name, value, unit }: Figure): Line {
  if (value === null) return { name, value: format.NONE };
  switch (unit) {
    case "ms":
      return { name, value: `${format.milliseconds(value)} ms` };
    case "/s":
      return { name, value: `${format.rate(value)}/s` };
    case "bytes":
      return { name, value: format.bytes(value) };
    default:
      return { name, value: format.number(value), unit };
  }
}

/** How serious the state of a process is. */
export function toneOf(box: Box | undefined): Tone {
  switch (box?.state) {
    case "ready":
    case "external":
    case "done":
      return "ok";
    case "starting":
      // Until a process that was restarted is ready again, nobody does its work.
      return box.restarts > 0 ? "critical" : "notice";
    case "waiting":
    case "frozen":
      return "warning";
    case "down":
      return "critical";
    default:
      return "unknown";
  }
}

/** The state in words. */
export function stateOf(box: Box | undefined): string {
  return box?.state ?? "unknown";
}
