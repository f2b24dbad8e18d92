import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { BOX_TEXTS, COMMIT_STEPS } from "../src/boxes.ts";

const ROOT = new URL("../../../../", import.meta.url);
const BUNDLE_KB = 120;

test("every file that a text names exists", () => {
  const named = Object.values(BOX_TEXTS).flatMap((text) => [
    ...text.rejected.map(({ page }) => page),
    ...text.runbook,
    ...text.code,
    ...text.tests,
  ]);
  const missing = named.filter((path) => !existsSync(new URL(path, ROOT)));
  assert.deepEqual(missing, []);
});

test("the commit order has the steps of the worker's docstring", () => {
  const worker = readFileSync(new URL("services/stream/worker.py", ROOT), "utf8");
  const numbered = worker.match(/^ {8}\d\. /gm) ?? [];
  assert.equal(COMMIT_STEPS.length, numbered.length);
});

test("the page is one file below its size limit and names no other host", () => {
  const page = readFileSync(new URL("../dist/index.html", import.meta.url));
  assert.ok(gzipSync(page, { level: 9 }).length <= BUNDLE_KB * 1_000);
  const text = page.toString();
  assert.doesNotMatch(text, /(src|href)="(?!data:|#)[^"]/);
  assert.deepEqual(
    (text.match(/https?:\/\/[^"'`\s)]+/g) ?? []).filter((url) => !url.startsWith("http://www.w3.org/")),
    [],
  );
  assert.doesNotMatch(text, /\beval\(|new Function\(/);
});
