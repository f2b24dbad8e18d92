/** What the page knows: signals that frames change, with bounded memory however long the page stays open. */

import { computed, signal } from "@preact/signals";
import type { Box, BoxName, DayMonitored, DecisionLine, EventFrame, Frame, LiveFrame, MomentFrame } from "./frames.ts";

/** Number of newest decisions that are kept. */
export const DECISIONS_KEPT = 5_000;
/** Number of newest events that are kept. */
const EVENTS_KEPT = 1_000;
/** Seconds of history in the charts of the last minutes, one sample per second. */
export const HISTORY_SECONDS = 600;
/** Seconds without a frame after which the page calls itself disconnected, even if the connection is open. */
const STALE_SECONDS = 5;

export type Connection = "connecting" | "open" | "lost";

/** Columns of equal length, oldest first: seconds since 1970 and the values at that time. */
export interface History {
  at: number[];
  model: (number | null)[];
  rules: (number | null)[];
  p50: (number | null)[];
  p99: (number | null)[];
  waiting: (number | null)[];
}

const noHistory = (): History => ({ at: [], model: [], rules: [], p50: [], p99: [], waiting: [] });

export const live = signal<LiveFrame | null>(null);
export const events = signal<readonly EventFrame[]>([]);
export const days = signal<readonly DayMonitored[]>([]);
/** Newest first. */
export const decisions = signal<readonly DecisionLine[]>([]);
export const skippedApprovals = signal(0);
export const history = signal<History>(noHistory());
export const connection = signal<Connection>("connecting");
/** `performance.now()` when the last frame arrived, null before the first. */
export const receivedAt = signal<number | null>(null);
/** `performance.now()`, updated once a second: the ages of all texts. */
export const now = signal(performance.now());

/** Age of what is shown in seconds, null before the first frame. */
export const ageSeconds = computed(() =>
  receivedAt.value === null ? null : Math.max(0, (now.value - receivedAt.value) / 1000),
);

/** True if what is shown is not the present: the connection is lost, or silent for too long. */
export const stale = computed(
  () => receivedAt.value !== null && (connection.value === "lost" || (ageSeconds.value ?? 0) > STALE_SECONDS),
);

const boxesByName = computed(() => new Map((live.value?.boxes ?? []).map((box) => [box.name, box])));

/** The box of this name in the newest frame. */
export function boxNamed(name: BoxName): Box | undefined {
  return boxesByName.value.get(name);
}

/** Take one frame. A frame of an unknown type is ignored: the service may be newer than this page. */
export function receive(frame: Frame): void {
  receivedAt.value = performance.now();
  switch (frame.type) {
    case "live":
      live.value = frame;
      history.value = withSample(history.value, frame);
      break;
    case "moment":
      history.value = withSample(history.value, frame);
      break;
    case "event":
      events.value = withEvent(events.value, frame);
      break;
    case "day":
      days.value = withDay(days.value, frame.monitored);
      break;
    case "decisions":
      decisions.value = withDecisions(decisions.value, frame.lines);
      skippedApprovals.value += frame.skipped;
      break;
  }
}

/** One sample a second: the newest frame of a second replaces the one before. */
function withSample(history: History, frame: LiveFrame | MomentFrame): History {
  const at = Math.floor(frame.at_ms / 1000);
  const newest = history.at.at(-1);
  if (newest !== undefined && at < newest) history = noHistory();
  const end = newest === at ? -1 : undefined;
  const start = history.at.findIndex((second) => second > at - HISTORY_SECONDS);
  const add = (column: (number | null)[], value: number | null) => [...column.slice(Math.max(0, start), end), value];
  const traffic = frame.traffic;
  return {
    at: add(history.at, at) as number[],
    model: add(history.model, traffic.by_model_per_second),
    rules: add(history.rules, traffic.by_rules_per_second),
    p50: add(history.p50, traffic.p50_ms),
    p99: add(history.p99, traffic.p99_ms),
    waiting: add(history.waiting, traffic.waiting),
  };
}

/** In the order of numbers. An event that is known is repeated after a reconnection; another one of its number means that
 * the service has started again, and then the later ones are void. */
function withEvent(known: readonly EventFrame[], event: EventFrame): readonly EventFrame[] {
  const same = known.find((other) => other.number === event.number);
  if (same && same.at_ms === event.at_ms && same.text === event.text) return known;
  const before = known.filter((other) => other.number < event.number);
  return [...before, event].slice(-EVENTS_KEPT);
}

function withDay(known: readonly DayMonitored[], monitored: DayMonitored): readonly DayMonitored[] {
  const others = known.filter((other) => other.day !== monitored.day);
  return [...others, monitored].sort((a, b) => (a.day < b.day ? -1 : 1));
}

/** The lines of a frame are oldest first. After a reconnection some are known already. */
function withDecisions(known: readonly DecisionLine[], lines: readonly DecisionLine[]): readonly DecisionLine[] {
  const recent = new Set(known.slice(0, 2 * lines.length + 200).map(positionOf));
  const fresh = lines.filter((line) => !recent.has(positionOf(line))).reverse();
  return fresh.length ? [...fresh, ...known].slice(0, DECISIONS_KEPT) : known;
}

/** The position of a decision's transaction, as log lines and commands write it. */
export function positionOf(line: { partition: number; offset: number }): string {
  return `${line.partition}:${line.offset}`;
}
