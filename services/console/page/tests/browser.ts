/** A page in Chromium for each test, on a server with test data, and what must never happen in it. */

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach } from "node:test";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import { TestServer } from "./test_server.ts";

export let browser: Browser;
/** Of the running test. */
export let server: TestServer;
/** What went wrong in a page without a failed expectation: errors, dialogs, foreign requests, breaches of the policy. */
let faults: string[];

before(async () => {
  browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium" });
});

after(() => browser.close());

beforeEach(async () => {
  faults = [];
  server = await TestServer.start();
});

afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  await server.stop();
  assert.deepEqual(faults, []);
});

/** Open an address of the page, and return when it shows the first frame. */
export async function open(address: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 1000 },
    reducedMotion: "reduce",
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on(
    "request",
    (request) =>
      request.url().startsWith(server.address) || request.url().startsWith("data:") || faults.push(request.url()),
  );
  page.on("console", (message) => /Content Security Policy/.test(message.text()) && faults.push(message.text()));
  await page.goto(`${server.address}/${address}`);
  await page
    .getByTestId("sentence")
    .getByText(/^(?!Waiting)/)
    .waitFor();
  return page;
}

export const narrow: BrowserContextOptions = { viewport: { width: 400, height: 850 } };
