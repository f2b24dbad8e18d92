/** The tour in Chromium, on the tour that the page was built with: `cardwatch tour` writes it. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { BOXES } from "../src/frames.ts";
import type { Tour } from "../src/tour/data.ts";
import { violations } from "./axe.ts";
import { narrow, open } from "./browser.ts";

const FILE = new URL("../src/generated/tour.json", import.meta.url);
assert.ok(existsSync(FILE), "the page has no tour: run `cardwatch tour --json-only`, and build the page again");
const TOUR = JSON.parse(readFileSync(FILE, "utf8")) as Tour;
const [FIRST, SECOND] = TOUR.stops as [Tour["stops"][0], Tour["stops"][0]];

const titles = TOUR.stops.map(({ title }, at) => `${at + 1}. ${title}`);
/** Wait until a stop is open, by its place in the tour. */
const reach = (page: Page, at: number) => page.locator("#stop-title").getByText(titles.at(at)!, { exact: true }).waitFor();
const timer = (page: Page) => page.getByRole("timer").textContent();

test("a tour has 12 to 14 stops, and all their boxes are boxes of the diagram", () => {
  assert.ok(TOUR.stops.length >= 12 && TOUR.stops.length <= 14);
  assert.deepEqual(
    TOUR.stops.flatMap(({ boxes }) => boxes).filter((box) => !BOXES.includes(box)),
    [],
  );
});

test("arrow keys walk through all stops, and stay at either end", async () => {
  const page = await open("#/tour");
  await reach(page, 0);
  await page.keyboard.press("ArrowLeft");
  for (let at = 1; at < TOUR.stops.length; at++) {
    await page.keyboard.press("ArrowRight");
    await reach(page, at);
    assert.equal(new URL(page.url()).hash, `#/tour/${TOUR.stops[at]!.id}`);
    await page.waitForFunction(() => document.activeElement?.id === "stop-title");
  }
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowLeft");
  await reach(page, -2);
});

test("a stop has its notes, what to draw, and the question that an interviewer asks", async () => {
  const page = await open(`#/tour/${SECOND.id}`);
  for (const text of [...SECOND.notes, ...SECOND.draw, SECOND.questions[0]!.ask])
    await page.getByText(text.split("`")[0]!).first().waitFor();
});

test("the answer is hidden until Enter shows it with its figures and their source, and hidden again at the next stop", async () => {
  const at = TOUR.stops.findIndex(({ questions }) => questions[0]!.figures.length > 0);
  const stop = TOUR.stops[at]!;
  const page = await open(`#/tour/${stop.id}`);
  const answer = page.locator(`#answer-${stop.questions[0]!.number}`);
  assert.ok(!(await answer.isVisible()));
  await page.keyboard.press("Enter");
  await answer.getByText(stop.questions[0]!.figures[0]!.source).first().waitFor();
  assert.ok((await answer.innerText()).includes(stop.questions[0]!.answer.split("`")[0]!));
  await page.keyboard.press("Enter");
  await answer.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Show a strong answer" }).first().click();
  await answer.waitFor();
  await page.getByRole("button", { name: "Next" }).click();
  await page.waitForURL(`**/#/tour/${TOUR.stops[at + 1]!.id}`);
  assert.equal(await page.getByRole("button", { name: "Hide the answer" }).count(), 0);
});

test("Enter on a link follows the link, and shows no answer", async () => {
  const page = await open(`#/tour/${FIRST.id}`);
  await page.getByRole("navigation", { name: "Stops" }).getByRole("link").nth(2).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/#/tour/${TOUR.stops[2]!.id}`);
  assert.equal(await page.getByRole("button", { name: "Hide the answer" }).count(), 0);
});

