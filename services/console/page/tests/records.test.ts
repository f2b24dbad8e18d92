/** Sending, labelling and dead letters in Chromium, on test data. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { open, server } from "./browser.ts";
import { SCRIPT_IN_A_LETTER } from "./record_data.ts";
import { TOKEN } from "./test_server.ts";

const withToken = (address: string) => `#token=${TOKEN}&${address}`;

test("a preset is sent, each hop is shown, and its decision can be opened", async () => {
  const page = await open(withToken("/send"));
  await page.getByLabel("Card testing").check();
  await page.getByTestId("sent").nth(3).waitFor();
  await page.getByRole("button", { name: "Send and watch" }).click();
  await page.getByText("Acknowledged by the log after 3.1 ms.").waitFor();
  const first = page.getByTestId("sent").first();
  await first.getByText("in the log at 2:17").waitFor();
  await first.getByText("decided 13 ms after that").waitFor();
  await first.getByText("committed decision read after 31 ms").waitFor();
  assert.deepEqual(server.actions, ["/api/transactions"]);
  assert.equal((server.bodies[0] as object[]).length, 4);
  await first.getByRole("link", { name: "Why?" }).click();
  await page.getByRole("complementary").getByText("cardwatch decisions show 2:17").waitFor();
  await page.goBack();
  await page.getByText("Acknowledged by the log after 3.1 ms.").waitFor();
});

test("what is sent twice has other ids", async () => {
  const page = await open(withToken("/send"));
  await page.getByTestId("sent").first().waitFor();
  for (const times of [1, 2]) {
    await page.getByRole("button", { name: "Send and watch" }).click();
    await page.getByRole("button", { name: "Send and watch" }).waitFor();
    while (server.bodies.length < times) await page.waitForTimeout(20);
  }
  const [first, second] = server.bodies as { transaction_id: string }[][];
  assert.notEqual(first![0]!.transaction_id, second![0]!.transaction_id);
});

test("to ask changes nothing and shows what would be decided", async () => {
  const page = await open(withToken("/send"));
  await page.getByLabel("Card testing").check();
  await page.getByTestId("sent").nth(3).waitFor();
  await page.getByRole("button", { name: "Ask only" }).click();
  await page.getByText("CARD_TESTING, AMOUNT_UNUSUAL").first().waitFor();
  assert.deepEqual(server.actions, ["/api/previews"]);
});

test("the commands do the same as the buttons", async () => {
  const page = await open(withToken("/send"));
  await page.getByLabel("Bust-out").check();
  await page.getByRole("button", { name: "Another example" }).click();
  await page.getByLabel("Event time").fill("2025-03-09T08:00:00Z");
  const options = "--preset bust-out --card-id card-000017 --occurred-at 2025-03-09T08:00:00Z --preset-seed 1";
  await page.getByText(`cardwatch send ${options} --ask-only`).waitFor();
  await page.getByText(`cardwatch send ${options} --hops`).waitFor();
});

test("the free form begins with the card's payment, and says beside a field what is wrong with it", async () => {
  const page = await open(withToken("/send"));
  await page.getByTestId("sent").first().waitFor();
  await page.getByLabel("Free form").check();
  assert.equal(await page.getByLabel("Merchant", { exact: true }).inputValue(), "m-6e802185");
  await page.getByLabel("Amount in minor units").fill("ten");
  await page.getByLabel("Currency").fill("");
  await page.getByRole("button", { name: "Send and watch" }).click();
  await page.getByText("ten is no number.").waitFor();
  await page.getByText("Currency, ISO 4217 is needed.").waitFor();
  assert.deepEqual(server.actions, []);
  await page.getByLabel("Amount in minor units").fill("1000");
  await page.getByLabel("Currency").fill("EUR");
  await page.getByLabel("Merchant's country").fill("Germany");
  await page.getByRole("button", { name: "Send and watch" }).click();
  await page.getByText("Expected `str` matching regex '^[A-Z]{2}$'").waitFor();
  assert.equal(await page.getByLabel("Merchant's country").getAttribute("aria-invalid"), "true");
  await page.getByLabel("Merchant's country").fill("DE");
  await page.getByRole("button", { name: "Send and watch" }).click();
  await page.getByText("Acknowledged by the log after 3.1 ms.").waitFor();
  await page.getByText(/--merchant-id m-6e802185 .*--country DE .*--hops/).waitFor();
});

test("without a token nothing is sent or labelled, and the page says why", async () => {
  const page = await open("#/send");
  await page.getByTestId("sent").first().waitFor();
  await page.getByRole("button", { name: "Send and watch" }).click();
  await page.getByRole("alert").getByText("The token is missing or wrong.").waitFor();
  await page.goto(`${server.address}/#/decisions/2/17`);
  await page.getByRole("button", { name: "Label fraud" }).click();
  await page.getByText("The label was refused: The token is missing or wrong.").first().waitFor();
  assert.deepEqual(server.actions, []);
});

test("a decision is labelled from its panel, which names the command", async () => {
  const page = await open(withToken("/decisions/2/17"));
  await page.getByText("cardwatch label 2:17 --fraud").waitFor();
  await page.getByRole("button", { name: "Label genuine" }).click();
  await page.getByRole("complementary").getByText("Labelled genuine, observed 8 Mar 14:02:11.").waitFor();
  assert.deepEqual(server.bodies, [{ partition: 2, offset: 17, is_fraud: false }]);
});

test("a dead letter is inert, and sent again only if it is valid now", async () => {
  const page = await open(withToken("/decisions"));
  await page.getByRole("link", { name: "Dead letters" }).click();
  await page.getByText(SCRIPT_IN_A_LETTER.slice(0, 30)).waitFor();
  assert.equal(await page.evaluate(() => "hacked" in window), false);
  assert.equal(await page.locator("main img, main script").count(), 0);
  await page.getByText("It cannot be sent again: it is still invalid").waitFor();
  await page.getByText("cardwatch dead-letters resend 1:42").waitFor();
  await page.getByRole("button", { name: "Send again" }).first().click();
  await page.getByRole("main").getByText("Sent again: the record of 1:42.").waitFor();
  await page.getByRole("button", { name: "Send again" }).last().click();
  await page.getByRole("main").getByText("It was not sent: the record at transactions[1] 40").waitFor();
  assert.deepEqual(server.actions, ["/api/dead-letters/1/42", "/api/dead-letters/1/40"]);
});
