import { Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import { act, boxDetails, type BoxDetails } from "../api.ts";
import { BOX_TEXTS, type BoxText } from "../boxes.ts";
import * as format from "../format.ts";
import type { Box, BoxName } from "../frames.ts";
import { isReplay } from "../replay/recording.ts";
import { boxNamed, live } from "../state.ts";
import { NoToken } from "../ui/NoToken.tsx";
import { Panel } from "../ui/Panel.tsx";
import { announcement } from "../ui/Shell.tsx";
import { linesOf, stateOf, toneOf } from "./box_figures.ts";

const REFRESH_MS = 2_000;
const LOG_LINES = 200;
const LONGEST_FREEZE = "The console resumes it after 10 minutes, if nobody does before.";

/** Everything about one box. */
export function BoxPanel({ name, onClose }: { name: BoxName; onClose: () => void }) {
  const text = BOX_TEXTS[name];
  const box = boxNamed(name);
  const { details, error } = useDetails(box?.process || name);
  return (
    <Panel title={text.title} subject={name} state={<State box={box} />} onClose={onClose}>
      <Actions name={name} text={text} box={box} />
      <Figures box={box} />
      <section>
        <h3>What it does</h3>
        <p class="text">{text.does}</p>
      </section>
      <section>
        <h3>Why it is so</h3>
        <p class="text">{text.why}</p>
      </section>
      <section>
        <h3>Rejected alternatives</h3>
        <ul class="rejected">
          {text.rejected.map(({ instead, because, page }) => (
            <li key={instead}>
              <p>{instead}</p>
              <p class="text">
                {because} <span class="mono muted">{page}</span>
              </p>
            </li>
          ))}
        </ul>
      </section>
      <section>
        <h3>If it fails</h3>
        <p class="text">{text.failure}</p>
      </section>
      <section>
        <h3>On AWS</h3>
        <p class="text">
          {text.aws} <span class="mono muted">docs/aws.md</span>
        </p>
      </section>
      <Paths title="Runbook" paths={text.runbook} />
      <Paths title="Code" paths={text.code} />
      <Paths title="Tests that hold it" paths={text.tests} />
      {error && (
        <section>
          <h3>Log, metrics and offsets</h3>
          <p class="text">They cannot be read: {error}</p>
        </section>
      )}
      <Pairs
        title="Offsets"
        pairs={[...offsetsOf(name), ...(details?.offsets ?? [])]}
        none="This process has no offsets."
      />
      {details && <Pairs title="Metrics" pairs={details.metrics} none="This process publishes no metrics." />}
      {details && box && hasLog(box, details) && (
        <Log box={box} lines={details.log} command={details.log_command} />
      )}
    </Panel>
  );
}

/** Whether there is a log, here or in a container. What somebody else has started has none here. */
function hasLog(box: Box, { log }: BoxDetails): boolean {
  return log.length > 0 || box.pid !== null || Object.keys(box.commands).length > 0;
}

function useDetails(name: string): { details: BoxDetails | null; error: string | null } {
  const [state, setState] = useState<{ name: string; details: BoxDetails | null; error: string | null }>({
    name,
    details: null,
    error: null,
  });
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const read = async () => {
      try {
        setState({ name, details: await boxDetails(name, stop.signal), error: null });
      } catch (error) {
        if (stop.signal.aborted) return;
        setState({ name, details: null, error: (error as Error).message });
      }
      timer = window.setTimeout(read, REFRESH_MS);
    };
    void read();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [name]);
  return state.name === name ? state : { details: null, error: null };
}

/** The positions that the frames have of this box, per partition of the topic transactions. */
function offsetsOf(name: BoxName): [string, number | null][] {
  const lanes = live.value?.lanes ?? [];
  switch (name) {
    case "kafka":
      return lanes.map((lane) => [`transactions[${lane.partition}] log end`, lane.log_end]);
    case "stream":
      return lanes.map((lane) => [`transactions[${lane.partition}] committed`, lane.committed]);
    case "store":
      return lanes.map((lane) => [`transactions[${lane.partition}] applied`, lane.applied]);
    default:
      return [];
  }
}

function State({ box }: { box: Box | undefined }) {
  const parts = box
    ? [
        stateOf(box),
        box.pid !== null && `process ${box.pid}`,
        box.restarts > 0 && (box.restarts === 1 ? "restarted once" : `restarted ${box.restarts} times`),
        box.address,
      ].filter(Boolean)
    : ["unknown"];
  return (
    <p>
      <span class="dot" data-tone={toneOf(box)} aria-hidden="true" /> {parts.join(" · ")}
      {box?.reason && <span class="muted">. {box.reason}</span>}
    </p>
  );
}

const ACTIONS = [
  { name: "kill", title: "Kill" },
  { name: "freeze", title: "Freeze" },
  { name: "resume", title: "Resume" },
] as const;

type Action = (typeof ACTIONS)[number];

