/** The view of the models in Chromium: where versions are, who moved them, and what a move sends. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { commandOf, movesFrom } from "../src/models/model_moves.ts";
import { open as openPage, server } from "./browser.ts";
import { TOKEN } from "./test_server.ts";

async function open(address = `#token=${TOKEN}&/models`): Promise<Page> {
  const page = await openPage(address);
  await page.getByRole("region", { name: "Versions" }).waitFor();
  return page;
}

const rowOf = (page: Page, version: string) => page.getByRole("row", { name: new RegExp(`^v${version} `) });

test("each version shows its stage, and the canary its share", async () => {
  const page = await open();
  await rowOf(page, "3").getByText("canary, 10 % of the cards").waitFor();
  await rowOf(page, "2").getByText("decides now").waitFor();
  await rowOf(page, "4").getByText("not on the ladder").waitFor();
  await rowOf(page, "4").getByText("0.812").waitFor();
});

test("a rollback needs a reason, is sent, and the table follows", async () => {
  const page = await open();
  await page.getByRole("button", { name: "Move version 1" }).click();
  const roll = page.getByRole("button", { name: "Roll back", exact: true });
  assert.ok(await roll.isDisabled());
  await page.getByLabel("Reason, which is recorded").fill("complaints");
  await page.getByText('cardwatch model rollback --reason "complaints"').waitFor();
  await roll.click();
  await page.getByRole("status").getByText("served 1.4 s later").waitFor();
  await page.getByText("move 3: rollback version 1, recorded").waitFor();
  await rowOf(page, "1").getByText("champion").waitFor();
  await page.getByText("3. v1: rollback").waitFor();
  assert.deepEqual(server.bodies, [{ kind: "rollback", reason: "complaints" }]);
});

test("another share of a canary is sent as a share, despite a verdict only if that is ticked", async () => {
  const page = await open();
  await page.getByRole("button", { name: "Move version 3" }).click();
  await page.getByLabel("Move", { exact: true }).selectOption("canary");
  await page.getByLabel("Share of the cards in %").fill("25");
  await page.getByLabel("Reason, which is recorded").fill("more");
  await page.getByRole("button", { name: "Decide as canary" }).click();
  await page.getByText("move 3: canary version 3, recorded").waitFor();
  await page.getByLabel("although the verdict has not passed").check();
  await page.getByLabel("Reason, which is recorded").fill("still");
  await page.getByRole("button", { name: "Decide as canary" }).click();
  await page.getByText("move 4: canary version 3, recorded").waitFor();
  assert.deepEqual(server.bodies, [
    { kind: "canary", reason: "more", version: "3", share: 0.25 },
    { kind: "canary", reason: "still", version: "3", share: 0.25, despite_verdict: true },
  ]);
});

test("a refused move says why and keeps the reason that was typed", async () => {
  server.models.refusal = "version 4 has not passed its offline verdict";
  const page = await open();
  await page.getByRole("button", { name: "Move version 4" }).click();
  await page.getByLabel("Reason, which is recorded").fill("try");
  await page.getByRole("button", { name: "Let it begin as challenger" }).click();
  await page.getByRole("status").getByText("Refused: version 4 has not passed its offline verdict").waitFor();
  assert.equal(await page.getByLabel("Reason, which is recorded").inputValue(), "try");
});

test("a move shows the checks that it rests on", async () => {
  const page = await open();
  await page.getByText("2 checks on 4,312 decisions").click();
  await page.getByText("FAILED: rules decided 6.00% of the transactions").waitFor();
});

test("the keyboard alone opens a version, fills the form and moves it", async () => {
  const page = await open();
  await page.getByRole("button", { name: "Move version 3" }).focus();
  await page.keyboard.press("Enter");
  await page.getByLabel("Reason, which is recorded").focus();
  await page.keyboard.type("by keyboard");
  await page.keyboard.press("Enter");
  await page.getByText("move 3: promote version 3, recorded").waitFor();
  assert.deepEqual(server.bodies, [{ kind: "promote", reason: "by keyboard", version: "3" }]);
});

test("the command does the same as the form, and a champion has no move", () => {
  const wanted = { kind: "canary", reason: "more", version: "3", share: 0.25, despite_verdict: true };
  assert.equal(commandOf(wanted), 'cardwatch model canary 3 --share 0.25 --despite-verdict --reason "more"');
  assert.deepEqual(movesFrom("champion"), []);
  assert.deepEqual(movesFrom(null), ["challenge"]);
});
