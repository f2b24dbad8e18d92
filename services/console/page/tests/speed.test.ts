/** How fast the page is: its first paint, and its longest task while much is decided. Another program may hold a core. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, open, server } from "./browser.ts";

const VIEWS = ["#/live", "#/order", "#/decisions", "#/send", "#/faults", "#/tour"];
const RUNS = 5;
const MAX_PAINT_MS = 1_000;
const MAX_TASK_MS = 50;

test("the first paint comes within a second of the request, with the diagram soon after", async (context) => {
  const runs: { paint: number; diagram: number }[] = [];
  for (let run = 0; run < RUNS; run++) {
    const page = await open("#/live");
    await page.getByRole("button", { name: /^Scoring service/ }).waitFor();
    const diagram = await page.evaluate(() => performance.now());
    const paint = await page.evaluate(
      () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Infinity,
    );
    runs.push({ paint, diagram });
    await page.close();
  }
  const best = (name: "paint" | "diagram") => Math.min(...runs.map((run) => run[name]));
  context.diagnostic(`first paint ${best("paint").toFixed(0)} ms, diagram ${best("diagram").toFixed(0)} ms, best of ${RUNS}`);
  assert.ok(best("paint") > 0 && best("paint") <= MAX_PAINT_MS, JSON.stringify(runs));
});

test("with a thousand decisions a second no task of the page takes more than 50 ms of processor time", async (context) => {
  server.system.perSecond = 1_000;
  server.system.listed = 250;
  for (const address of VIEWS) {
    const page = await open(address, { reducedMotion: "no-preference" });
    await page.waitForTimeout(2_500);
    await browser.startTracing(page, { categories: ["toplevel", "disabled-by-default-devtools.timeline"] });
    await page.waitForTimeout(3_000);
    const longest = longestTask(await browser.stopTracing());
    context.diagnostic(`${address}: ${longest.toFixed(1)} ms`);
    assert.ok(longest > 0 && longest <= MAX_TASK_MS, `${address}: ${longest} ms`);
    await page.close();
  }
});

test("with a thousand decisions a second the browser reports no long task", async (context) => {
  server.system.perSecond = 1_000;
  for (const address of VIEWS) {
    const runs: number[] = [];
    while (runs.length < RUNS && runs.at(-1) !== 0) runs.push(await longestReported(address));
    context.diagnostic(`${address}: ${runs.map((ms) => ms.toFixed(0)).join(", ")} ms`);
    assert.equal(Math.min(...runs), 0, `${address}: ${runs.join(", ")} ms`);
  }
});

/** The longest task above 50 ms that the browser's own observer reports in three seconds, by the clock; 0 for none. */
async function longestReported(address: string): Promise<number> {
  const page = await open(address, { reducedMotion: "no-preference" });
  await page.waitForTimeout(2_500);
  const longest = await page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        let longest = 0;
        const observer = new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
        });
        observer.observe({ type: "longtask" });
        setTimeout(() => {
          for (const { duration } of observer.takeRecords()) longest = Math.max(longest, duration);
          resolve(longest);
        }, 3_000);
      }),
  );
  await page.close();
  return longest;
}

interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  /** Processor time of the thread in microseconds. */
  tdur?: number;
  args?: { name?: string };
}

/** The longest task of a page's main thread in ms of its processor time, which other programs do not lengthen. */
function longestTask(trace: Buffer): number {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  const threadOf = ({ pid, tid }: TraceEvent) => `${pid} ${tid}`;
  const main = new Set(
    traceEvents.filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain").map(threadOf),
  );
  const tasks = traceEvents.filter((event) => event.name.endsWith("RunTask") && main.has(threadOf(event)));
  return Math.max(0, ...tasks.map(({ tdur = 0 }) => tdur / 1_000));
}
