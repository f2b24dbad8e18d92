/** The page in Chromium, on test data: what can be clicked, read and reached with the keyboard. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { BOXES } from "../src/frames.ts";
import { violations } from "./axe.ts";
import { narrow, open, server } from "./browser.ts";
import { SCRIPT } from "./test_data.ts";
import { TOKEN } from "./test_server.ts";

const VIEWS = ["#/live", "#/order", "#/decisions", "#/cases", "#/models", "#/send", "#/faults", "#/estimator", "#/tour"];
const DETAILS = [
  "#/live/stream",
  "#/live/store",
  "#/decisions/2/17",
  "#/decisions/dead-letters",
  `#token=${TOKEN}&/cases/2/17`,
  "#/tour/scale",
];
const ADDRESSES = [...VIEWS, ...DETAILS];

test("a box opens by a click, tells about its process, and closes by Escape with the focus back on the box", async () => {
  const page = await open("#/live");
  await page.getByRole("button", { name: /^Stream worker: ready/ }).click();
  const panel = page.getByRole("complementary", { name: "Stream worker" });
  await panel.getByText("process 4102").waitFor();
  for (const heading of [
    "What it does",
    "Why it is so",
    "Rejected alternatives",
    "If it fails",
    "On AWS",
    "Runbook",
    "Code",
    "Tests that hold it",
    "Offsets",
    "Metrics",
    "End of the log",
  ]) {
    await panel.getByRole("heading", { name: heading }).waitFor();
  }
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement?.id), "box-stream");
});

test("a kill asks first, names its command, and is sent with the token of the address, which disappears from there", async () => {
  const page = await open(`#token=${TOKEN}`);
  assert.equal(new URL(page.url()).hash, "");
  await page.getByRole("button", { name: /^Scoring service/ }).click();
  await page.getByRole("button", { name: "Kill…" }).click();
  await page.getByText("cardwatch fault on kill-scoring").waitFor();
  assert.deepEqual(server.actions, []);
  await page.getByRole("button", { name: "Kill process 4104" }).click();
  await page.getByRole("complementary").getByText("Kill: sent to process 4104.").waitFor();
  assert.deepEqual(server.actions, ["scoring/kill"]);
});

test("an address with a malformed token shows the page, and changes nothing", async () => {
  const page = await open("#token=%");
  assert.equal(new URL(page.url()).hash, "");
  await page.getByRole("button", { name: /^Scoring service/ }).waitFor();
});

test("a frozen process can be resumed and not frozen again", async () => {
  server.system.away = { stream: "frozen" };
  const page = await open(`#token=${TOKEN}&/live/stream`);
  await page.getByTestId("sentence").getByText("Stream worker is frozen.").waitFor();
  assert.ok(await page.getByRole("button", { name: "Freeze…" }).isDisabled());
  await page.getByRole("button", { name: "Resume…" }).click();
  await page.getByText("cardwatch fault off freeze-stream").waitFor();
  await page.getByRole("button", { name: "Resume process 4102" }).click();
  await page.getByRole("complementary").getByText("Resume: sent to process 4102.").waitFor();
  assert.deepEqual(server.actions, ["stream/resume"]);
});

test("an action without a token is refused, and the page says why", async () => {
  const page = await open("#/live/scoring");
  await page.getByRole("button", { name: "Freeze…" }).click();
  await page.getByRole("button", { name: "Freeze process 4104" }).click();
  await page.getByRole("complementary").getByText("Freeze was refused: The token is missing or wrong.").waitFor();
});

test("in containers a process has the commands to type instead of buttons", async () => {
  server.system.inContainers = true;
  const page = await open("#/live/scoring");
  await page.getByText("docker compose kill scoring").waitFor();
  assert.equal(await page.getByRole("button", { name: "Kill…" }).count(), 0);
});

test("a part that somebody else has started cannot be stopped from the page", async () => {
  const page = await open("#/live/store");
  await page.getByText("The console has not started this part and may not stop it.").waitFor();
});

test("the outcome of a kill stays readable when the process is gone", async () => {
  const page = await open(`#token=${TOKEN}&/live/scoring`);
  await page.getByRole("button", { name: "Kill…" }).click();
  await page.getByRole("button", { name: "Kill process 4104" }).click();
  server.system.away = { scoring: "down" };
  await page.getByText("The process does not run now, so there is nothing to stop.").waitFor();
  await page.getByRole("complementary").getByText("Kill: sent to process 4104.").waitFor();
});

test("the box of a process that is down says so within a second, and so do the sentence and the screen reader", async () => {
  const page = await open("#/live");
  await page.getByRole("button", { name: /^Scoring service: ready/ }).waitFor();
  const start = Date.now();
  server.system.away = { scoring: "down" };
  server.system.isScoringDown = true;
  server.system.states = ["degraded"];
  await page.getByRole("button", { name: /^Scoring service: down, it does not answer/ }).waitFor();
  assert.ok(Date.now() - start < 1_500);
  await page
    .getByRole("status")
    .getByText("Degraded: Scoring service is down. The rules decide 100 % of the transactions.")
    .waitFor({ state: "attached" });
});

test("the lanes show where each partition stands", async () => {
  server.system.away = { stream: "frozen" };
  const page = await open("#/order");
  const lane = page.getByRole("group", { name: "Partition 2" });
  await lane.getByText("459,462").first().waitFor();
  await lane.getByText(/\d+ waiting/).waitFor();
  assert.equal(await page.getByRole("heading", { name: "Write the states" }).count(), 1);
});

test("decisions can be filtered, and one of them is explained up to its lineage", async () => {
  const page = await open("#/decisions");
  await page.getByText("decline", { exact: true }).first().click();
  await page.getByRole("listitem").getByText("decline").first().waitFor();
  const actions = await page.locator(".scroller .action").allTextContents();
  assert.deepEqual([...new Set(actions)], ["decline"]);
  await page.locator(".scroller a").first().click();
  const panel = page.getByRole("complementary");
  await panel.getByText("The cheapest action that is possible in this channel was taken.").waitFor();
  await panel.getByRole("heading", { name: "Lineage" }).waitFor();
  await panel.getByText("v2, 9f8e7d6c5b4a3928").waitFor();
  assert.match(page.url(), /#\/decisions\/\d+\/\d+$/);
});

test("a decision has an address of its own", async () => {
  const page = await open("#/decisions/2/17");
  await page.getByText("transactions[2] offset 17").waitFor();
  await page.getByText("cardwatch decisions show 2:17").waitFor();
});

test("the list stands still while somebody reads further below, and follows again at the top", async () => {
  server.system.listed = 75;
  const page = await open("#/decisions");
  await page.locator(".scroller li").nth(20).waitFor();
  await page.waitForTimeout(1_000);
  await page.locator(".scroller").evaluate((element) => (element.scrollTop = 500));
  await page.getByText("The list stands still").waitFor();
  const before = await page.locator(".scroller li").first().textContent();
  await page.getByText(/\d+ newer decisions/).waitFor();
  assert.equal(await page.locator(".scroller li").first().textContent(), before);
  await page.locator(".scroller").evaluate((element) => (element.scrollTop = 0));
  await page.getByText("The list stands still").waitFor({ state: "detached" });
});

test("a row that has the focus keeps it and its place while decisions arrive", async () => {
  server.system.listed = 75;
  const page = await open("#/decisions");
  await page.waitForTimeout(1_000);
  await page.locator(".scroller a").first().focus();
  const focused = () => page.evaluate(() => document.activeElement?.id);
  const before = await focused();
  await page.getByText(/\d+ newer decisions/).waitFor();
  assert.match(before ?? "", /^decision-/);
  assert.equal(await focused(), before);
});

test("identifiers that look like a script are text", async () => {
  const page = await open("#/decisions");
  await page.getByRole("listitem").getByText(SCRIPT).first().waitFor();
  await page.goto(`${server.address}/#/decisions/2/17`);
  await page.getByRole("heading", { name: `€487.90 from ${SCRIPT}` }).waitFor();
  await page.goto(`${server.address}/#/live/stream`);
  await page.getByText(`of card ${SCRIPT}: challenge`).waitFor();
});

test("without its server the page is grey and says its age, and comes back by itself", async () => {
  const page = await open("#/live");
  server.cut();
  await page
    .getByTestId("sentence")
    .getByText(/Disconnected: everything below is \d+ s old/)
    .waitFor();
  assert.equal(await page.locator(".app.stale").count(), 1);
  server.flow();
  await page.getByTestId("sentence").getByText("Running normally").waitFor();
  assert.equal(await page.locator(".app.stale").count(), 0);
});

test("a page that nobody sees gives its connection up after half a minute, and is back when it is seen", async () => {
  const page = await open("#/live");
  await page.clock.install();
  const show = (isHidden: boolean) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, isHidden);
  await show(true);
  await page.clock.fastForward(29_000);
  assert.equal(server.followers, 1);
  await show(false);
  await page.clock.fastForward(60_000);
  assert.equal(server.followers, 1);
  await show(true);
  await page.clock.fastForward(31_000);
  await eventually(() => server.followers === 0);
  await show(false);
  await eventually(() => server.followers === 1);
  await page.getByTestId("sentence").getByText("Running normally").waitFor();
});

test("the theme follows the system until somebody chooses, and the choice is remembered", async () => {
  const page = await open("#/live", { colorScheme: "dark" });
  const shown = () => page.evaluate(() => document.documentElement.dataset["theme"]);
  assert.equal(await shown(), "dark");
  await page.getByRole("button", { name: "Switch to the light theme" }).click();
  await page.reload();
  assert.equal(await shown(), "light");
  await page.getByRole("button", { name: "Switch to the dark theme" }).click();
  await page.emulateMedia({ colorScheme: "light" });
  await page.waitForFunction(() => document.documentElement.dataset["theme"] === "light");
});

test("everything on the live view can be reached with the tab key, with a visible focus, and Enter opens a box", async () => {
  const page = await open("#/live");
  const reached = new Set<string>();
  for (let press = 0; press < 40; press++) {
    await page.keyboard.press("Tab");
    const { name, isVisible } = await page.evaluate(() => {
      const element = document.activeElement!;
      if (element === document.body) return { name: "", isVisible: true }; // between the last element and the first
      const style = getComputedStyle(element);
      return {
        name: element.id || element.textContent || element.ariaLabel || "",
        isVisible: element instanceof SVGElement ? style.stroke !== "none" : style.outlineStyle !== "none",
      };
    });
    if (name.trim()) assert.ok(isVisible, `no visible focus on ${name}`);
    reached.add(name.trim());
  }
  for (const name of ["Live", "Commit order", "Decisions", ...BOXES.map((box) => `box-${box}`)])
    assert.ok(reached.has(name), name);
  await page.locator("#box-kafka").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("complementary", { name: "Kafka" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Kafka");
});

test("arrow keys move through the list of decisions beyond the rows that exist", async () => {
  server.system.listed = 75;
  const page = await open("#/decisions");
  await page.waitForTimeout(1_500);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator(".scroller a").first().focus();
  for (let press = 0; press < 5; press++) await page.keyboard.press("PageDown");
  await page.waitForFunction(() => Number(document.activeElement?.closest("li")?.dataset["index"]) > 60);
  assert.ok((await page.locator(".scroller li").count()) < 80);
});

for (const address of ADDRESSES) {
  for (const [size, options] of Object.entries({ wide: {}, narrow })) {
    for (const colorScheme of ["light", "dark"] as const) {
      test(`axe finds nothing at ${address}, ${size}, ${colorScheme}`, async () => {
        const page = await open(address, { ...options, colorScheme });
        await page.waitForTimeout(400);
        assert.deepEqual(await violations(page), []);
        const width = page.viewportSize()!.width;
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, "scrolls sideways");
        assert.ok(
          await page.locator("#view").evaluate((view) => view.scrollWidth <= view.clientWidth),
          "the view scrolls sideways",
        );
      });
    }
  }
}

for (const colorScheme of ["light", "dark"] as const) {
  test(`axe finds nothing while parts are down and while the page is disconnected, ${colorScheme}`, async () => {
    server.system.away = { scoring: "down", kafka: "frozen", archive: "waiting", generator: "absent" };
    server.system.isScoringDown = true;
    server.system.states = ["degraded"];
    const page = await open("#/live/scoring", { colorScheme });
    assert.deepEqual(await violations(page), []);
    await page.goto(`${server.address}/#/live/kafka`);
    await page.getByRole("button", { name: "Kill…" }).click();
    assert.deepEqual(await violations(page), []);
    server.cut();
    await page.getByTestId("sentence").getByText("Disconnected").waitFor();
    assert.deepEqual(await violations(page), []);
  });

  test(`axe finds nothing before the first transaction, ${colorScheme}`, async () => {
    server.system.empty = true;
    server.system.states = ["starting"];
    const page = await open("#/live", { colorScheme });
    for (const address of VIEWS) {
      await page.goto(`${server.address}/${address}`);
      assert.deepEqual(await violations(page), []);
    }
  });
}

test("the worker is held before a step, and killed there", async () => {
  const page = await open(`#token=${TOKEN}&/order`);
  await page.getByText("cardwatch steps hold apply").waitFor();
  await page.getByRole("button", { name: "Hold before this step" }).nth(4).click();
  await page.getByText("Held before apply.").first().waitFor();
  server.system.step_frame = { is_possible: true, asked: "apply", held: "apply", pid: 4102 };
  await page.getByText("Process 4102 stands still before this step.").waitFor();
  assert.deepEqual(await violations(page), []);
  await page.getByRole("button", { name: "Kill it here" }).click();
  await page.getByText("Killed. The stack starts it again").first().waitFor();
  assert.deepEqual(server.actions, ["/api/steps/apply/hold", "stream/kill", "/api/steps/release"]);
  server.system.step_frame = { is_possible: true, asked: null, held: null, pid: null };
  server.system.refolded = 12;
  await page.getByText("12 folded again since the worker’s start").first().waitFor();
});

test("a stack that holds no steps says how to start one that does", async () => {
  server.system.step_frame = { is_possible: false, asked: null, held: null, pid: null };
  const page = await open("#/order");
  await page.getByText("CARDWATCH_HOLD_STEPS=true cardwatch up").waitFor();
  assert.equal(await page.getByRole("button", { name: "Hold before this step" }).count(), 0);
});

test("the same picture shows the services of AWS with sizes and prices", async () => {
  const page = await open("#/live");
  const choice = page.getByRole("group", { name: "Where the system runs" });
  await choice.getByText("AWS sandbox").click();
  const diagram = page.getByRole("group", { name: "Diagram of the system on AWS" });
  await diagram.getByRole("button", { name: /^Kinesis, a shard is a partition, .* a month$/ }).waitFor();
  await page.getByText(/a month at 10 transactions per second/).click();
  await page.getByRole("region", { name: "The bill" }).getByText("SageMaker endpoint").waitFor();
  assert.deepEqual(await violations(page), []);
  await choice.getByText("This machine").click();
  await page.getByRole("button", { name: /^Stream worker: ready/ }).waitFor();
});

test("transactions that wait for a frozen worker are counted on their edge", async () => {
  server.system.away = { stream: "frozen" };
  const page = await open("#/live");
  await page
    .locator('[data-edge="batches"][data-by="waiting"]')
    .getByText(/\d waiting/)
    .waitFor();
});

test("the monitored days can be read as a table", async () => {
  const page = await open("#/live");
  await page.getByText("The 40 monitored days as a table").click();
  await page.getByRole("row", { name: /^Mon, 31 Mar 2025 v2 stable/ }).waitFor();
  assert.deepEqual(await violations(page), []);
});

test("where a panel covers the view, the keyboard stays in the panel until it is closed", async () => {
  const page = await open("#/live", narrow);
  await page.locator("#box-archive").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("complementary", { name: "Archive" }).waitFor();
  for (let press = 0; press < 12; press++) {
    await page.keyboard.press("Tab");
    assert.ok(
      await page.evaluate(
        () =>
          document.activeElement!.closest(".panel, body > :not(#app)") !== null ||
          document.activeElement === document.body,
      ),
    );
  }
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "box-archive");
});

test("dots move along the edges, and none if motion is reduced", async () => {
  const moving = await open("#/live", { reducedMotion: "no-preference" });
  await moving.locator(".dots circle").first().waitFor({ state: "attached" });
  const still = await open("#/live", { reducedMotion: "reduce" });
  await still.waitForTimeout(1_000);
  assert.equal(await still.locator(".dots circle").count(), 0);
});

async function eventually(reached: () => boolean): Promise<void> {
  const end = Date.now() + 15_000;
  while (!reached()) {
    assert.ok(Date.now() < end, "not within 15 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
