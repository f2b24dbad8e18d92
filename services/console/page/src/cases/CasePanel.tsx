import { useEffect, useState } from "preact/hooks";
import * as format from "../format.ts";
import { addressOf } from "../routes.ts";
import { positionOf } from "../state.ts";
import { NoToken } from "../ui/NoToken.tsx";
import { Panel } from "../ui/Panel.tsx";
import { announcement } from "../ui/Shell.tsx";
import {
  caseHistory,
  change,
  investigator,
  type CaseHistory,
  type CaseOutcomeName,
  type ShownCase,
} from "./case_calls.ts";
import { actionText, lossOf, stateText } from "./case_text.ts";

interface CasePanelProps {
  partition: number;
  offset: number;
  onClose: () => void;
  /** Called after every change. */
  onChange: () => void;
}

/** One case: what is known of it, what was done with it, and what can be done. */
export function CasePanel({ partition, offset, onClose, onChange }: CasePanelProps) {
  const position = positionOf({ partition, offset });
  const [shown, setShown] = useState<CaseHistory | null>(null);
  const [error, setError] = useState("");
  const [reads, setReads] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    caseHistory(partition, offset, stop.signal).then(
      (found) => {
        setShown(found);
        setError("");
      },
      (reason: Error) => stop.signal.aborted || setError(reason.message),
    );
    return () => stop.abort();
  }, [position, reads]);
  const found = shown?.case;
  const act = async (action: string, body: unknown): Promise<boolean> => {
    let said = "Done.";
    try {
      const after = await change(found!, action, body);
      setShown(after);
      said = `Case ${position}: ${stateText(after.case)}.`;
      setError("");
      return true;
    } catch (failure) {
      said = `Refused: ${(failure as Error).message}`;
      setReads((number) => number + 1); // somebody else may have been faster
      setTimeout(() => setError(said));
      return false;
    } finally {
      announcement.value = said;
      onChange();
    }
  };
  return (
    <Panel
      title={found ? `${format.money(found.amount_minor, found.currency ?? "")} from ${found.card_id}` : `Case ${position}`}
      subject={position}
      class="case-panel"
      state={<p class={found ? undefined : "muted"}>{found ? stateText(found) : error || "It is being read."}</p>}
      onClose={onClose}
    >
      {error && (
        <section>
          <p class="text">{error}</p>
        </section>
      )}
      {found && <NextSteps shown={found} act={act} />}
      {found && <Facts shown={found} />}
      {shown && <History shown={shown} />}
      <section>
        <h3>The same on the command line</h3>
        <code class="command">cardwatch cases show {position}</code>
      </section>
    </Panel>
  );
}

type Act = (action: string, body: unknown) => Promise<boolean>;

function NextSteps({ shown, act }: { shown: ShownCase; act: Act }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const isUndecided = shown.outcome === null;
  const step = async (action: string, body: unknown) => {
    setBusy(true);
    const isDone = await act(action, body);
    setBusy(false);
    if (isDone && action !== "assign" && action !== "release") setText("");
  };
  const name = investigator.state.value.trim() || "console";
  const decide = (outcome: CaseOutcomeName) => step("decision", { outcome, comment: text });
  return (
    <section>
      <h3>What to do</h3>
      <NoToken />
      {isUndecided && (
        <div class="actions">
          <button
            type="button"
            class="button"
            disabled={busy || shown.assignee === name}
            onClick={() => step("assign", {})}
          >
            Assign to {name}
          </button>
          <button
            type="button"
            class="button"
            disabled={busy || shown.state !== "assigned"}
            onClick={() => step("release", {})}
          >
            Put back
          </button>
        </div>
      )}
      <label class="case-note">
        {isUndecided ? "Note, or comment of the decision" : "Note"}
        <textarea rows={3} maxLength={2000} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <div class="actions">
        <button type="button" class="button" disabled={busy || !text.trim()} onClick={() => step("notes", { text })}>
          Add the note
        </button>
        {isUndecided && (
          <>
            <button type="button" class="button danger" disabled={busy} onClick={() => decide("fraud")}>
              Decide fraud
            </button>
            <button type="button" class="button" disabled={busy} onClick={() => decide("genuine")}>
              Decide genuine
            </button>
            <button type="button" class="button" disabled={busy} onClick={() => decide("inconclusive")}>
              Inconclusive
            </button>
          </>
        )}
      </div>
      {isUndecided && (
        <p class="text">Fraud and genuine become a label of an investigator, which counts in the next reference table.</p>
      )}
    </section>
  );
}

function Facts({ shown }: { shown: ShownCase }) {
  return (
    <section>
      <h3>What is known</h3>
      <dl class="facts">
        <dt>Decision</dt>
        <dd>
          <a href={addressOf("decisions", shown.partition, shown.offset)}>
            {shown.action} at {positionOf(shown)}
          </a>
        </dd>
        <dt>Probability</dt>
        <dd>{shown.probability === null ? "none: the rules decided" : format.probability(shown.probability)}</dd>
        <dt>Expected loss</dt>
        <dd>
          {lossOf(shown)}, {shown.is_within_capacity ? "within" : "beyond"} the capacity of {format.day(shown.day)}
        </dd>
        <dt>Reasons</dt>
        <dd>{shown.reasons.join(", ") || "none"}</dd>
        <dt>Transaction</dt>
        <dd>{shown.transaction_id}</dd>
        <dt>Merchant, channel</dt>
        <dd>
          {shown.merchant_id}, {shown.channel}
        </dd>
        <dt>Opened, due</dt>
        <dd>
          {format.eventTime(shown.opened_at)}, {format.eventTime(shown.due_at)}
          {shown.is_overdue && ", overdue"}
        </dd>
        <dt>Labels</dt>
        <dd>
          {shown.labels.length === 0
            ? "none yet"
            : shown.labels.map((label) => `${label.is_fraud ? "fraud" : "genuine"} by ${label.source}`).join(", ")}
        </dd>
      </dl>
    </section>
  );
}

function History({ shown }: { shown: CaseHistory }) {
  return (
    <section>
      <h3>What was done</h3>
      {shown.actions.length === 0 && <p class="text">Nothing yet.</p>}
      <ol class="case-history">
        {shown.actions.map((action) => (
          <li key={action.version}>
            <b>{action.by}</b> {actionText(action)} <span class="muted">{format.eventTime(action.at)}</span>
            {action.text && <p class="case-said">{action.text}</p>}
          </li>
        ))}
      </ol>
    </section>
  );
}
