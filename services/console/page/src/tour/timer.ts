/** The clock of the talk: started, paused and reset by the speaker. It goes on over a reload. */

import { signal } from "@preact/signals";
import { remembered } from "./remembered.ts";

interface TimerState {
  /** Milliseconds of the talk before the clock was last started. */
  before: number;
  /** When it was last started, in milliseconds of the Unix epoch; null while it stands. */
  since: number | null;
}

const STOPPED: TimerState = { before: 0, since: null };
const TICK_MS = 250;
const { state, keep } = remembered("cardwatch-tour-timer", STOPPED, isTimerState);
const now = signal(Date.now());

function isTimerState(value: unknown): value is TimerState {
  const { before, since } = (value ?? {}) as Partial<TimerState>;
  return Number.isFinite(before) && (since === null || Number.isFinite(since));
}

/** Seconds of the talk so far. */
export function elapsedSeconds(): number {
  const { before, since } = state.value;
  return (before + (since === null ? 0 : Math.max(0, now.value - since))) / 1_000;
}

export function isRunning(): boolean {
  return state.value.since !== null;
}

export function startOrPause(): void {
  now.value = Date.now();
  const { before, since } = state.value;
  keep(since === null ? { before, since: now.value } : { before: before + Math.max(0, now.value - since), since: null });
}

export function resetTimer(): void {
  keep(STOPPED);
}

/** Keep the clock going while something shows it; returns what ends that. */
export function tick(): () => void {
  now.value = Date.now();
  const timer = setInterval(() => isRunning() && (now.value = Date.now()), TICK_MS);
  return () => clearInterval(timer);
}
