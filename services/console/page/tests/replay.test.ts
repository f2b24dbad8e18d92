/** A replay file in Chromium, opened from the disk: nothing is requested, and any moment can be shown. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import type { EventFrame } from "../src/frames.ts";
import { testRecording, writeReplay } from "./replay_file.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser: Browser;
let folder: string;
let address: string;
let faults: string[];

before(async () => {
  browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium" });
  folder = mkdtempSync(join(tmpdir(), "replay-"));
  address = writeReplay(join(folder, "replay.html"));
});

after(async () => {
  await browser.close();
  rmSync(folder, { recursive: true });
});

beforeEach(() => {
  faults = [];
});

afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  assert.deepEqual(faults, []);
});

async function open(view = "#/live", options: BrowserContextOptions = {}, file = address): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => request.url().startsWith(file) || request.url().startsWith("data:") || faults.push(request.url()));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await page.goto(file + view);
  return page;
}

const scrubber = (page: Page) => page.getByRole("slider", { name: "Position in the recording" });
const position = (page: Page) => scrubber(page).evaluate((input: HTMLInputElement) => Number(input.value) / 1_000);

async function seek(page: Page, seconds: number): Promise<void> {
  await scrubber(page).fill(String(1_000 * seconds));
}

test("a replay opens from the disk without a request, and says what it is", async () => {
  const page = await open();
  await page.getByText("0:00 of 2:00").waitFor();
  await page.getByText("replay", { exact: true }).waitFor();
  assert.equal(await page.title(), "Cardwatch demo, seed 7");
});

test("the scrubber shows any moment, forwards and backwards", async () => {
  const page = await open();
  const timeline = page.getByRole("region", { name: "Timeline" });
  await seek(page, 100);
  await timeline.getByText("v2 decides its first transaction").waitFor();
  await seek(page, 70);
  await timeline.getByText("v2 decides its first transaction").waitFor({ state: "detached" });
  await timeline.getByText(/the population changes/).waitFor();
  await page.evaluate(() => (location.hash = "#/decisions"));
  await page.getByText(/\b71\b/).first().waitFor();
});

test("a chapter leads to its moment", async () => {
  const page = await open();
  await page.getByRole("list", { name: "Chapters" }).getByRole("button", { name: /Model swap/ }).click();
  assert.equal(await position(page), 90);
});

test("it plays at the chosen speed to the end, and again from the beginning", async () => {
  const page = await open();
  await page.getByLabel("Speed").selectOption("60");
  await page.getByRole("button", { name: "Play" }).click();
  await page.getByRole("button", { name: "Play again" }).waitFor();
  assert.equal(await position(page), 120);
  await page.getByRole("button", { name: "Play again" }).click();
  await page.getByRole("button", { name: "Pause" }).click();
  assert.ok((await position(page)) < 120);
});

test("with reduced motion nothing plays by itself, else it does", async () => {
  const still = await open();
  await still.getByText("0:00 of 2:00").waitFor();
  const moving = await open("#/live", { reducedMotion: "no-preference" });
  await moving.getByText(/^(?!0:00).* of 2:00$/).waitFor(); // on a busy machine the clock skips seconds
  assert.equal(await position(still), 0);
});

test("a recorded decision is explained, and its parts add up to the margin", async () => {
  const page = await open("#/decisions/0/5");
  await seek(page, 30);
  const panel = page.getByRole("complementary");
  await panel.getByText("all other features").waitFor();
  await panel.getByText("The amount is unusual for this card.").waitFor();
  await panel.getByText("amount = 250").waitFor();
  await panel.getByText("v1, abcdef").waitFor();
});

test("a decision that was not recorded says so", async () => {
  const page = await open("#/decisions/3/5");
  await page.getByText("The recording does not have this decision").waitFor();
});

test("no process of a recording can be touched", async () => {
  const page = await open("#/live/scoring");
  await page.getByText("This is a recording: there is no process to act on.").waitFor();
  assert.equal(await page.getByRole("button", { name: /^Kill/ }).count(), 0);
});

test("the result is the table of the summary", async () => {
  const page = await open("#/result");
  const { result } = testRecording();
  const cells = await page.locator("main table tbody tr").evaluateAll((rows) =>
    rows.map((row) => [...row.children].map((cell) => cell.textContent)),
  );
  assert.deepEqual(cells, result.rows.map(([name, values]) => [name, ...values]));
  await page.getByText("35,819 EUR").waitFor();
});

test("the timeline is in the order of time, whatever is learned first", async () => {
  const recording = testRecording();
  const later = recording.frames.find((frame) => frame.type === "event" && frame.number === 1) as EventFrame;
  const swap = recording.frames.indexOf(later);
  recording.frames.splice(swap, 1, later, { ...later, number: 2, at_ms: later.at_ms - 1_000, text: "v2 is the new champion" });
  const page = await open("#/live", {}, writeReplay(join(folder, "order.html"), recording));
  await page.getByText("0:00 of 2:00").waitFor();
  await seek(page, 100);
  const texts = page.getByRole("list", { name: "Events, newest first" }).locator("li p:first-child");
  await texts.nth(2).waitFor();
  assert.deepEqual((await texts.allTextContents()).slice(0, 2), ["v2 decides its first transaction", "v2 is the new champion"]);
});

test("the tour is in the file, and walks through its stops", async () => {
  const page = await open("#/tour");
  await page.locator("#stop-title").getByText(/^1\. /).waitFor();
  await page.getByRole("button", { name: "Next" }).click();
  await page.locator("#stop-title").getByText(/^2\. /).waitFor();
});

test("the estimator needs no system: it computes in the file", async () => {
  const page = await open("#/estimator/tps=40000");
  const workers = page.locator('[data-step="workers"] .step-result b');
  const before = Number(await workers.textContent());
  await page.getByLabel("transactions per second").fill("4M");
  await page.waitForFunction((few) => Number(document.querySelector('[data-step="workers"] .step-result b')!.textContent!.replace(",", "")) > few, before);
});

test("a file of another format says why it is not shown", async () => {
  const file = writeReplay(join(folder, "other.html"), { ...testRecording(), format: 99 });
  const page = await open("#/live", {}, file);
  await page.getByTestId("sentence").getByText("It has format 99, and this page reads format 1.").waitFor();
});

for (const colorScheme of ["light", "dark"] as const) {
  for (const [size, viewport] of Object.entries({ wide: { width: 1440, height: 1000 }, narrow: { width: 400, height: 850 } })) {
    for (const view of ["#/live", "#/decisions/0/5", "#/estimator", "#/result"]) {
      test(`axe finds nothing and nothing scrolls sideways at ${view}, ${size}, ${colorScheme}`, async () => {
        const page = await open("#/live", { colorScheme, viewport });
        await page.getByText("0:00 of 2:00").waitFor();
        await seek(page, 100);
        await page.getByText("1:40 of 2:00").waitFor();
        await page.evaluate((hash) => (location.hash = hash), view);
        if (view.startsWith("#/decisions")) await page.getByText("all other features").waitFor();
        assert.deepEqual(await violations(page), []);
        const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(excess <= 0, `${excess} pixels too wide`);
      });
    }
  }
}

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run: (context: Document) => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
    };
    const found = await axe.run(document);
    return found.violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)}`));
  });
}
