import { Fragment } from "preact";
import { useEffect } from "preact/hooks";
import * as format from "../format.ts";
import { offers, presetPayments, previews, send, type Payment } from "../records_api.ts";
import "./records.css";
import { NoToken } from "../ui/NoToken.tsx";
import { announcement } from "../ui/Shell.tsx";
import { FreeForm } from "./FreeForm.tsx";
import { SentPayments } from "./SentPayments.tsx";
import { commandOf } from "./command.ts";
import {
  FREE,
  busy,
  card,
  fillForm,
  hops,
  newId,
  offered,
  payments,
  preset,
  previewed,
  problems,
  refusal,
  seed,
  takeRefusal,
  typed,
  typedPayment,
  typedTime,
} from "./form.ts";

/** Time after the last change of card or time before its transactions are built. */
const PAUSE_MS = 250;

/** Pay with a card of the running system: ask what would be decided, or send and watch each hop. */
export function SendView() {
  useEffect(() => {
    const stop = new AbortController();
    offers(stop.signal).then(
      (found) => {
        offered.value = found;
        card.value ||= found.cards[0]?.card_id ?? "";
      },
      (error: Error) => stop.signal.aborted || (refusal.value = error.message),
    );
    return () => stop.abort();
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => void build(), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [preset.value, seed.value, card.value, typedTime.value]);
  const isFree = preset.value === FREE;
  return (
    <main class="view" id="view" tabIndex={-1} aria-label="Send">
      <div class="send">
        <section class="card send-what" aria-label="What to send">
          <CardAndTime />
          <Presets />
        </section>
        <section class="card send-it" aria-label="Transactions">
          <div class="section-head">
            <h2>{isFree ? "One transaction" : titleOf(preset.value)}</h2>
            <p class="muted">
              {isFree ? "every field as you type it" : format.plural(payments.value.length, "transaction")}
            </p>
            {!isFree && (
              <button type="button" class="button" onClick={() => (seed.value += 1)}>
                Another example
              </button>
            )}
          </div>
          {isFree && <FreeForm />}
          <Buttons />
          {refusal.value && (
            <p class="refused" role="alert">
              {refusal.value}
            </p>
          )}
          {!isFree || hops.value.length > 0 || previewed.value ? <SentPayments /> : null}
          <Commands />
        </section>
      </div>
    </main>
  );
}

function titleOf(name: string): string {
  return offered.value?.presets.find((each) => each.name === name)?.title ?? "Payments";
}

function CardAndTime() {
  const known = offered.value;
  const at = known?.at;
  return (
    <div class="send-basics">
      <label>
        Card
        <input
          type="text"
          list="recent-cards"
          value={card.value}
          aria-invalid={problems.value["card_id"] ? "true" : undefined}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => (card.value = event.currentTarget.value.trim())}
        />
      </label>
      <datalist id="recent-cards">
        {known?.cards.map((each) => (
          <option key={each.card_id} value={each.card_id}>
            {format.plural(each.decisions, "decision")} lately
          </option>
        ))}
      </datalist>
      {problems.value["card_id"] && <p class="refused">{problems.value["card_id"]}</p>}
      <label>
        Event time
        <input
          type="text"
          placeholder={at ? `newest: ${format.eventTime(at)}` : "2025-03-08T12:00:00Z"}
          value={typedTime.value}
          aria-invalid={problems.value["occurred_at"] ? "true" : undefined}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => (typedTime.value = event.currentTarget.value.trim())}
        />
      </label>
      {problems.value["occurred_at"] && <p class="refused">{problems.value["occurred_at"]}</p>}
      <p class="muted">
        Empty means the world's date: the event time of the newest decisions. On a day without a reference table the
        rules decide.
      </p>
    </div>
  );
}

function Presets() {
  const known = offered.value?.presets ?? [];
  return (
    <fieldset class="presets">
      <legend>What happens</legend>
      {known.map(({ name, title, about }) => (
        <PresetChoice key={name} name={name} title={title} about={about} />
      ))}
      <PresetChoice name={FREE} title="Free form" about="One transaction with fields of your own." />
    </fieldset>
  );
}

