/** Which lines of the rubric the speaker has said without being asked. */

import type { TourStop } from "./data.ts";
import { remembered } from "./remembered.ts";

export type Level = "senior" | "staff";
export const LEVELS: readonly Level[] = ["senior", "staff"];

const { state: said, keep } = remembered<string[]>("cardwatch-tour-said", [], isTexts);

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

/** A line is known by its stop and its words, so that a line which was rewritten is not taken as said. */
function lineKey(stop: TourStop, line: string): string {
  return `${stop.id}: ${line}`;
}

export function isSaid(stop: TourStop, line: string): boolean {
  return said.value.includes(lineKey(stop, line));
}

export function setSaid(stop: TourStop, line: string, isNowSaid: boolean): void {
  const others = said.value.filter((each) => each !== lineKey(stop, line));
  keep(isNowSaid ? [...others, lineKey(stop, line)] : others);
}

export function forgetScores(): void {
  keep([]);
}

export function countSaid(stop: TourStop, level: Level): number {
  return stop.rubric[level].filter((line) => isSaid(stop, line)).length;
}

/** The level that was shown at a stop: all its lines, and for staff also all those of a senior. Null if neither. */
export function levelOf(stop: TourStop): Level | null {
  const isComplete = (level: Level) => countSaid(stop, level) === stop.rubric[level].length;
  if (!isComplete("senior")) return null;
  return isComplete("staff") ? "staff" : "senior";
}
