/**
 * Opens a replay from the disk, and prints as JSON what it has requested and what its last table says:
 * `node tests/opened_replay.ts REPLAY`. tests/e2e/test_loop.py runs it on the replay of a demo.
 */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [replay] = process.argv.slice(2);
if (!replay) throw new Error("usage: node tests/opened_replay.ts REPLAY");

const browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium" });
try {
  const page = await browser.newPage({ viewport: { width: 1360, height: 900 }, reducedMotion: "reduce" });
  page.setDefaultTimeout(60_000);
  const errors: string[] = [];
  const requests: string[] = [];
  const file = pathToFileURL(resolve(replay)).href;
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("request", (request) => {
    if (request.url() !== file && !request.url().startsWith("data:")) requests.push(request.url());
  });
  await page.goto(`${file}#/result`);
  await page.getByRole("region", { name: "Table of the phases" }).waitFor();
  const rows = await page
    .locator("main table tbody tr")
    .evaluateAll((found) => found.map((row) => [...row.children].map((cell) => cell.textContent)));
  const chapters = await page
    .getByRole("list", { name: "Chapters" })
    .getByRole("button")
    .evaluateAll((found) => found.map((button) => button.textContent));
  console.log(JSON.stringify({ requests, errors, rows, chapters }));
} finally {
  await browser.close();
}
