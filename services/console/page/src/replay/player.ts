/** Plays a recording: sets the state of the page to any moment of it, forwards and backwards. */

import { batch, computed, signal } from "@preact/signals";
import type { DayMonitored, DecisionLine, EventFrame, LiveFrame } from "../frames.ts";
import * as state from "../state.ts";
import type { Recording } from "./recording.ts";

export const SPEEDS = [1, 2, 5, 10, 20, 60] as const;

/** Kinds of events that are chapters. */
const CHAPTERS = ["live", "change", "data", "drift", "retraining", "verdict", "swap"];
const TICK_MS = 100;

/** Something and the moment of the recording at which it is known, in ms since its first frame. */
interface Timed<T> {
  at: number;
  value: T;
}

/** The recording by kind of frame, each list in the order of time. */
interface Tracks {
  lives: Timed<LiveFrame>[];
  events: Timed<EventFrame>[];
  days: Timed<DayMonitored>[];
  lines: Timed<DecisionLine>[];
  skipped: Timed<number>[];
}

const noTracks = (): Tracks => ({ lives: [], events: [], days: [], lines: [], skipped: [] });

let tracks = noTracks();
let timer = 0;
let lastTick = 0;

export const lengthMs = signal(0);
export const positionMs = signal(0);
export const isPlaying = signal(false);
export const speed = signal<number>(10);
export const chapters = signal<readonly Timed<EventFrame>[]>([]);
export const isAtEnd = computed(() => lengthMs.value > 0 && positionMs.value >= lengthMs.value);

/** Take a recording and show its beginning. */
export function load(recording: Recording): void {
  tracks = tracksOf(recording);
  lengthMs.value = tracks.lives.at(-1)?.at ?? 0;
  chapters.value = tracks.events.filter(({ value }) => CHAPTERS.includes(value.kind));
  state.connection.value = "open";
  seek(0);
}

/** Show the moment `at`, in ms since the beginning. */
export function seek(at: number): void {
  const position = Math.min(Math.max(at, 0), lengthMs.value);
  const live = last(tracks.lives, position);
  batch(() => {
    positionMs.value = position;
    state.live.value = live ?? null;
    state.receivedAt.value = state.now.value;
    setLength(state.events, upTo(tracks.events, position));
    setLength(state.days, upTo(tracks.days, position));
    const lines = upTo(tracks.lines, position);
    if (lines.length !== shownLines) {
      shownLines = lines.length;
      state.decisions.value = lines.slice(-state.DECISIONS_KEPT).reverse();
    }
    state.skippedApprovals.value = upTo(tracks.skipped, position).reduce((sum, value) => sum + value, 0);
    state.history.value = historyAt(position);
  });
}

let shownLines = -1;

export function play(): void {
  if (isAtEnd.value) seek(0);
  isPlaying.value = true;
  lastTick = performance.now();
  timer ||= window.setInterval(tick, TICK_MS);
}

export function pause(): void {
  isPlaying.value = false;
  clearInterval(timer);
  timer = 0;
}

function tick(): void {
  const now = performance.now();
  seek(positionMs.value + (now - lastTick) * speed.value);
  lastTick = now;
  if (isAtEnd.value) pause();
}

/** The frames of a recording have their time from the state before them. */
export function tracksOf({ frames }: Recording): Tracks {
  const tracks = noTracks();
  const begin = frames.find((frame) => frame.type === "live")?.at_ms ?? 0;
  let at = 0;
  for (const frame of frames) {
    switch (frame.type) {
      case "live":
        at = frame.at_ms - begin;
        tracks.lives.push({ at, value: frame });
        break;
      case "event":
        tracks.events.push({ at, value: frame });
        break;
      case "day":
        tracks.days.push({ at, value: frame.monitored });
        break;
      case "decisions":
        tracks.lines.push(...frame.lines.map((value) => ({ at, value })));
        tracks.skipped.push({ at, value: frame.skipped });
        break;
    }
  }
  return tracks;
}

/** Number of items of a track that are known at a moment. */
function known<T>(track: readonly Timed<T>[], position: number): number {
  let [from, to] = [0, track.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (track[middle]!.at <= position) from = middle + 1;
    else to = middle;
  }
  return from;
}

function upTo<T>(track: readonly Timed<T>[], position: number): T[] {
  return track.slice(0, known(track, position)).map(({ value }) => value);
}

function last<T>(track: readonly Timed<T>[], position: number): T | undefined {
  return track[Math.max(0, known(track, position) - 1)]?.value;
}

/** A track only grows or shrinks, so lists of one length are equal. */
function setLength<T>(target: { value: readonly T[] }, values: T[]): void {
  if (target.value.length !== values.length) target.value = values;
}

function historyAt(position: number): state.History {
  const frames = upTo(tracks.lives, position).slice(-3 * state.HISTORY_SECONDS);
  const bySecond = new Map(frames.map((frame) => [Math.floor(frame.at_ms / 1000), frame.traffic]));
  const seconds = [...bySecond.entries()].slice(-state.HISTORY_SECONDS);
  const column = (name: keyof LiveFrame["traffic"]) => seconds.map(([, traffic]) => traffic[name]);
  return {
    at: seconds.map(([second]) => second),
    model: column("by_model_per_second"),
    rules: column("by_rules_per_second"),
    p50: column("p50_ms"),
    p99: column("p99_ms"),
    waiting: column("waiting"),
  };
}
