/** Screenshots of the test data: `node tests/screenshots.ts FOLDER [NAME ...]`. */

import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";
import { TOKEN, TestServer } from "./test_server.ts";

const [folder = "shots", ...names] = process.argv.slice(2);
const SIZES = { wide: [1440, 1150], medium: [1024, 1500], narrow: [400, 2600] } as const;
const SHOTS: Record<
  string,
  { address: string; prepare?: (server: TestServer) => void; click?: string; later?: (server: TestServer) => void }
> = {
  live: { address: "#/live" },
  box: { address: "#/live/stream" },
  kill: { address: "#/live/scoring", click: "Kill…" },
  order: { address: "#/order" },
  decisions: { address: "#/decisions" },
  decision: { address: "#/decisions/2/17" },
  faults: {
    address: "#/faults",
    prepare: ({ faults }) => {
      faults.set("/api/faults/burst/on?seconds=27");
      faults.set("/api/faults/freeze-monitor/on?seconds=12");
    },
  },
  tour: { address: "#/tour/features", click: "Show a strong answer" },
  estimator: { address: "#/estimator/tps=40000/cards_given=100000000" },
  "estimator-known": { address: "#/estimator", click: "What it rests on" },
  letters: { address: "#/decisions/dead-letters" },
  send: { address: `#token=${TOKEN}&/send` },
  sent: { address: `#token=${TOKEN}&/send`, click: "Send and watch" },
  form: { address: `#token=${TOKEN}&/send`, click: "Free form" },
  degraded: {
    address: "#/live",
    prepare: ({ system }) => {
      system.states = ["degraded"];
      system.isScoringDown = true;
      system.away = { scoring: "down" };
    },
  },
  waiting: {
    address: "#/live",
    prepare: ({ system }) => {
      system.away = { stream: "frozen" };
    },
  },
  stopped: {
    address: "#/order",
    prepare: ({ system }) => {
      system.away = { stream: "frozen" };
    },
  },
  disconnected: { address: "#/live", later: (server) => server.cut() },
  starting: {
    address: "#/live",
    prepare: ({ system }) => {
      system.empty = true;
      system.states = ["starting"];
    },
  },
};

mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium" });
try {
  for (const [name, shot] of Object.entries(SHOTS)) {
    if (names.length > 0 && !names.includes(name)) continue;
    const server = await TestServer.start();
    shot.prepare?.(server);
    for (const [size, [width, height]] of Object.entries(SIZES)) {
      for (const colorScheme of ["light", "dark"] as const) {
        if (colorScheme === "dark" && size === "medium") continue;
        const page = await browser.newPage({ viewport: { width, height }, colorScheme });
        server.flow();
        await page.goto(`${server.address}/${shot.address}`);
        await page.waitForTimeout(1_800);
        if (shot.later) {
          shot.later(server);
          await page.waitForTimeout(1_500);
        }
        if (shot.click) {
          await page.getByRole("button", { name: shot.click }).or(page.getByLabel(shot.click)).or(page.getByText(shot.click)).first().click();
          await page.waitForTimeout(400);
        }
        await page.screenshot({ path: `${folder}/${name}-${size}-${colorScheme}.png` });
        await page.close();
      }
    }
    await server.stop();
  }
} finally {
  await browser.close();
}
