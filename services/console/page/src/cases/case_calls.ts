/** Calls about cases: services/console/case_routes.py answers them, with the types of adapters/cases/shown.py. */

import { get, post, token } from "../api.ts";
import { remembered } from "../tour/remembered.ts";

export type CaseStateName = "open" | "assigned" | "decided";
export type CaseOutcomeName = "fraud" | "genuine" | "inconclusive";

export interface CaseLabel {
  is_fraud: boolean;
  source: string;
  observed_at: string;
}

export interface ShownCase {
  partition: number;
  offset: number;
  transaction_id: string;
  card_id: string;
  merchant_id: string;
  day: string;
  opened_at: string;
  due_at: string;
  is_overdue: boolean;
  channel: string;
  amount_minor: number;
  currency: string | null;
  expected_loss_minor: number | null;
  loss_currency: string | null;
  is_within_capacity: boolean;
  action: string;
  probability: number | null;
  reasons: string[];
  model_version: string | null;
  state: CaseStateName;
  version: number;
  assignee: string | null;
  outcome: CaseOutcomeName | null;
  decided_by: string | null;
  decided_at: string | null;
  is_label_pending: boolean;
  labels: CaseLabel[];
}

/** Fields with their default value are left out. */
export interface CaseAction {
  version: number;
  kind: "assign" | "release" | "note" | "decide" | "confirm";
  by: string;
  at: string;
  assignee?: string | null;
  outcome?: CaseOutcomeName | null;
  text?: string;
}

export interface CaseHistory {
  case: ShownCase;
  actions: CaseAction[];
}

export interface QueueCounts {
  by_state: Record<CaseStateName, number>;
  by_outcome: Record<CaseOutcomeName, number>;
  overdue: number;
  overdue_beyond: number;
  labels_pending: number;
}

export interface CasePage {
  cases: ShownCase[];
  total: number;
  counts: QueueCounts;
  capacity_per_day: number | null;
  at: string | null;
}

/** Who acts. The page has one token for everybody, so people say it themselves. */
export const investigator = remembered("cardwatch-investigator", "", (value): value is string => typeof value === "string");

function headers(): Record<string, string> {
  const name = investigator.state.value.trim();
  return {
    "X-Cardwatch-Token": token() ?? "",
    ...(name ? { "X-Cardwatch-Investigator": encodeURIComponent(name) } : {}),
  };
}

/** A part of the queue; `query` as the service documents it. */
export function casePage(query: URLSearchParams, signal: AbortSignal): Promise<CasePage> {
  return get(`/api/cases?${query}`, signal, headers());
}

/** One case with all that was done with it. */
export function caseHistory(partition: number, offset: number, signal: AbortSignal): Promise<CaseHistory> {
  return get(`/api/cases/${partition}/${offset}`, signal, headers());
}

/** Do something with the version of the case that is shown; throws an Error with the service's own words. */
export async function change(shown: ShownCase, action: string, body: unknown): Promise<CaseHistory> {
  const path = `/api/cases/${shown.partition}/${shown.offset}/${action}`;
  const response = await post(path, body, { ...headers(), "If-Match": `"${shown.version}"` });
  return (await response.json()) as CaseHistory;
}
