/** The view of the cases in Chromium: the queue, and a case from its assignment to its decision. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { open as openPage, server } from "./browser.ts";
import { TOKEN } from "./test_server.ts";

async function open(rest = "", name = "anna"): Promise<Page> {
  const page = await openPage(`#token=${TOKEN}&/cases${rest}`);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("region", { name: "Queue" }).getByRole("table").waitFor();
  return page;
}

const panelOf = (page: Page) => page.getByRole("complementary");

test("the queue has the order of the service, and says what is overdue, beyond capacity and answered", async () => {
  const page = await open();
  const rows = page.getByRole("region", { name: "Queue" }).getByRole("row");
  assert.equal(await rows.count(), 5);
  assert.match(await rows.nth(1).innerText(), /2:17[\s\S]*€599\.83/);
  assert.match(await rows.nth(2).innerText(), /overdue/);
  assert.match(await rows.nth(3).innerText(), /not known\s*beyond capacity/);
  assert.match(await rows.nth(4).innerText(), /customer: fraud/);
  await page.getByText("4 cases here; in the queue 4 open, 0 assigned, 0 decided; 1 overdue; capacity 3 a day.").waitFor();
});

test("a case is taken, noted and decided, with the name of who does it and the version that was seen", async () => {
  const page = await open();
  await page.getByRole("link", { name: "2:17" }).click();
  const panel = panelOf(page);
  await panel.getByRole("button", { name: "Assign to anna" }).click();
  await page.getByRole("status").getByText("Case 2:17: assigned to anna.").waitFor();
  await panel.getByLabel("Note, or comment of the decision").fill("no answer yet");
  await panel.getByRole("button", { name: "Add the note" }).click();
  await panel.getByText("no answer yet").waitFor();
  await panel.getByLabel("Note, or comment of the decision").fill("the cardholder did not pay");
  await panel.getByRole("button", { name: "Decide fraud" }).click();
  await page.getByRole("status").getByText("Case 2:17: fraud, by anna.").waitFor();
  assert.deepEqual(server.bodies, [{}, { text: "no answer yet" }, { outcome: "fraud", comment: "the cardholder did not pay" }]);
  assert.deepEqual(server.cases.find("2/17")!.actions.map((action) => `${action.version} ${action.by} ${action.kind}`), [
    "1 anna assign",
    "2 anna note",
    "3 anna decide",
    "4 anna confirm",
  ]);
  assert.equal(await panel.getByRole("button", { name: "Decide genuine" }).count(), 0);
  await page.keyboard.press("Escape");
  await page.getByText("Decided", { exact: true }).click();
  await page.getByRole("row", { name: /2:17.*fraud, by anna/ }).waitFor();
});

test("who was slower is told, and sees the case as it is now", async () => {
  const page = await open("/2/17");
  await panelOf(page).getByRole("button", { name: "Assign to anna" }).waitFor();
  server.cases.faster = true;
  await panelOf(page).getByRole("button", { name: "Assign to anna" }).click();
  await panelOf(page).getByText("Refused: the case has version 1 and not 0: read it again").waitFor();
  await panelOf(page).getByText("assigned to ben").first().waitFor();
});

test("filters ask the service", async () => {
  const page = await open();
  await page.getByText("Overdue", { exact: true }).click();
  await page.getByText("1 case here;").waitFor();
  await page.getByText("Mine", { exact: true }).click();
  await page.getByText("No case passes this filter.").waitFor();
  const last = server.cases.asked.at(-1)!;
  assert.deepEqual([last.getAll("state"), last.get("assignee")], [["assigned"], "anna"]);
});

test("texts of others are texts", async () => {
  const page = await open("/2/18");
  const note = "<img src=x onerror=alert(1)>";
  await panelOf(page).getByLabel("Note, or comment of the decision").fill(note);
  await panelOf(page).getByRole("button", { name: "Add the note" }).click();
  await panelOf(page).getByText(note).waitFor();
});

test("the name is remembered", async () => {
  const page = await open("", "Änna");
  await page.reload();
  assert.equal(await page.getByLabel("Your name").inputValue(), "Änna");
  await page.getByRole("link", { name: "2:17" }).click();
  await panelOf(page).getByRole("button", { name: "Assign to Änna" }).click();
  await page.getByRole("status").getByText("Case 2:17: assigned to Änna.").waitFor();
});

test("without the token the page says why it shows no cases", async () => {
  const page = await openPage("#/cases");
  await page.getByText("This page was opened without its token").waitFor();
  await page.getByText("The queue cannot be read: The token is missing or wrong.").waitFor();
});
