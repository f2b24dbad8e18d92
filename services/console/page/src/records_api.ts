/** Calls about single records: services/console/record_routes.py answers them. */

import { get, post } from "./api.ts";
import type { Transaction } from "./decision_record.ts";

/** cardwatch/events.py; fields without a value are left out. */
export type Payment = Partial<Record<string, string | number | null>> & Transaction;

export interface Preset {
  name: string;
  title: string;
  about: string;
}

export interface Offers {
  /** The event time of the newest decisions, null before the first. */
  at: string | null;
  cards: { card_id: string; decisions: number }[];
  presets: Preset[];
}

export interface Preview {
  transaction_id: string;
  action: string | null;
  probability: number | null;
  reasons: string[];
  degraded: boolean;
  degraded_reason: string | null;
  repeated: boolean;
}

/** services/console/sending.py; fields with their default value are left out. */
export interface Hop {
  hop: "acknowledged" | "logged" | "decided" | "rejected" | "unanswered" | "failed";
  after_ms?: number;
  records?: number;
  transaction_id?: string;
  partition?: number;
  offset?: number;
  action?: string;
  probability?: number | null;
  reasons?: string[];
  degraded?: boolean;
  latency_ms?: number;
  repeated?: boolean;
  reason?: string;
}

export interface Letter {
  topic: string;
  partition: number;
  offset: number;
  rejected_at: string;
  field: string;
  reason: string;
  size: number;
  value: string;
  is_text: boolean;
  is_cut: boolean;
  obstacle: string | null;
}

export function offers(signal: AbortSignal): Promise<Offers> {
  return get("/api/send", signal);
}

/** The transactions of a preset, with new ids; at the newest event time if `at` is empty. */
export function presetPayments(name: string, card: string, at: string, seed: number): Promise<Payment[]> {
  const query = new URLSearchParams({ card, at, seed: String(seed) });
  return get(`/api/presets/${encodeURIComponent(name)}?${query}`);
}

/** What would be decided; nothing is written. */
export async function previews(payments: Payment[]): Promise<Preview[]> {
  return (await (await post("/api/previews", payments)).json()) as Preview[];
}

/** Send, and tell each hop as it is reached, until all have an outcome. */
export async function send(payments: Payment[], tell: (hop: Hop) => void): Promise<void> {
  const response = await post("/api/transactions", payments);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = lines.pop()!;
    for (const line of lines) tell(JSON.parse(line) as Hop);
    if (done) return;
  }
}

/** Label a decided transaction; gives the event time at which the label is observed. */
export async function label(partition: number, offset: number, isFraud: boolean): Promise<string> {
  const response = await post("/api/labels", { partition, offset, is_fraud: isFraud });
  return ((await response.json()) as { observed_at: string }).observed_at;
}

export function deadLetters(signal: AbortSignal): Promise<{ letters: Letter[]; total: number }> {
  return get("/api/dead-letters", signal);
}

export async function resend(partition: number, offset: number): Promise<void> {
  await post(`/api/dead-letters/${partition}/${offset}`);
}
