import { useState } from "preact/hooks";
import { token } from "../api.ts";
import { BOX_TEXTS } from "../boxes.ts";
import { addressOf } from "../routes.ts";
import { live, stale } from "../state.ts";
import { usePolled } from "../ui/polled.ts";
import { announcement } from "../ui/Shell.tsx";
import { faultSwitches, switchOff, switchOn } from "./fault_calls.ts";
import {
  commandFor,
  countdown,
  duration,
  timesOf,
  type FaultGroup,
  type FaultSwitch,
} from "./fault_switch.ts";
import "./faults.css";

const REFRESH_MS = 1_000;

const GROUPS: { group: FaultGroup; title: string; note: string }[] = [
  {
    group: "world",
    title: "Data and load",
    note: "The generator applies them to what it sends. Labels say what really happened. A restarted generator goes on with the faults that are on.",
  },
  { group: "process", title: "Processes", note: "Signals to the real processes of this stack, with all descendants." },
  { group: "network", title: "Network", note: "Between the stream worker and what it needs." },
];

/** Every fault with its expected effect, a switch and a timer: each is a real fault of a real part. */
export function FaultsView() {
  const { value: faults, error, refresh } = usePolled(faultSwitches, REFRESH_MS);
  return (
    <main class="view" id="view" tabIndex={-1} aria-label="Faults">
      {token() === null && (
        <p class="card fault-note">
          This page was opened without its token, so every switch will be refused. Use the address with the token, which
          the command <code>cardwatch console</code> prints, or <code>python -m infra.compose addresses</code> for
          containers.
        </p>
      )}
      {error && <p class="card fault-note">The switches cannot be read: {error}</p>}
      {faults === null
        ? !error && <p class="nothing-here">The switches are being read.</p>
        : GROUPS.map(({ group, title, note }) => (
            <FaultTable
              key={group}
              title={title}
              note={note}
              faults={faults.filter((fault) => fault.group === group)}
              refresh={refresh}
            />
          ))}
    </main>
  );
}

interface TableProps {
  title: string;
  note: string;
  faults: FaultSwitch[];
  refresh: () => void;
}

function FaultTable({ title, note, faults, refresh }: TableProps) {
  const on = faults.filter((fault) => fault.state === "on").length;
  return (
    <section class="card faults" aria-label={title}>
      <div class="section-head">
        <h2>{title}</h2>
        <p class="muted">{note}</p>
        {on > 0 && <p class="faults-on">{on === 1 ? "1 is on" : `${on} are on`}</p>}
      </div>
      {faults.length === 0 ? (
        <p class="nothing-here">This stack has none of them.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">Fault</th>
              <th scope="col">Expected effect</th>
              <th scope="col">State</th>
              <th scope="col">Switch</th>
            </tr>
          </thead>
          <tbody>
            {faults.map((fault) => (
              <FaultRow key={fault.name} fault={fault} refresh={refresh} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function FaultRow({ fault, refresh }: { fault: FaultSwitch; refresh: () => void }) {
  const [seconds, setSeconds] = useState(fault.seconds);
  const [refusal, setRefusal] = useState("");
  const name = nameOf(fault);
  const isOff = fault.state === "off";
  const set = async () => {
    let said = "";
    try {
      await (isOff ? switchOn(fault.name, seconds) : switchOff(fault.name));
      said = `${name}: ${fault.seconds === null ? "done" : isOff ? "switched on" : "switched off"}.`;
      setRefusal("");
    } catch (error) {
      said = `Refused: ${(error as Error).message}`;
      setRefusal(said);
    }
    announcement.value = said;
    refresh();
  };
  return (
    <tr data-state={fault.state} class={fault.unavailable ? "unavailable" : undefined}>
      <th scope="row">
        {name}
        <span class="part">{fault.name}</span>
      </th>
      <td class="effect">
        <p>{effectOf(fault)}</p>
        <p class="muted">
          {fault.look} <a href={addressOf("live", fault.box)}>See {BOX_TEXTS[fault.box].title} in Live</a>
        </p>
      </td>
      <td class="state">
        <StateText fault={fault} />
      </td>
      <td class="switch-cell">
        <div class="switch-row">
          {fault.seconds === null ? (
            <button
              type="button"
              class="button"
              aria-label={fault.group === "process" ? name : `Send one: ${name}`}
              disabled={fault.unavailable !== null}
              onClick={set}
            >
              {fault.group === "process" ? "Kill" : "Send one"}
            </button>
          ) : (
            <>
              <button
                type="button"
                class="switch"
                role="switch"
                aria-checked={!isOff}
                aria-label={name}
                disabled={fault.unavailable !== null}
                onClick={set}
              >
                <span aria-hidden="true" />
              </button>
              {fault.unavailable === null && isOff && (
                <label class="reset">
                  for{" "}
                  <select
                    aria-label={`Time until ${name} ends`}
                    value={seconds ?? undefined}
                    onChange={(event) => setSeconds(Number(event.currentTarget.value))}
                  >
                    {timesOf(fault).map((time) => (
                      <option key={time} value={time}>
                        {duration(time)}
                      </option>
                    ))}
                  </select>
                </label>
              )}
            </>
          )}
        </div>
        {(fault.unavailable === null || !fault.commands.on.startsWith("cardwatch")) && (
          <code class="command">{commandFor(fault, seconds)}</code>
        )}
        {refusal && <p class="refusal">{refusal}</p>}
      </td>
    </tr>
  );
}

function StateText({ fault }: { fault: FaultSwitch }) {
  if (fault.unavailable !== null) return <span class="muted">{fault.unavailable}</span>;
  if (fault.state === "off") return <span class="muted">off</span>;
  const left = stale.value ? null : countdown(fault, live.value?.at_ms ?? Date.now());
  if (fault.state === "asked") return <span>asked; the generator begins it</span>;
  return (
    <span>
      <b>on</b>
      {left === null ? (fault.until_ms === null ? ", until it is switched off" : "") : `, ends in ${left}`}
    </span>
  );
}

function nameOf(fault: FaultSwitch): string {
  if (fault.group !== "process") return fault.title;
  const box = BOX_TEXTS[fault.box].title;
  return `${fault.title} ${fault.part === fault.box ? box : `${box}, ${fault.part}`}`;
}

function effectOf(fault: FaultSwitch): string {
  if (fault.group !== "process") return fault.effect;
  return fault.seconds === null ? BOX_TEXTS[fault.box].ifKilled : BOX_TEXTS[fault.box].ifFrozen;
}
