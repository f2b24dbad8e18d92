/**
 * Screenshots for the documentation of the views that a replay does not have, from a running stack:
 * `node tests/running_screenshots.ts ADDRESS FOLDER`, which `cardwatch console screenshots --running` runs. It sends a
 * payment, and switches a burst on for some seconds.
 */

import { chromium, type Page } from "playwright-core";

const [address, folder] = process.argv.slice(2);
if (!address || !folder) throw new Error("usage: node tests/running_screenshots.ts ADDRESS FOLDER");

const SHOTS: Record<string, { height: number; prepare: (page: Page) => Promise<void> }> = {
  send: { height: 900, prepare: sendCardTesting },
  faults: { height: 1000, prepare: switchBurstOn },
};

async function sendCardTesting(page: Page): Promise<void> {
  await page.getByLabel(/^Card testing/).click();
  await page.getByText(/^\d+ transactions$/).waitFor();
  await page.getByRole("button", { name: "Send and watch" }).click();
  const decided = page.getByText(/committed decision read after/);
  const sent = page.getByText(/in the log at/);
  while ((await decided.count()) === 0 || (await decided.count()) < (await sent.count())) await page.waitForTimeout(200);
}

async function switchBurstOn(page: Page): Promise<void> {
  const burst = page.getByRole("switch", { name: "Burst" });
  if ((await burst.count()) === 1 && (await burst.isEnabled())) {
    await page.getByLabel("Time until Burst ends").selectOption({ index: 0 });
    await burst.click();
    await page.getByText(/, ends in/).first().waitFor();
  }
}

const browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium" });
try {
  for (const [name, { height, prepare }] of Object.entries(SHOTS)) {
    const page = await browser.newPage({ viewport: { width: 1360, height }, reducedMotion: "reduce" });
    page.setDefaultTimeout(60_000);
    await page.goto(`${address}&/${name}`);
    await page.getByTestId("sentence").getByText(/decides/).waitFor();
    await prepare(page);
    await page.mouse.move(0, 0);
    await page.waitForTimeout(800);
    await page.screenshot({ path: `${folder}/console-${name}.png` });
    await page.close();
  }
} finally {
  await browser.close();
}
