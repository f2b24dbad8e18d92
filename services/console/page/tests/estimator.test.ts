/** The view Estimator in Chromium, with the table that the page was built with. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { estimateOf, type EstimatorTable } from "../src/estimator/table.ts";
import { figureText } from "../src/estimator/figure_text.ts";
import { violations } from "./axe.ts";
import { narrow, open } from "./browser.ts";

const FILE = new URL("../src/generated/tour.json", import.meta.url);
const TABLE = (JSON.parse(readFileSync(FILE, "utf8")) as { estimator: EstimatorTable }).estimator;
const STEPS = TABLE.sections.flatMap(({ steps }) => steps);
const WHITEBOARD = { tps: 40_000, cards_given: 100_000_000, availability: 99.95 };
const ADDRESS = "#/estimator/tps=40000/cards_given=100000000/availability=99.95";

const result = (page: Page, name: string) => page.locator(`[data-step="${name}"] .step-result b`);

test("every step is shown with the figure that its formula gives, and with what it rests on", async () => {
  const page = await open(ADDRESS);
  await result(page, "workers").waitFor();
  await page.getByText("The same on AWS as it is built").click();
  const shown = await page.locator("[data-step]").evaluateAll((rows) =>
    rows.map((row) => [
      row.getAttribute("data-step"),
      row.querySelector(".step-result b")!.textContent,
      row.querySelector(".basis")!.textContent,
    ]),
  );
  const { values, basis } = estimateOf(TABLE, WHITEBOARD);
  assert.deepEqual(
    shown,
    STEPS.map(({ name, unit }) => [name, figureText(values[name]!, unit), basis[name]]),
  );
});

test("a formula is shown in words and with figures", async () => {
  const page = await open(ADDRESS);
  const states = page.locator('[data-step="states"]');
  await states.getByText("cards × bytes of a state").waitFor();
  await states.getByText(/= 100,000,000 × 2\skB/).waitFor();
  await states.getByText(/200\sGB/).waitFor();
});

test("numbers are typed as they are said, count at once, and are in the address", async () => {
  const page = await open("#/estimator");
  await page.getByLabel("transactions per second").fill("40k");
  await page.getByLabel("number of cards").fill("100 million");
  const expected = estimateOf(TABLE, { tps: 40_000, cards_given: 1e8 }).values;
  await result(page, "workers").getByText(String(expected["workers"]), { exact: true }).waitFor();
  assert.equal(new URL(page.url()).hash, "#/estimator/tps%3D40000/cards_given%3D100000000");
  assert.equal(await page.getByLabel("transactions per second").inputValue(), "40k");
  await page.reload();
  assert.equal(await page.getByLabel("number of cards").inputValue(), "100,000,000");
  await page.getByLabel("number of cards").fill("");
  await result(page, "cards").getByText("1,728,000,000").waitFor(); // 40,000 * 86,400 / 2
});

test("an impossible number says what is possible, and leaves the estimate as it was", async () => {
  const page = await open(ADDRESS);
  const before = await result(page, "workers").textContent();
  for (const text of ["many", "0", "99 billion"]) {
    await page.getByLabel("transactions per second").fill(text);
    await page.getByText(/A number is needed, 1\s\/s to 10,000,000\s\/s\./).waitFor();
    assert.equal(await page.getByLabel("transactions per second").getAttribute("aria-invalid"), "true");
    assert.equal(await result(page, "workers").textContent(), before);
  }
  assert.deepEqual(await violations(page), []);
});

test("an example sets the numbers that it names, and the others back", async () => {
  const page = await open("#/estimator/log_days=3");
  await page.getByRole("button", { name: "40,000 a second, 100 million cards, 99.95 %" }).click();
  await page.waitForFunction(() => location.hash.includes("tps"));
  assert.equal(await page.getByLabel("transactions per second").inputValue(), "40,000");
  assert.equal(await page.getByLabel("days in the log").inputValue(), "7");
});

test("a check that fails says what to do", async () => {
  const page = await open("#/estimator/tps=1000000/archive_days=7");
  const checks = page.getByRole("list", { name: "Checks" });
  await checks.getByText("keep them beside the workers").waitFor();
  await checks.getByText("A retraining needs more days than the archive keeps").waitFor();
  assert.equal(await checks.locator('[data-holds="false"]').count(), 2);
});

test("an assumption can be replaced, is given from then on, and comes back", async () => {
  const page = await open("#/estimator/tps=50000");
  await page.getByText(/^What it rests on/).click();
  const share = page.getByLabel("planned share of a core, a share of 0 to 1");
  await share.fill("1");
  await share.press("Tab");
  const own = estimateOf(TABLE, { tps: 50_000, utilization: 1 }).values;
  await result(page, "worker_cores").getByText(figureText(own["worker_cores"]!, "cores")).waitFor();
  assert.equal(await page.locator('[data-step="worker_cores"] .basis').textContent(), "measured");
  await share.fill("");
  await share.press("Tab");
  await page.locator('[data-step="worker_cores"] .basis').getByText("assumed").waitFor();
  assert.equal(await share.inputValue(), "0.6");
});

test("a page without the table says how to get it", async () => {
  const page = await open("#/live");
  await page.route("**/api/tour", (route) => route.fulfill({ status: 404, json: { error: "There is none." } }));
  await page.getByRole("link", { name: "Estimator" }).click();
  await page.getByText("This page was built without the table of quantities.").waitFor();
});

for (const colorScheme of ["light", "dark"] as const) {
  for (const [size, options] of Object.entries({ wide: {}, narrow })) {
    test(`with everything unfolded axe finds nothing, and nothing scrolls sideways, ${size}, ${colorScheme}`, async () => {
      const page = await open("#/estimator/tps=10000000/availability=99.9999", { ...options, colorScheme });
      await result(page, "workers").waitFor();
      await page.evaluate(() => document.querySelectorAll("details").forEach((each) => (each.open = true)));
      assert.deepEqual(await violations(page), []);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
      assert.ok(await page.locator("#view").evaluate((view) => view.scrollWidth <= view.clientWidth));
    });
  }
}
