import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { NOT_IN_REPLAYS, VIEWS } from "../src/routes.ts";
import { writeReplay } from "./replay_file.ts";

test("a picture of each view is taken from a replay", () => {
  const folder = mkdtempSync(join(tmpdir(), "pictures-"));
  try {
    writeReplay(join(folder, "replay.html"));
    const script = new URL("recorded_screenshots.ts", import.meta.url).pathname;
    execFileSync(process.execPath, [script, join(folder, "replay.html"), folder]);
    const pictures = readdirSync(folder).filter((name) => name.endsWith(".png"));
    const shown = VIEWS.filter(({ name }) => !NOT_IN_REPLAYS.includes(name));
    for (const { name } of shown) assert.ok(pictures.includes(`console-${name}.png`), name);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
