/** The switches of the service, with the names of services/console/fault_switches.py, and what the page says of them. */

import type { BoxName } from "../frames.ts";

export type FaultGroup = "process" | "world" | "network";

export interface FaultSwitch {
  name: string;
  group: FaultGroup;
  /** The process or part that the fault is about. */
  part: string;
  title: string;
  /** Where in the diagram one sees the effect. */
  box: BoxName;
  effect: string;
  look: string;
  /** Default seconds until the reset, null if it happens once. */
  seconds: number | null;
  /** `asked`: the generator has not begun it yet. */
  state: "off" | "asked" | "on";
  since_ms: number | null;
  until_ms: number | null;
  /** Why the switch cannot be used, null if it can. */
  unavailable: string | null;
  /** What to type in place of `on` and `off`. */
  commands: { on: string; off?: string };
}

/** Times until a reset that can be chosen, in seconds. */
const TIMES = [10, 20, 30, 60, 180, 600, 3_600];

/** The times for a switch: its default is among them. */
export function timesOf(fault: FaultSwitch): number[] {
  const own = fault.seconds ?? 0;
  return [...new Set([...TIMES, own])].filter((seconds) => seconds > 0).sort((a, b) => a - b);
}

/** `20 s`, `3 min`, `1 h`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3_600 ? `${seconds / 60} min` : `${seconds / 3_600} h`;
}

/** `0:42` until the reset; null without one. */
export function countdown(fault: FaultSwitch, nowMs: number): string | null {
  if (fault.until_ms === null) return null;
  const left = Math.max(0, Math.ceil((fault.until_ms - nowMs) / 1000));
  return `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}

/** The command that does the same as the switch, with the chosen time. */
export function commandFor(fault: FaultSwitch, seconds: number | null): string {
  if (fault.state !== "off" && fault.commands.off) return fault.commands.off;
  const isOwn = fault.commands.on.startsWith("cardwatch fault");
  return isOwn && seconds !== null && seconds !== fault.seconds
    ? `${fault.commands.on} --for ${seconds}`
    : fault.commands.on;
}
