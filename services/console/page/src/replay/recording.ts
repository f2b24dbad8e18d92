/** The recording inside a replay file: cli/demo/replay.py writes it as JSON, gzip and base64 into a data block. */

import { signal } from "@preact/signals";
import type { Frame } from "../frames.ts";

/** Feature place, value, contribution, and whether its reason code is true. */
export type RecordedPart = [number, number | null, number, boolean];

/** cli/demo/recorded_decisions.py: RecordedDecision. */
export type RecordedDecision = [
  partition: number,
  offset: number,
  merchantId: string,
  merchantCategory: string,
  country: string,
  sequence: number,
  table: number,
  policy: number,
  model: number,
  margin: number | null,
  controlPropensity: number | null,
  costs: (number | null)[],
  parts: RecordedPart[],
  rest: number,
];

export interface RecordedDecisions {
  feature_schema: string;
  currency: string;
  features: { name: string; meaning: string; reason: string | null }[];
  reasons: Record<string, string>;
  models: { version: string; digest: string; expected_margin: number }[];
  tables: string[];
  policies: string[];
  rows: RecordedDecision[];
}

/** The result in the words of the demo's report. */
export interface ResultTable {
  headline: string;
  closed: boolean;
  money: [name: string, value: string, basis: string][];
  checks: [passed: boolean, sentence: string][];
  headings: string[];
  rows: [name: string, cells: string[]][];
  figures: [name: string, value: string][];
}

export interface Recording {
  format: number;
  title: string;
  frames: Frame[];
  decisions: RecordedDecisions;
  result: ResultTable;
}

const FORMAT = 1;

/** The recording of this file, null if this page is no replay or has not opened it yet. */
export const recording = signal<Recording | null>(null);

let haveOpened: (recording: Recording) => void;
/** The recording, as soon as it is open: a page may show a decision of it before. */
const opened = new Promise<Recording>((resolve) => (haveOpened = resolve));

/** Let the page show this recording. */
export function show(read: Recording): void {
  recording.value = read;
  haveOpened(read);
}

/** Wait for the recording of this file. */
export function openedRecording(): Promise<Recording> {
  return opened;
}

/** Why the recording of this file cannot be shown, null if nothing is wrong. */
export const openingError = signal<string | null>(null);

/** The data block of a replay file, null in the console of a running system. */
export function recordingBlock(): HTMLElement | null {
  return document.getElementById("recording");
}

/** Whether this page is a replay file. */
export const isReplay = recordingBlock() !== null;

/** What a data block holds: JSON, gzip and base64. The block itself is removed. */
export async function unpacked(block: HTMLElement): Promise<unknown> {
  const packed = Uint8Array.from(atob(block.textContent!.trim()), (letter) => letter.charCodeAt(0));
  block.remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

/** Open the data block. Throws an Error if it is no recording that this page can read. */
export async function readRecording(block: HTMLElement): Promise<Recording> {
  const opened = (await unpacked(block)) as Recording;
  if (opened.format !== FORMAT) throw new Error(`It has format ${opened.format}, and this page reads format ${FORMAT}.`);
  return opened;
}