/** Kill, freeze and resume the real process, each after a question that names the command that does the same. */
function Actions({ name, text, box }: { name: BoxName; text: BoxText; box: Box | undefined }) {
  const [asked, setAsked] = useState<Action | null>(null);
  const [outcome, setOutcome] = useState("");
  useEffect(() => {
    setAsked(null);
    setOutcome("");
  }, [name]);
  const run = async (action: Action) => {
    setAsked(null);
    let said = `${action.title}: sent to process ${box?.pid}.`;
    try {
      await act(box!.process, action.name);
    } catch (error) {
      said = `${action.title} was refused: ${(error as Error).message}`;
    }
    setOutcome(said);
    announcement.value = said;
  };
  const canAct = !isReplay && box !== undefined && box.actions.length > 0;
  return (
    <section>
      <h3>Actions on the real process</h3>
      {canAct ? (
        <>
          <div class="actions">
            {ACTIONS.map((action) => (
              <button
                type="button"
                class="button"
                key={action.name}
                disabled={!box.actions.includes(action.name)}
                aria-expanded={asked?.name === action.name}
                onClick={() => setAsked(action)}
              >
                {action.title}…
              </button>
            ))}
          </div>
          <NoToken />
          {asked && (
            <Confirm
              action={asked}
              text={text}
              box={box}
              onConfirm={() => run(asked)}
              onCancel={() => setAsked(null)}
            />
          )}
        </>
      ) : (
        <NoActions box={box} />
      )}
      {outcome && <p class="text">{outcome}</p>}
    </section>
  );
}

/** Why there is nothing to press, and what to type instead if that is known. */
function NoActions({ box }: { box: Box | undefined }) {
  if (isReplay) return <p class="text">This is a recording: there is no process to act on.</p>;
  if (!box || box.state === "absent") return <p class="text">This part does not run in this stack.</p>;
  if (box.state === "down") return <p class="text">The process does not run now, so there is nothing to stop.</p>;
  const commands = Object.entries(box.commands);
  if (commands.length === 0) return <p class="text">The console has not started this part and may not stop it.</p>;
  return (
    <>
      <p class="text">The console may not touch this process. These commands do it:</p>
      {commands.map(([action, command]) => (
        <code class="command" key={action}>
          {command}
        </code>
      ))}
    </>
  );
}

interface ConfirmProps {
  action: Action;
  text: BoxText;
  box: Box;
  onConfirm: () => void;
  onCancel: () => void;
}

function Confirm({ action, text, box, onConfirm, onCancel }: ConfirmProps) {
  const pid = box.pid;
  const consequence = { kill: text.ifKilled, freeze: text.ifFrozen, resume: "It continues where it stopped." }[
    action.name
  ];
  return (
    <div class="confirm" role="group" aria-label={`${action.title} ${text.title}?`}>
      <p>
        <b>
          {action.title} process {pid} of {text.title}?
        </b>
      </p>
      <p>
        {consequence} {action.name === "freeze" && LONGEST_FREEZE}
      </p>
      {box.commands[action.name] && (
        <>
          <p>The same on the command line:</p>
          <code class="command">{box.commands[action.name]}</code>
        </>
      )}
      <div class="actions">
        <button
          type="button"
          class={action.name === "resume" ? "button" : "button danger"}
          ref={(element) => element?.focus()}
          onClick={onConfirm}
        >
          {action.title} process {pid}
        </button>
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </div>
  );
}

function Figures({ box }: { box: Box | undefined }) {
  const frame = live.value;
  const lines = box && frame ? linesOf(box, frame) : [];
  if (lines.length === 0) return null;
  return (
    <section>
      <h3>Now</h3>
      <dl class="facts">
        {lines.map(({ name, value, unit }) => (
          <Fragment key={name}>
            <dt>{name}</dt>
            <dd>
              {value} {unit}
            </dd>
          </Fragment>
        ))}
      </dl>
    </section>
  );
}

function Paths({ title, paths }: { title: string; paths: string[] }) {
  return (
    <section>
      <h3>{title}</h3>
      <ul class="paths">
        {paths.map((path) => (
          <li class="mono" key={path}>
            {path}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Pairs({ title, pairs, none }: { title: string; pairs: [string, number | string | null][]; none: string }) {
  return (
    <section>
      <h3>{title}</h3>
      {pairs.length === 0 ? (
        <p class="text">{none}</p>
      ) : (
        <table class="columns">
          <tbody>
            {pairs.map(([name, value]) => (
              <tr key={name}>
                <th scope="row" class="mono">
                  {name}
                </th>
                <td class="number">{typeof value === "string" ? value : format.number(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Log({ box, lines, command }: { box: Box; lines: string[]; command: string }) {
  const isReadHere = box.pid !== null || lines.length > 0;
  return (
    <section>
      <h3>End of the log</h3>
      {lines.length === 0 ? (
        <p class="text">{isReadHere ? "The log is empty." : "The console cannot read it."}</p>
      ) : (
        <pre class="log" tabIndex={0} aria-label="End of the log">
          {lines.slice(-LOG_LINES).join("\n")}
        </pre>
      )}
      <p class="text">All of it:</p>
      <code class="command">{command}</code>
    </section>
  );
}
