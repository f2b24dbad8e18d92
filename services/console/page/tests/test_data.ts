/**
 * Test data: frames and answers as the service would send them. They are made up, and no number here was measured.
 *
 * `TestSystem` plays a small system: `step()` moves it on by a quarter of a second and gives the frames of this time.
 */

import type {
  Box,
  BoxName,
  BoxState,
  DayFrame,
  DecisionLine,
  EventFrame,
  Frame,
  LiveFrame,
  StepFrame,
  SystemState,
} from "../src/frames.ts";
import { BOXES } from "../src/frames.ts";
import type { DecisionDetails } from "../src/decision_record.ts";

export const SCRIPT = "<script>alert(1)</script>";

const STEP_SECONDS = 0.25;
const FIRST_DAY = Date.UTC(2025, 1, 20);
const DAY_MS = 86_400_000;

export class TestSystem {
  perSecond = 300;
  /** Decisions that a frame lists, at most. */
  listed = 12;
  states: SystemState[] = [];
  isScoringDown = false;
  away: Partial<Record<BoxName, BoxState>> = {};
  /** As in the compose file, where no process may be stopped from inside. */
  inContainers = false;
  /** Nothing has happened yet. */
  empty = false;
  private atMs: number;
  private waiting = 4;
  private total = 1_834_211;
  refolded = 0;
  step_frame: StepFrame = { is_possible: true, asked: null, held: null, pid: null };
  private readonly lanes = [0, 1, 2, 3].map((partition) => ({
    partition,
    end: 458_000 + 731 * partition,
    committed: 458_000 + 731 * partition,
    applied: 0,
  }));
  private random = randomNumbers(7);

  constructor(atMs: number) {
    this.atMs = atMs;
    for (const lane of this.lanes) lane.applied = lane.committed;
  }

  /** Everything that a page gets first: the past. */
  past(): Frame[] {
    if (this.empty) return [this.live()];
    const frames: Frame[] = [...days(), ...events(this.atMs)];
    for (let second = 300; second > 0; second--) {
      this.waiting = second > 34 && second < 41 ? 600 : Math.round(3 + 12 * this.random() ** 3);
      const live = this.live();
      frames.push({ ...live, at_ms: this.atMs - 1000 * second });
    }
    return frames;
  }

  step(): Frame[] {
    this.atMs += 1000 * STEP_SECONDS;
    const isStopped = this.away.stream !== undefined || this.away.kafka !== undefined;
    const arrived = Math.round(this.perSecond * STEP_SECONDS);
    this.waiting = isStopped ? this.waiting + arrived : Math.max(2, Math.round(this.waiting * 0.3 + 6 * this.random()));
    for (const lane of this.lanes) {
      lane.end += Math.round(arrived / this.lanes.length);
      if (!isStopped)
        [lane.applied, lane.committed] = [lane.committed - 3 * lane.partition, lane.end - Math.round(this.waiting / 4)];
    }
    if (!isStopped) this.total += arrived;
    const live = this.live();
    return isStopped || this.empty
      ? [live]
      : [
          live,
          {
            type: "decisions",
            lines: this.lines(Math.min(this.listed, arrived)),
            skipped: Math.max(0, arrived - this.listed),
          },
        ];
  }

  private live(): LiveFrame {
    const noise = 0.95 + 0.1 * this.random();
    const isStopped = this.away.stream !== undefined || this.away.kafka !== undefined || this.empty;
    const decided = isStopped ? 0 : this.perSecond * noise;
    const byRules = this.isScoringDown ? decided : 0;
    return {
      type: "live",
      at_ms: this.atMs,
      day: this.empty ? null : "2025-04-06",
      states: this.states,
      boxes: BOXES.map((name) => this.box(name)),
      traffic: {
        transactions_per_second: this.empty ? 0 : this.perSecond * noise,
        by_model_per_second: decided - byRules,
        by_rules_per_second: byRules,
        waiting: this.empty ? 0 : this.waiting,
        p50_ms: isStopped ? null : 14 + 2 * this.random(),
        p99_ms: isStopped ? null : 41 + 12 * this.random(),
      },
      totals: {
        transactions: this.empty ? 0 : this.total + this.waiting,
        decisions: this.empty ? 0 : this.total,
        degraded: this.empty ? 0 : 2_204,
        dead_letters: this.empty ? 0 : 3,
        approved: this.empty ? 0 : this.total - 9_120,
        challenged: this.empty ? 0 : 5_310,
        declined: this.empty ? 0 : 3_810,
      },
      money: this.empty
        ? { currency: "EUR", known_frauds: 0, known_minor: 0, stopped_frauds: 0, stopped_minor: 0, alerts: 0 }
        : {
            currency: "EUR",
            known_frauds: 4_126,
            known_minor: 61_843_200,
            stopped_frauds: 3_214.6,
            stopped_minor: 51_920_400,
            alerts: 9_120,
          },
      model: this.empty
        ? {
            champion_version: null,
            serving_version: null,
            drift_state: null,
            average_precision: null,
            baseline_average_precision: null,
            label_coverage: null,
          }
        : {
            champion_version: "2",
            serving_version: "2",
            drift_state: "stable",
            average_precision: 0.861,
            baseline_average_precision: 0.872,
            label_coverage: 0.94,
          },
      lanes: this.empty
        ? []
        : this.lanes.map(({ partition, end, committed, applied }) => ({
            partition,
            log_end: end,
            committed,
            applied,
            refolded: this.refolded,
          })),
      step: this.step_frame,
    };
  }