test("the clock starts, pauses, goes on over a reload, and is reset", async () => {
  const page = await open("#/tour");
  assert.equal(await timer(page), "0:00");
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText("0:01", { exact: true }).waitFor();
  await page.reload();
  await page.getByText("0:03", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Pause" }).click();
  const paused = await timer(page);
  await page.waitForTimeout(1_200);
  assert.equal(await timer(page), paused);
  await page.reload();
  assert.equal(await timer(page), paused);
  await page.getByRole("button", { name: "Reset" }).click();
  assert.equal(await timer(page), "0:00");
});

test("the clock tells which stop is due, and how late or early the open one is", async () => {
  const page = await open(`#/tour/${FIRST.id}`);
  const secondsIntoSecond = FIRST.minutes * 60 + 30;
  await setClock(page, secondsIntoSecond);
  await page.getByText("0:30 late at this stop").waitFor();
  await page.getByRole("link", { name: `By now: 2. ${SECOND.title}` }).click();
  await page.getByText(`On time: ${SECOND.minutes - 1}:30 left for this stop`).waitFor();
  await page.keyboard.press("ArrowRight");
  await page.getByText(`${SECOND.minutes - 1}:30 early at this stop`).waitFor();
  await setClock(page, TOUR.talk_minutes * 60);
  await page.getByText("The time is up.").waitFor();
  assert.deepEqual(await violations(page), []);
});

test("a score counts staff only when all of senior was said, and survives a reload", async () => {
  const page = await open(`#/tour/${FIRST.id}`);
  const score = page.getByRole("region", { name: "Your score" });
  for (const line of FIRST.rubric.staff) await page.getByLabel(line).check();
  await score.getByText(`Senior at 0 of ${TOUR.stops.length} stops, staff at 0.`).waitFor();
  for (const line of FIRST.rubric.senior) await page.getByLabel(line).press("Space");
  await score.getByText(`Senior at 1 of ${TOUR.stops.length} stops, staff at 1.`).waitFor();
  await page.getByLabel(FIRST.rubric.staff[0]!).uncheck();
  await page.reload();
  await score.getByText(`Senior at 1 of ${TOUR.stops.length} stops, staff at 0.`).waitFor();
  await page.getByText("Level at this stop: senior").waitFor();
  await score.getByRole("button", { name: "Clear the scores" }).click();
  assert.equal(await page.locator(".rubric :checked").count(), 0);
});

test("a stop leads to its boxes in the view Live, and the browser leads back", async () => {
  const stop = TOUR.stops.find(({ boxes }) => boxes.includes("kafka"))!;
  const page = await open(`#/tour/${stop.id}`);
  await page.getByRole("link", { name: "Kafka", exact: true }).click();
  await page.getByRole("complementary", { name: "Kafka" }).waitFor();
  await page.goBack();
  await page.waitForURL(`**/#/tour/${stop.id}`);
  await page.locator("#stop-title").waitFor();
});

test("the texts are asked for when the tour is opened, once, and again if there was no answer", async () => {
  const asked: string[] = [];
  const page = await open("#/live");
  page.on("request", (request) => new URL(request.url()).pathname === "/api/tour" && asked.push(request.url()));
  await page.route("**/api/tour", (route) => route.fulfill({ status: 503, json: { error: "It is being stopped." } }));
  await page.getByRole("link", { name: "Tour" }).click();
  await page.getByText("The tour cannot be read: It is being stopped.").waitFor();
  await page.unroute("**/api/tour");
  for (const _ of [1, 2]) {
    await page.getByRole("link", { name: "Live" }).click();
    await page.getByRole("heading", { name: "The system" }).waitFor();
    await page.getByRole("link", { name: "Tour" }).click();
    await reach(page, 0);
  }
  assert.equal(asked.length, 2);
});

test("a page that was built without the tour says how to get it", async () => {
  const page = await open("#/live");
  await page.route("**/api/tour", (route) => route.fulfill({ status: 404, json: { error: "There is none." } }));
  await page.getByRole("link", { name: "Tour" }).click();
  await page.getByText("This page was built without the tour.").waitFor();
});

for (const colorScheme of ["light", "dark"] as const) {
  for (const [size, options] of Object.entries({ wide: {}, narrow })) {
    test(`with everything unfolded axe finds nothing at any stop, and no stop scrolls sideways, ${size}, ${colorScheme}`, async () => {
      const page = await open("#/tour", { ...options, colorScheme });
      for (const { id } of TOUR.stops) {
        await page.goto(page.url().replace(/#.*/, `#/tour/${id}`));
        await reach(page, TOUR.stops.findIndex((stop) => stop.id === id));
        await page.evaluate(() => document.querySelectorAll("details").forEach((each) => (each.open = true)));
        await page.getByRole("button", { name: "Show a strong answer" }).first().click();
        assert.deepEqual(await violations(page), [], id);
        const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(excess <= 0, `${id} is ${excess} px too wide`);
        assert.ok(await page.locator("#view").evaluate((view) => view.scrollWidth <= view.clientWidth), id);
      }
    });
  }
}

/** Let the stopped clock stand at a time. */
async function setClock(page: Page, seconds: number): Promise<void> {
  await page.evaluate(
    (before) => localStorage.setItem("cardwatch-tour-timer", JSON.stringify({ before, since: null })),
    seconds * 1_000,
  );
  await page.reload();
}
