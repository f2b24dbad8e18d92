/**
 * Uses the console of a running stack as a person does, and prints as JSON what was seen and how long it took:
 * `node tests/on_a_stack.ts kills|drift|views ADDRESS`, with the address that the command `cardwatch console` prints.
 * tests/e2e/test_console_browser.py and test_console_drift.py run it.
 */

import { chromium, type Browser, type Page } from "playwright-core";
import { VIEWS } from "../src/routes.ts";
import { violations } from "./axe.ts";

/** Boxes that are killed, in this order. */
const KILLED = ["scoring", "stream", "kafka"] as const;
const LOOP_MILLISECONDS = 900_000;

const [scenario, address] = process.argv.slice(2);
const scenarios: Record<string, (browser: Browser, address: string) => Promise<unknown>> = { kills, drift, views };
if (!address || !scenario || !scenarios[scenario]) throw new Error("usage: on_a_stack.ts kills|drift|views ADDRESS");

const errors: string[] = [];
const browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium" });
try {
  console.log(JSON.stringify({ seen: await scenarios[scenario](browser, address), errors }));
} finally {
  await browser.close();
}

/** A page of its own, with the token, at a view. */
async function opened(browser: Browser, address: string, view: string, options = {}): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 1000 }, reducedMotion: "reduce", ...options });
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => /Content Security Policy/.test(message.text()) && errors.push(message.text()));
  await page.goto(address.replace(/&.*$/, "") + `&/${view}`);
  await page
    .getByTestId("sentence")
    .getByText(/^(?!Waiting)/)
    .waitFor();
  return page;
}

/** Send a payment and see its decision in the list; then kill each box from the diagram, and see it come back. */
async function kills(browser: Browser, address: string) {
  const list = await opened(browser, address, "decisions");
  await list.getByRole("searchbox").fill("sent-");
  const send = await opened(browser, address, "send");
  await send.getByText("1 transaction", { exact: true }).waitFor();
  const sentAt = Date.now();
  await send.getByRole("button", { name: "Send and watch" }).click();
  await list.getByRole("list", { name: "Newest decisions" }).getByRole("link").first().waitFor();
  const decisionSeconds = (Date.now() - sentAt) / 1_000;
  await send.getByText(/committed decision read after/).waitFor();
  await send.close();
  await list.close();

  const page = await opened(browser, address, "live");
  const killed: Record<string, unknown> = {};
  for (const name of KILLED) killed[name] = await kill(page, name);
  return { decisionSeconds, killed };
}

async function kill(page: Page, name: string) {
  const button = page.locator(`#box-${name}`);
  const ready = page.locator(`#box-${name}[aria-label*=": ready"]`);
  await ready.waitFor({ timeout: 120_000 });
  await page
    .getByTestId("sentence")
    .getByText(/^(?!Degraded|The system is starting)/)
    .waitFor({ timeout: 120_000 });
  await button.click();
  await page.getByRole("button", { name: "Kill…" }).click();
  const killedAt = Date.now();
  await page.getByRole("button", { name: /^Kill process/ }).click();
  await page.locator(`.box[data-tone="critical"]:has(#box-${name})`).waitFor();
  const redSeconds = (Date.now() - killedAt) / 1_000;
  let rulesPercent = 0;
  const tile = page.locator(".tile", { hasText: "Decided by rules, now" }).locator("dd").first();
  while ((await ready.count()) === 0) {
    rulesPercent = Math.max(rulesPercent, Number.parseFloat(await tile.innerText()) || 0);
    if (Date.now() - killedAt > 120_000) break;
    await page.waitForTimeout(50);
  }
  const readySeconds = (Date.now() - killedAt) / 1_000;
  return { redSeconds, readySeconds, rulesPercent };
}

/** Switch drift on, and read the timeline until another model decides. The page is loaded once. */
async function drift(browser: Browser, address: string) {
  const page = await opened(browser, address, "faults");
  let loads = 0;
  page.on("load", () => (loads += 1));
  await page.getByRole("switch", { name: "Drift" }).click();
  await page.getByRole("link", { name: "Live" }).first().click();
  const deadline = Date.now() + LOOP_MILLISECONDS;
  for (;;) {
    const events = await timeline(page);
    const marks = events.map(([mark]) => mark);
    // The first champion is a swap, too; the one that ends the loop comes after the verdict.
    if (marks.includes("Verdict") && marks.lastIndexOf("Model swap") > marks.lastIndexOf("Verdict"))
      return { loads, events };
    if (Date.now() > deadline) throw new Error(`no swap follows a verdict: ${JSON.stringify(events)}`);
    await page.waitForTimeout(1_000);
  }
}

/** Mark and text of the events that the page shows, oldest first. */
async function timeline(page: Page): Promise<(string | null)[][]> {
  const events = await page
    .getByRole("list", { name: "Events, newest first" })
    .locator("> li")
    .evaluateAll((items) =>
      items.map((item) => [
        item.querySelector("[role=img]")!.getAttribute("aria-label"),
        item.querySelector("p")!.innerText,
      ]),
    );
  return events.reverse();
}

/** Every view of the running system in both themes, wide and 400 px narrow: what axe finds, and what sticks out. */
async function views(browser: Browser, address: string) {
  const found: Record<string, string[]> = {};
  for (const view of VIEWS) {
    if (view.name === "result") continue;
    for (const colorScheme of ["light", "dark"] as const) {
      const page = await opened(browser, address, view.name, { colorScheme });
      await page.waitForTimeout(1_500);
      found[`${view.name} ${colorScheme}`] = await violations(page);
      await page.setViewportSize({ width: 400, height: 850 });
      await page.waitForTimeout(500);
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (excess > 0) found[`${view.name} ${colorScheme}`]!.push(`${excess} px stick out at a width of 400 px`);
      await page.close();
    }
  }
  return found;
}
