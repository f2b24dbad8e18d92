/** Replay files for tests, put together as cli/demo/replay.py does it, from the frames of `test_data.ts`. */

import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { Frame, LiveFrame } from "../src/frames.ts";
import type { Recording } from "../src/replay/recording.ts";
import { SCRIPT, TestSystem } from "./test_data.ts";
import { TOUR, policyOf } from "./test_server.ts";

const PAGE = readFileSync(new URL("../dist/index.html", import.meta.url), "utf8");
/** Seconds of the recording; the last event of the test data is in its past, so it begins with all of them. */
export const SECONDS = 120;

/** A recording of two minutes, a frame a second, with a change after one minute and a swap after one and a half. */
export function testRecording(): Recording {
  const system = new TestSystem(Date.UTC(2026, 0, 1));
  const state = system.past().findLast((frame) => frame.type === "live") as LiveFrame;
  const frames: Frame[] = [];
  for (let second = 0; second <= SECONDS; second++) {
    const at = state.at_ms + 1_000 * second;
    frames.push({ ...state, at_ms: at, totals: { ...state.totals, decisions: 10 * second } });
    if (second === 60) frames.push(event(0, at, "change", `the population changes ${SCRIPT}`));
    if (second === 90) frames.push(event(1, at, "swap", "v2 decides its first transaction"));
    frames.push({ type: "decisions", lines: [line(second)], skipped: 9 });
  }
  return {
    format: 1,
    title: "Cardwatch demo, seed 7",
    frames,
    decisions: {
      feature_schema: "0123456789abcdef",
      currency: "EUR",
      features: [
        { name: "amount", meaning: "amount in major units", reason: "AMOUNT" },
        { name: "count_1h", meaning: "payments in the last hour", reason: "FREQUENCY" },
      ],
      reasons: { AMOUNT: "The amount is unusual for this card." },
      models: [{ version: "1", digest: "abcdef", expected_margin: -4 }],
      tables: ["2026-01-01"],
      policies: ["p-1"],
      rows: Array.from({ length: SECONDS + 1 }, (_, second) => [
        0, second, SCRIPT, "5411", "DE", 3, 0, 0, 0, 1.5, null, [900, 120, 400],
        [[0, 250, 4, true], [1, null, 1, false]], 0.5,
      ]),
    },
    result: {
      headline: "The loop closed.",
      closed: true,
      money: [["saved against doing nothing", "35,819 EUR", "approving everything would have cost 57,792 EUR"]],
      checks: [[true, "no alarm before the change"], [false, `1 decision lost ${SCRIPT}`]],
      headings: ["before the change", "after the swap"],
      rows: [["average precision", ["0.734", "0.772"]]],
      figures: [["change to detection", "7 days"]],
    },
  };
}

/** Write a replay file and return its address. */
export function writeReplay(file: string, recording: object = testRecording()): string {
  const policy = policyOf("'none'").replace(/; frame-ancestors.*/, "");
  const data = block("recording", JSON.stringify(recording)) + (TOUR ? block("tour", TOUR) : "");
  const meta = `<meta http-equiv="Content-Security-Policy" content="${policy}">`;
  writeFileSync(file, PAGE.replace("<head>", () => `<head>${meta}`).replace("</body>", () => `${data}</body>`));
  return `file://${file}`;
}

function block(id: string, content: string | Buffer): string {
  return `<script type="application/octet-stream" id="${id}">${gzipSync(content).toString("base64")}</script>`;
}

function event(number: number, at_ms: number, kind: string, text: string): Frame {
  return { type: "event", number, at_ms, kind, day: "2026-01-01", text, details: [] };
}

function line(offset: number) {
  return {
    partition: 0,
    offset,
    transaction_id: `t-${offset}`,
    card_id: "c-1",
    occurred_at: `2026-01-01T00:${String(Math.floor(offset / 60)).padStart(2, "0")}:${String(offset % 60).padStart(2, "0")}Z`,
    amount_minor: 25_000,
    currency: "EUR",
    channel: "ecommerce",
    action: "decline",
    probability: 0.8,
    degraded: false,
    latency_ms: 12,
    reasons: ["AMOUNT"],
  };
}