  private box(name: BoxName): Box {
    const state = this.away[name] ?? (this.empty ? "starting" : name === "store" ? "external" : "ready");
    const noise = this.random();
    const figures: Record<BoxName, [string, number, string][]> = {
      generator: [
        ["sent", this.perSecond * (0.95 + 0.1 * noise), "/s"],
        ["labels", 0.9, "/s"],
      ],
      kafka: [
        ["log end", this.total, ""],
        ["waiting", this.waiting, ""],
        ["dead letters", 3, ""],
      ],
      stream: [
        ["fold", 0.2, "ms"],
        ["score", 1.2, "ms"],
        ["commit", 4.1 + noise, "ms"],
      ],
      store: [
        ["cards", 2_048, ""],
        ["behind the log", 0, ""],
      ],
      scoring: [
        ["requests", 66 + 4 * noise, "/s"],
        ["p99", 3.6, "ms"],
      ],
      archive: [
        ["closed days", 46, ""],
        ["rows behind", 812, ""],
      ],
      monitor: [["drifted features", 2, ""]],
      pipelines: [["runs", 2, ""]],
      mlflow: [["versions", 2, ""]],
    };
    const pid = name === "store" || state === "down" || this.inContainers ? null : 4_100 + BOXES.indexOf(name);
    return {
      name,
      state,
      process: name === "store" ? "" : name,
      reason: state === "down" ? "it does not answer" : state === "waiting" ? "waits for Kafka" : null,
      pid,
      restarts: name === "scoring" ? 1 : 0,
      address: name === "store" ? "" : `127.0.0.1:${9_000 + BOXES.indexOf(name)}`,
      figures: this.empty ? [] : figures[name].map(([figure, value, unit]) => ({ name: figure, value, unit })),
      actions: pid === null ? [] : state === "frozen" ? ["kill", "resume"] : ["kill", "freeze"],
      commands: this.commands(name, pid),
    };
  }

  private commands(name: BoxName, pid: number | null): Record<string, string> {
    if (this.inContainers) return { kill: `docker compose kill ${name}`, freeze: `docker compose pause ${name}` };
    if (pid === null) return {};
    return {
      kill: `cardwatch fault on kill-${name}`,
      freeze: `cardwatch fault on freeze-${name} --for 600`,
      resume: `cardwatch fault off freeze-${name}`,
    };
  }

  private lines(count: number): DecisionLine[] {
    return Array.from({ length: count }, (_, index) => {
      const lane = this.lanes[index % this.lanes.length]!;
      const draw = this.random();
      const action = draw < 0.82 ? "approve" : draw < 0.92 ? "challenge" : "decline";
      const probability = action === "approve" ? 0.02 * this.random() ** 3 : 0.3 + 0.69 * this.random();
      return {
        partition: lane.partition,
        offset: lane.committed - count + index,
        transaction_id: `T-${String(this.total + index).padStart(9, "0")}`,
        card_id: index === 5 ? SCRIPT : `c-${String(Math.floor(2_048 * this.random())).padStart(5, "0")}`,
        occurred_at: new Date(Date.UTC(2025, 3, 6, 9) + (this.atMs % 3_600_000)).toISOString(),
        amount_minor: Math.round(400 + 30_000 * this.random() ** 3),
        currency: "EUR",
        channel: ["chip", "contactless", "ecommerce", "atm", "recurring"][Math.floor(5 * this.random())]!,
        action: this.isScoringDown && action === "decline" ? "challenge" : action,
        probability: this.isScoringDown ? null : probability,
        degraded: this.isScoringDown,
        latency_ms: 9 + 12 * this.random(),
        reasons:
          action === "approve"
            ? []
            : ["HIGH_AMOUNT", "NEW_DEVICE", "NEW_MERCHANT"].slice(0, 1 + Math.floor(3 * this.random())),
      };
    });
  }
}

function days(): DayFrame[] {
  const random = randomNumbers(3);
  return Array.from({ length: 40 }, (_, index) => {
    const isBroken = index > 16 && index < 32;
    const precision = isBroken ? Math.max(0.27, 0.78 - 0.09 * (index - 16)) : index < 17 ? 0.76 : 0.86;
    return {
      type: "day",
      monitored: {
        day: new Date(FIRST_DAY + index * DAY_MS).toISOString().slice(0, 10),
        champion_version: index < 32 ? "1" : "2",
        average_precision: index < 4 ? null : precision + 0.05 * (random() - 0.5),
        baseline_average_precision: index < 4 ? null : index < 32 ? 0.77 : 0.87,
        matured_frauds: 80,
        drifted_features: [],
        drift_share: 0.02,
        state: isBroken ? "decayed" : "stable",
        label_coverage: null,
        estimated_average_precision: null,
        signals: [],
        missed_frauds: Math.round(index < 4 ? 0 : isBroken ? 20 + 3 * (index - 16) : 14 + 4 * random()),
        matured_decisions: index < 4 ? 0 : 28_000,
        baseline_missed_per_10000: index < 4 ? null : 5.2,
      },
    };
  });
}

