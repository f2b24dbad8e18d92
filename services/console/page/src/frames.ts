/**
 * What the service sends: one JSON document per server-sent event, a `Frame`.
 *
 * The names are those of cardwatch/live/frames.py, which is the contract; dates are `YYYY-MM-DD`.
 */

export const BOXES = [
  "generator",
  "kafka",
  "stream",
  "store",
  "scoring",
  "archive",
  "monitor",
  "pipelines",
  "mlflow",
] as const;

export type BoxName = (typeof BOXES)[number];

export type BoxState = "starting" | "ready" | "waiting" | "frozen" | "down" | "done" | "external" | "absent";

export type SystemState =
  | "starting"
  | "no champion"
  | "degraded"
  | "drift suspected"
  | "decayed"
  | "retraining"
  | "recording";

export interface Figure {
  name: string;
  value: number | null;
  unit: string;
}

export interface Box {
  name: string;
  state: BoxState;
  /** Of several processes the one in the worst state, which actions are about. */
  process: string;
  reason: string | null;
  pid: number | null;
  restarts: number;
  address: string;
  figures: Figure[];
  /** Actions that the console may take now. */
  actions: string[];
  /** What to type for each action. */
  commands: Record<string, string>;
}

export interface Traffic {
  transactions_per_second: number;
  by_model_per_second: number;
  by_rules_per_second: number;
  waiting: number;
  p50_ms: number | null;
  p99_ms: number | null;
}

export interface Totals {
  transactions: number;
  decisions: number;
  degraded: number;
  dead_letters: number;
  approved: number;
  challenged: number;
  declined: number;
}

export interface Money {
  currency: string;
  known_frauds: number;
  known_minor: number;
  stopped_frauds: number;
  stopped_minor: number;
  alerts: number;
}

export interface ModelFigures {
  champion_version: string | null;
  serving_version: string | null;
  drift_state: string | null;
  average_precision: number | null;
  baseline_average_precision: number | null;
  label_coverage: number | null;
}

export interface Lane {
  partition: number;
  log_end: number;
  committed: number;
  applied: number | null;
  /** Records that the worker has folded again since its start. */
  refolded: number | null;
}

/** Holding the worker before a step of the commit order. */
export interface StepFrame {
  is_possible: boolean;
  asked: string | null;
  held: string | null;
  pid: number | null;
}

export interface LiveFrame {
  type: "live";
  at_ms: number;
  day: string | null;
  states: SystemState[];
  boxes: Box[];
  traffic: Traffic;
  totals: Totals;
  money: Money;
  model: ModelFigures;
  lanes: Lane[];
  step: StepFrame;
}

/** The traffic at a moment of the last minutes, for the charts of a page that has just been opened. */
export interface MomentFrame {
  type: "moment";
  at_ms: number;
  traffic: Traffic;
}

export interface EventFrame {
  type: "event";
  number: number;
  at_ms: number;
  kind: string;
  day: string | null;
  text: string;
  details: string[];
}

export interface LabelCoverage {
  known_fraud: number;
  known_genuine: number;
  presumed_genuine: number;
  censored: number;
  immature: number;
}

export interface Signal {
  name: string;
  severity: string;
  since: string;
  sentence: string;
}

/** The fields of cardwatch.progress.DayMonitored that the page uses. */
export interface DayMonitored {
  day: string;
  champion_version: string;
  average_precision: number | null;
  baseline_average_precision: number | null;
  matured_frauds: number;
  drifted_features: string[];
  drift_share: number;
  state: string;
  label_coverage: LabelCoverage | null;
  estimated_average_precision: number | null;
  signals: Signal[];
  missed_frauds: number;
  matured_decisions: number;
  baseline_missed_per_10000: number | null;
}

export interface DayFrame {
  type: "day";
  monitored: DayMonitored;
}

export interface DecisionLine {
  partition: number;
  offset: number;
  transaction_id: string;
  card_id: string;
  occurred_at: string;
  amount_minor: number;
  currency: string;
  channel: string;
  action: string;
  probability: number | null;
  degraded: boolean;
  latency_ms: number;
  reasons: string[];
}

export interface DecisionsFrame {
  type: "decisions";
  lines: DecisionLine[];
  skipped: number;
}

export type Frame = LiveFrame | MomentFrame | EventFrame | DayFrame | DecisionsFrame;
