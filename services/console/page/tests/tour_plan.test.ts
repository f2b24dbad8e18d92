import assert from "node:assert/strict";
import { test } from "node:test";
import { clock, dueAt, paceOf, slotsOf } from "../src/tour/plan.ts";

const STOPS = [
  { id: "a", minutes: 2 },
  { id: "b", minutes: 3 },
  { id: "c", minutes: 1 },
];

test("stops follow each other from the start of the talk", () => {
  assert.deepEqual(slotsOf(STOPS), [
    { begin: 0, end: 120 },
    { begin: 120, end: 300 },
    { begin: 300, end: 360 },
  ]);
});

test("a stop is due from its begin to its end, and the last one from then on", () => {
  const slots = slotsOf(STOPS);
  assert.deepEqual(
    [0, 119.9, 120, 299, 300, 360, 2_700].map((elapsed) => dueAt(elapsed, slots)),
    [0, 0, 1, 1, 2, 2, 2],
  );
});

test("a talk is early before a stop's begin, late after its end, and on time between", () => {
  const slot = { begin: 120, end: 300 };
  assert.deepEqual(paceOf(90, slot), { kind: "early", seconds: 30 });
  assert.deepEqual(paceOf(120, slot), { kind: "on time" });
  assert.deepEqual(paceOf(300, slot), { kind: "on time" });
  assert.deepEqual(paceOf(365, slot), { kind: "late", seconds: 65 });
});

test("a clock shows minutes and two digits of seconds", () => {
  assert.deepEqual([0, 59.99, 60, 425, 2_700].map(clock), ["0:00", "0:59", "1:00", "7:05", "45:00"]);
});
