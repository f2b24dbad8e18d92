/** Calls to the service. Every call that changes something carries the token from the console's address. */

import type { DecisionDetails } from "./decision_record.ts";
import { recordedDetails } from "./replay/recorded_details.ts";
import { isReplay, openedRecording } from "./replay/recording.ts";
import { decoded } from "./routes.ts";

const TOKEN_KEY = "cardwatch-token";

/** What the panel of a box shows beside the frame. */
export interface BoxDetails {
  log: string[];
  /** What prints all of it. */
  log_command: string;
  metrics: [string, number | null][];
  /** Positions that are not in the frames, if there are any. */
  offsets?: [string, number | string | null][];
}

/** The token of this session, null if the page was opened without one. */
export function token(): string | null {
  return sessionStorage.getItem(TOKEN_KEY);
}

/** Move a token from `#token=...` to the session, and out of the address bar and the history. */
export function takeTokenFromAddress(): void {
  const match = /^#(.*&)?token=([^&]+)(?:&(.*))?$/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(TOKEN_KEY, decoded(match[2]!));
  const rest = (match[1] ?? "").replace(/&$/, "") || (match[3] ?? "");
  history.replaceState(null, "", location.pathname + location.search + (rest ? `#${rest}` : ""));
}

/** Send an action to a process; throws an Error with the service's own words if it is refused. */
export async function act(process: string, action: string): Promise<void> {
  await post(`/api/processes/${encodeURIComponent(process)}/${action}`);
}

/** Hold the worker before a step (`STEP/hold`) or `release` it; throws an Error with the service's own words. */
export async function changeStep(change: string): Promise<void> {
  const response = await fetch(`/api/steps/${change}`, {
    method: "POST",
    headers: { "X-Cardwatch-Token": token() ?? "" },
  });
  if (!response.ok) throw new Error(await errorOf(response));
}

/** Log tail, metrics and offsets of a box. */
export function boxDetails(name: string, signal: AbortSignal): Promise<BoxDetails> {
  if (isReplay) return Promise.reject(new Error("a recording holds no logs and metrics."));
  return get(`/api/boxes/${encodeURIComponent(name)}`, signal);
}

/** The whole record of a decision, with its explanation. */
export function decisionDetails(partition: number, offset: number, signal: AbortSignal): Promise<DecisionDetails> {
  if (isReplay) return openedRecording().then((recording) => recordedDetails(recording, partition, offset));
  return get(`/api/decisions/${partition}/${offset}`, signal);
}

/** Read an answer; throws an Error with the service's own words if there is none. */
export async function get<T>(
  path: string,
  signal: AbortSignal | null = null,
  headers: Record<string, string> = {},
): Promise<T> {
  const response = await fetch(path, { signal, headers });
  if (!response.ok) throw new Error(await errorOf(response));
  return (await response.json()) as T;
}

/** Send something with the token; throws an Error with the service's own words if it is refused. */
export async function post(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  const response = await fetch(path, {
    method: "POST",
    headers: { "X-Cardwatch-Token": token() ?? "", "Content-Type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(await errorOf(response));
  return response;
}

/** What the service says about an answer that is none. */
export async function errorOf(response: Response): Promise<string> {
  try {
    const { error } = (await response.json()) as { error?: string };
    if (error) return error;
  } catch {
    // The answer is no JSON: its status says what there is to say.
  }
  return `The console's server answered ${response.status} ${response.statusText}.`;
}
