/**
 * Screenshots of every view for the documentation, from the replay of a demo:
 * `node tests/recorded_screenshots.ts REPLAY FOLDER`, which `cardwatch console screenshots` runs.
 */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium, type Page } from "playwright-core";

const [replay, folder] = process.argv.slice(2);
if (!replay || !folder) throw new Error("usage: node tests/recorded_screenshots.ts REPLAY FOLDER");

interface Shot {
  address: string;
  scheme?: "light" | "dark";
  /** Where in the recording, from 0 to 1. */
  at: number;
  height: number;
  width?: number;
  prepare?: (page: Page) => Promise<void>;
}

const SHOTS: Record<string, Shot> = {
  live: { address: "#/live", at: 0.93, height: 1040 },
  "live-dark": { address: "#/live/stream", at: 0.24, width: 1600, height: 1040, scheme: "dark" },
  order: { address: "#/order", at: 0.6, height: 900 },
  decisions: { address: "#/decisions", at: 0.93, height: 900, prepare: openDecline },
  tour: {
    address: "#/tour/features",
    at: 0.93,
    height: 1000,
    prepare: (page) => page.getByRole("button", { name: "Show a strong answer" }).first().click(),
  },
  estimator: { address: "#/estimator/tps=40000/cards_given=100000000", at: 0.93, height: 1000 },
  result: { address: "#/result", at: 1, height: 900 },
};

/** Show the newest declined payment with its explanation. */
async function openDecline(page: Page): Promise<void> {
  await page.getByText("decline", { exact: true }).first().click();
  await page.locator(".scroller a").first().click();
  await page.getByRole("heading", { name: "Lineage" }).waitFor();
}

const browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium" });
try {
  for (const [name, { address, scheme = "light", at, width = 1360, height, prepare }] of Object.entries(SHOTS)) {
    // Without motion a recording does not begin to play, so that the pictures of one replay are the same.
    const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce" });
    await page.goto(`${pathToFileURL(resolve(replay))}${address}`);
    const scrubber = page.getByRole("slider", { name: "Position in the recording" });
    await scrubber.waitFor();
    await scrubber.evaluate((input: HTMLInputElement, share) => {
      input.value = String(Math.round(Number(input.max) * share));
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }, at);
    await prepare?.(page);
    await page.mouse.move(0, 0);
    await page.waitForTimeout(800);
    await page.screenshot({ path: `${folder}/console-${name}.png` });
    await page.close();
  }
} finally {
  await browser.close();
}
