import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { DecisionLine, EventFrame, LiveFrame } from "../src/frames.ts";
import { DECISIONS_KEPT, HISTORY_SECONDS, days, decisions, events, history, live, receive } from "../src/state.ts";
import { stepsOf } from "../src/decisions/waterfall_steps.ts";
import { systemSentence } from "../src/sentence.ts";
import * as format from "../src/format.ts";
import { TestSystem, decisionDetails } from "./test_data.ts";

beforeEach(() => {
  events.value = [];
  decisions.value = [];
  days.value = [];
  history.value = { at: [], model: [], rules: [], p50: [], p99: [], waiting: [] };
});

function liveFrame(atMs: number): LiveFrame {
  return { ...(new TestSystem(atMs).past().findLast((frame) => frame.type === "live") as LiveFrame), at_ms: atMs };
}

function event(number: number, text: string, atMs = 1_000 * number): EventFrame {
  return { type: "event", number, at_ms: atMs, kind: "change", day: null, text, details: [] };
}

function line(offset: number): DecisionLine {
  return {
    partition: 0,
    offset,
    transaction_id: `T-${offset}`,
    card_id: "c-1",
    occurred_at: "2025-01-01T00:00:00Z",
    amount_minor: 100,
    currency: "EUR",
    channel: "chip",
    action: "approve",
    probability: 0.1,
    degraded: false,
    latency_ms: 9,
    reasons: [],
  };
}

test("four frames of one second are one sample, the newest", () => {
  for (const atMs of [5_000, 5_250, 5_500, 5_750, 6_000]) receive(liveFrame(atMs));
  assert.deepEqual(history.value.at, [5, 6]);
  assert.equal(history.value.waiting.at(-1), live.value!.traffic.waiting);
});

test("the history is as long as the charts are wide, whatever arrives", () => {
  const frame = liveFrame(0);
  for (let second = 0; second < HISTORY_SECONDS + 500; second++) receive({ ...frame, at_ms: 1_000 * second });
  assert.equal(history.value.at.length, HISTORY_SECONDS);
  assert.equal(history.value.at.at(-1), HISTORY_SECONDS + 499);
});

test("events that are sent again after a reconnection are not shown twice", () => {
  for (const number of [0, 1, 2, 0, 1, 2]) receive(event(number, `event ${number}`));
  assert.deepEqual(
    events.value.map(({ number }) => number),
    [0, 1, 2],
  );
});

test("events of a service that has started again replace those of the one before", () => {
  for (const number of [0, 1, 2]) receive(event(number, `old ${number}`));
  receive(event(0, "new 0", 77_000));
  assert.deepEqual(
    events.value.map(({ text }) => text),
    ["new 0"],
  );
});

test("decisions are newest first, and the oldest are dropped", () => {
  for (let offset = 0; offset < DECISIONS_KEPT + 300; offset += 100) {
    receive({ type: "decisions", lines: Array.from({ length: 100 }, (_, index) => line(offset + index)), skipped: 0 });
  }
  assert.equal(decisions.value.length, DECISIONS_KEPT);
  assert.equal(decisions.value[0]!.offset, DECISIONS_KEPT + 299);
});

test("a decision that is sent again is listed once", () => {
  receive({ type: "decisions", lines: [line(1), line(2)], skipped: 0 });
  receive({ type: "decisions", lines: [line(2), line(3)], skipped: 0 });
  assert.deepEqual(
    decisions.value.map(({ offset }) => offset),
    [3, 2, 1],
  );
});

test("the steps of a waterfall meet, and lead from the expected margin to the margin", () => {
  const explanation = decisionDetails(2, 17).explanation!;
  const steps = stepsOf(explanation);
  assert.equal(steps[0]!.to, explanation.expected_margin);
  for (let index = 1; index < steps.length - 1; index++) assert.equal(steps[index]!.from, steps[index - 1]!.to);
  assert.ok(Math.abs(steps.at(-2)!.to - explanation.margin) < 1e-9);
});

test("one transaction waits, two wait", () => {
  const frame = liveFrame(0);
  frame.boxes = frame.boxes.map((box) => (box.name === "stream" ? { ...box, state: "frozen" } : box));
  const said = (waiting: number) => systemSentence({ ...frame, states: [], traffic: { ...frame.traffic, waiting } }, null).text;
  assert.match(said(1), /1 transaction waits for a decision\.$/);
  assert.match(said(2), /2 transactions wait for a decision\.$/);
});

test("the sentence names what is away, and the share that the rules decide", () => {
  const frame = liveFrame(0);
  const boxes = frame.boxes.map((box) => (box.name === "scoring" ? { ...box, state: "down" as const } : box));
  const traffic = { ...frame.traffic, by_model_per_second: 30, by_rules_per_second: 90 };
  assert.deepEqual(systemSentence({ ...frame, boxes, traffic, states: ["degraded"] }, null), {
    severity: "critical",
    text: "Degraded: Scoring service is down. The rules decide 75 % of the transactions.",
  });
});

test("an old picture is called old before anything else is said", () => {
  assert.equal(
    systemSentence({ ...liveFrame(0), states: ["degraded"] }, 12).text,
    "Disconnected: everything below is 12 s old. The page reconnects by itself.",
  );
});

test("amounts use the minor units of their currency, and what was not measured is a dash", () => {
  assert.equal(format.money(12_345, "EUR"), "€123.45");
  assert.equal(format.money(12_345, "JPY"), "JP¥12,345");
  assert.equal(format.money(12_345, "??"), "12,345 minor units");
  assert.equal(format.percent(null), "–");
  assert.deepEqual([0, 1, 1_200].map((days) => format.plural(days, "day")), ["0 days", "1 day", "1,200 days"]);
  assert.equal(format.plural(1, "approval was", "approvals were"), "1 approval was");
  assert.equal(format.percent(0.0123), "1.2 %");
  assert.equal(format.probability(0.0001), "< 0.001");
});
