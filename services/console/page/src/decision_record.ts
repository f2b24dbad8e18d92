/** The answer of `GET /api/decisions/PARTITION/OFFSET`: services/console/decision_details.py makes it. */

export interface Transaction {
  transaction_id: string;
  card_id: string;
  merchant_id: string;
  occurred_at: string;
  amount_minor: number;
  currency: string;
  merchant_category: string;
  channel: string;
  country: string;
  device_id?: string | null;
}

export interface Contribution {
  feature: string;
  meaning: string;
  value: number | null;
  contribution: number;
  reason: string | null;
}

/** Expected costs in minor units; null where the action is not possible in the channel. */
export interface Costs {
  approve: number | null;
  challenge: number | null;
  decline: number | null;
}

export interface Reason {
  code: string;
  text: string;
}

export interface CardPayment {
  occurred_at: string;
  amount_minor: number;
  currency: string;
  merchant_id?: string;
  channel?: string;
  action?: string | null;
  partition?: number;
  offset?: number;
}

/** services/scoring/api/explanation.py: by the champion of now, which need not be the model that decided. */
export interface Explanation {
  model_version: string;
  expected_margin: number;
  margin: number;
  /** The largest first; zeros are left out. */
  contributions: Contribution[];
  /** The sum of the contributions that are not listed; a replay lists the largest only. */
  rest?: number;
  reasons: Reason[];
}

/** cardwatch.events.Decision; fields with their default value are left out. */
export interface DecisionRecord {
  transaction: Transaction;
  partition: number;
  offset: number;
  sequence: number;
  feature_schema: string;
  table_id: string;
  model_version?: string | null;
  model_digest?: string | null;
  policy_version: string;
  margin?: number | null;
  probability?: number | null;
  action: string;
  reasons: string[];
  degraded?: boolean;
  degraded_reason?: string | null;
  shadow_version?: string | null;
  shadow_probability?: number | null;
  control_propensity?: number | null;
  decided_at: string;
  latency_ms: number;
}

export interface DecisionDetails {
  decision: DecisionRecord;
  /** All features by name, null where missing. */
  features: Record<string, number | null>;
  /** Null without a probability, or without a rate for the currency. */
  costs: Costs | null;
  explanation?: Explanation;
  /** Why there is no explanation. */
  unexplained?: string;
  /** Earlier payments of the card, if the service knows them. */
  card_history?: CardPayment[];
}