function events(atMs: number): EventFrame[] {
  const told: [string, number, string, string[], number][] = [
    ["champion", 0, "The first champion was trained on history and registered as version 1.", [], 290],
    [
      "change",
      14,
      "The population changes: a fraud ring starts relay attacks, and cardholders change their habits.",
      [],
      240,
    ],
    [
      "drift",
      22,
      "Model 1 has decayed.",
      [
        "Average precision fell from 0.77 to 0.41 on 64 matured frauds.",
        "Missed frauds rose from 5.2 to 11.4 per 10,000 decisions.",
      ],
      180,
    ],
    ["retraining", 30, "Training of a challenger has started on the data known at the end of the day.", [], 120],
    [
      "verdict",
      31,
      "Challenger 2 was promoted: it certainly saves more than 5 % of the champion’s cost.",
      ["It costs 41 % less on seven judged days.", "No slice is harmed."],
      100,
    ],
    ["swap", 31, "The scoring service decides with model 2.", [], 96],
    ["process", 38, "The scoring service was killed from the console; it answered again after 4 s.", [], 40],
  ];
  return told.map(([kind, day, text, details, secondsAgo], number) => ({
    type: "event",
    number,
    at_ms: atMs - 1000 * secondsAgo,
    kind,
    day: new Date(FIRST_DAY + day * DAY_MS).toISOString().slice(0, 10),
    text,
    details,
  }));
}

/** The details of a decision; the contributions add up to the margin. */
export function decisionDetails(partition: number, offset: number): DecisionDetails {
  const random = randomNumbers(offset);
  const names = [
    "amount_to_mean_30d",
    "device_is_new_to_card",
    "merchant_fraud_share_30d",
    "payments_1h",
    "distance_km_to_last",
    "hour_is_rare",
    "country_is_new",
    "declines_7d",
    "remote_share_24h",
    "zeros_at_end",
    "device_fraud_30d",
  ];
  const contributions = Array.from({ length: 80 }, (_, index) => ({
    feature: names[index] ?? `feature_${String(index).padStart(2, "0")}`,
    meaning: "What this feature means, in a sentence.",
    value: index % 9 === 8 ? null : Math.round(1000 * random()) / 100,
    contribution: index < names.length ? (index % 3 === 2 ? -1 : 1) * (2.4 / (index + 1)) : 0.02 * (random() - 0.5),
    reason: index === 0 ? "HIGH_AMOUNT" : null,
  }));
  const expected = -5.6;
  const margin = expected + contributions.reduce((sum, { contribution }) => sum + contribution, 0);
  const features = Object.fromEntries(contributions.map(({ feature, value }) => [feature, value]));
  return {
    features,
    costs: { approve: 2_010, challenge: 297, decline: null },
    decision: {
      transaction: {
        transaction_id: `T-${offset}`,
        card_id: SCRIPT,
        merchant_id: SCRIPT,
        occurred_at: "2025-04-06T09:12:44Z",
        amount_minor: 48_790,
        currency: "EUR",
        merchant_category: "5732",
        channel: "ecommerce",
        country: "DE",
        device_id: "d-0193",
      },
      partition,
      offset,
      sequence: 214,
      feature_schema: "4f0c2a9e71d3b8aa5520",
      table_id: "2025-04-06-93be01c7",
      model_version: "2",
      model_digest: "9f8e7d6c5b4a39281706f5e4d3c2b1a0",
      policy_version: "policy-1c2d3e4f",
      margin,
      probability: 0.0412,
      action: "challenge",
      reasons: ["HIGH_AMOUNT", "NEW_DEVICE"],
      shadow_version: "3",
      shadow_probability: 0.0377,
      decided_at: "2025-04-06T09:12:44.018Z",
      latency_ms: 14.2,
    },
    explanation: {
      model_version: "2",
      expected_margin: expected,
      margin,
      contributions,
      reasons: [
        { code: "HIGH_AMOUNT", text: "The amount is unusually high for this card." },
        { code: "NEW_DEVICE", text: "The device is new to this card." },
      ],
    },
    card_history: [1, 2, 3, 4].map((day) => ({
      occurred_at: `2025-04-0${day}T17:20:00Z`,
      amount_minor: 1_250 * day,
      currency: "EUR",
      channel: "contactless",
      action: "approve",
    })),
  };
}

export const BOX_DETAILS = {
  log_command: "cardwatch logs scoring",
  log: ["2025-04-06 09:12:43 INFO ready", `2025-04-06 09:12:44 INFO transactions[2] 17 of card ${SCRIPT}: challenge`],
  metrics: [
    ["cardwatch_decisions_total", 1_834_211],
    ["cardwatch_degraded_total", 2_204],
  ],
};

/** Numbers in 0..1 that are the same in every run. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
