/** The view of the faults in Chromium: what its switches say, what they send, and what cannot be switched. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { commandFor, countdown, timesOf } from "../src/faults/fault_switch.ts";
import { open as openPage, server } from "./browser.ts";
import { TestFaults } from "./fault_data.ts";
import { TOKEN } from "./test_server.ts";

async function open(address = `#token=${TOKEN}&/faults`): Promise<Page> {
  const page = await openPage(address);
  await page.getByRole("region", { name: "Data and load" }).waitFor();
  return page;
}

const switchNamed = (page: Page, name: string) => page.getByRole("switch", { name, exact: true });
const rowOf = (page: Page, name: string) => page.getByRole("row", { name: new RegExp(`^${name}`) });

test("a switch sends its fault with the chosen time, counts down and can be set back by hand", async () => {
  const page = await open();
  await page.getByLabel("Time until Burst ends").selectOption("10 s");
  await rowOf(page, "Burst").getByText("cardwatch fault on burst --for 10").waitFor();
  await switchNamed(page, "Burst").click();
  await rowOf(page, "Burst").getByText(/on, ends in 0:(10|0\d)/).waitFor();
  assert.equal(await switchNamed(page, "Burst").getAttribute("aria-checked"), "true");
  await rowOf(page, "Burst").getByText("cardwatch fault off burst").waitFor();
  await switchNamed(page, "Burst").click();
  await rowOf(page, "Burst").getByText("off", { exact: true }).waitFor();
  assert.deepEqual(server.actions, ["/api/faults/burst/on?seconds=10", "/api/faults/burst/off"]);
});

test("what happens once has a button and no timer", async () => {
  const page = await open();
  await page.getByRole("button", { name: "Send one: Poison record" }).click();
  await page.getByRole("status").getByText("Poison record: done.").waitFor();
  await page.getByRole("button", { name: "Kill Scoring service" }).click();
  await page.getByRole("status").getByText("Kill Scoring service: done.").waitFor();
  assert.deepEqual(server.actions, ["/api/faults/poison-record/on", "/api/faults/kill-scoring/on"]);
});

test("a switch can be set with the keyboard alone", async () => {
  const page = await open();
  await switchNamed(page, "Freeze Monitor").focus();
  await page.keyboard.press("Space");
  await rowOf(page, "Freeze Monitor").getByText(/on, ends in/).waitFor();
  assert.deepEqual(server.actions, ["/api/faults/freeze-monitor/on?seconds=20"]);
});

test("network faults are grey where there is no proxy, and say so", async () => {
  const page = await open();
  assert.ok(await switchNamed(page, "Lost broker").isDisabled());
  await rowOf(page, "Lost broker").getByText("No proxy runs between the parts of this stack.").waitFor();
});

test("with a proxy a network fault is switched on for a time, and off by hand", async () => {
  server.faults.withProxy = true;
  const page = await open();
  await switchNamed(page, "Lost scoring service").click();
  await rowOf(page, "Lost scoring service").getByText(/on, ends in 0:(30|2\d)/).waitFor();
  await rowOf(page, "Lost scoring service").getByText("cardwatch fault off scoring-cut").waitFor();
  await switchNamed(page, "Lost scoring service").click();
  await rowOf(page, "Lost scoring service").getByText("off", { exact: true }).waitFor();
  assert.deepEqual(server.actions, ["/api/faults/scoring-cut/on?seconds=30", "/api/faults/scoring-cut/off"]);
});

test("without a generator no fault of the data can be switched on, and the reason is there", async () => {
  server.faults.withoutGenerator = true;
  const page = await open();
  for (const name of ["Burst", "Drift", "Null column"]) assert.ok(await switchNamed(page, name).isDisabled());
  await rowOf(page, "Drift").getByText("No generator runs in this stack").waitFor();
  assert.ok(await switchNamed(page, "Freeze Monitor").isEnabled());
});

test("in containers the command to type takes the place of the switch of a process", async () => {
  server.faults.inContainers = true;
  const page = await open();
  await rowOf(page, "Kill Scoring service").getByText("docker compose kill scoring").waitFor();
  assert.ok(await page.getByRole("button", { name: "Kill Scoring service" }).isDisabled());
  assert.ok(await switchNamed(page, "Burst").isEnabled());
});

test("a refusal stands beside its switch", async () => {
  const page = await open("#/faults");
  await page.getByText("This page was opened without its token").waitFor();
  await switchNamed(page, "Burst").click();
  await rowOf(page, "Burst").getByText("Refused: The token is missing or wrong.").waitFor();
  assert.equal(await switchNamed(page, "Burst").getAttribute("aria-checked"), "false");
});

test("every row leads to the box where its effect is seen", async () => {
  const page = await open();
  await rowOf(page, "Poison record").getByRole("link", { name: "See Kafka in Live" }).click();
  await page.getByRole("complementary", { name: "Kafka" }).waitFor();
});

test("times, countdowns and commands of a switch", () => {
  const burst = new TestFaults().list().find((fault) => fault.name === "burst")!;
  assert.deepEqual(timesOf({ ...burst, seconds: 45 }), [10, 20, 30, 45, 60, 180, 600, 3_600]);
  assert.equal(countdown(burst, 0), null);
  assert.equal(countdown({ ...burst, until_ms: 61_500 }, 0), "1:02");
  assert.equal(countdown({ ...burst, until_ms: 500 }, 1_000), "0:00");
  assert.equal(commandFor(burst, burst.seconds), "cardwatch fault on burst");
  assert.equal(commandFor({ ...burst, commands: { on: "docker compose pause x" } }, 5), "docker compose pause x");
});