function PresetChoice({ name, title, about }: { name: string; title: string; about: string }) {
  return (
    <label class="preset">
      <input type="radio" name="preset" checked={preset.value === name} onChange={() => choose(name)} />
      <span>
        <b>{title}</b>
        <span class="muted">{about}</span>
      </span>
    </label>
  );
}

function choose(name: string): void {
  if (name === FREE && payments.value[0]) fillForm(payments.value[0]);
  preset.value = name;
  seed.value = 0;
}

function Buttons() {
  const isBusy = busy.value !== "";
  return (
    <>
      <div class="actions">
        <button type="button" class="button" disabled={isBusy} onClick={() => void ask()}>
          {busy.value === "asking" ? "Asking…" : "Ask only"}
        </button>
        <button type="button" class="button primary" disabled={isBusy} onClick={() => void sendAll()}>
          {busy.value === "sending" ? "Watching…" : "Send and watch"}
        </button>
      </div>
      <NoToken />
    </>
  );
}

function Commands() {
  const sent = { preset: preset.value, card: card.value, at: timeOfCommand(), seed: seed.value, typed: typed.value };
  return (
    <div class="send-commands">
      <h3>The same on the command line</h3>
      <Command words={commandOf(sent, "--ask-only")} />
      <Command words={commandOf(sent, "--hops")} />
    </div>
  );
}

/** A command that breaks between its options only. */
function Command({ words }: { words: string[] }) {
  return (
    <code class="command">
      {words.map((word) => (
        <Fragment key={word}>
          <span>{word}</span>{" "}
        </Fragment>
      ))}
    </code>
  );
}

/** A typed transaction without a time would get that of the clock on the command line. */
function timeOfCommand(): string {
  return typedTime.value || (preset.value === FREE ? (offered.value?.at ?? "") : "");
}

let builtFor = "";

/** Build the transactions of the chosen preset, and forget what is said about the ones before; once for each choice. */
async function build(): Promise<void> {
  const choice = JSON.stringify([preset.value, card.value, typedTime.value, seed.value]);
  if (choice === builtFor || busy.value) return;
  builtFor = choice;
  previewed.value = null;
  hops.value = [];
  problems.value = {};
  refusal.value = "";
  if (preset.value === FREE || !card.value) {
    payments.value = [];
    return;
  }
  await rebuild();
}

async function rebuild(): Promise<boolean> {
  const wanted = [preset.value, card.value, typedTime.value, seed.value] as const;
  try {
    const made = await presetPayments(...wanted);
    if (wanted[0] !== preset.value || wanted[1] !== card.value || wanted[3] !== seed.value) return false;
    payments.value = made;
    return true;
  } catch (error) {
    payments.value = [];
    say((error as Error).message);
    return false;
  }
}

/** The transactions to send, with ids that were not sent before; null if there are none that could be. */
async function prepared(): Promise<Payment[] | null> {
  refusal.value = "";
  problems.value = {};
  if (preset.value !== FREE) return (await rebuild()) ? payments.value : null;
  const at = typedTime.value || offered.value?.at || "";
  const made = typedPayment(card.value, at, newId());
  if (!made) return null;
  payments.value = [made];
  return payments.value;
}

async function ask(): Promise<void> {
  await during("asking", async (made) => {
    hops.value = [];
    previewed.value = await previews(made);
    announcement.value = `Asked: ${previewed.value.map((each) => each.action ?? "decided before").join(", ")}.`;
  });
}

async function sendAll(): Promise<void> {
  await during("sending", async (made) => {
    previewed.value = null;
    hops.value = [];
    await send(made, (hop) => (hops.value = [...hops.value, hop]));
    const last = hops.value.at(-1);
    if (last?.reason && last.hop !== "rejected") say(last.reason);
    const decided = hops.value.filter((hop) => hop.hop === "decided");
    announcement.value = `${decided.length} of ${made.length} decided: ${decided.map((hop) => hop.action).join(", ")}.`;
  });
}

async function during(what: "asking" | "sending", work: (made: Payment[]) => Promise<void>): Promise<void> {
  busy.value = what;
  try {
    const made = await prepared();
    if (made) await work(made);
  } catch (error) {
    say((error as Error).message);
  } finally {
    busy.value = "";
  }
}

function say(message: string): void {
  if (!takeRefusal(message) || preset.value !== FREE) refusal.value = message;
}
