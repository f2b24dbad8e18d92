import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import * as format from "../format.ts";
import type { DecisionLine } from "../frames.ts";
import { isReplay } from "../replay/recording.ts";
import { addressOf, go, route } from "../routes.ts";
import { DECISIONS_KEPT, decisions, positionOf, skippedApprovals } from "../state.ts";
import { VirtualList } from "../ui/VirtualList.tsx";
import { DEAD_LETTERS, DeadLetters } from "./DeadLetters.tsx";
import { DecisionPanel } from "./DecisionPanel.tsx";

const ACTIONS = ["all", "approve", "challenge", "decline"] as const;
type ActionFilter = (typeof ACTIONS)[number];

/** As in styles.css: below this width of the view a row has two lines. */
const NARROW_PIXELS = 740;

/** The decisions, or beside them what was rejected. */
export function DecisionsView() {
  return route.value.rest[0] === DEAD_LETTERS && !isReplay ? <DeadLetters /> : <DecisionList />;
}

/** The newest decisions, and one of them explained. */
function DecisionList() {
  const [action, setAction] = useState<ActionFilter>("all");
  const [degradedOnly, setDegradedOnly] = useState(false);
  const [text, setText] = useState("");
  const [paused, setPaused] = useState(false);
  const [atTop, setAtTop] = useState(true);
  const [hasFocus, setHasFocus] = useState(false);
  const newest = decisions.value;
  const held = useRef(newest);
  const isHeld = paused || !atTop || hasFocus;
  if (!isHeld) held.current = newest;
  const shown = held.current.filter(filterFor(action, degradedOnly, text));
  const fresh = isHeld ? countBefore(newest, held.current[0]) : 0;
  const selected = selectedPosition(route.value.rest);
  const close = useCallback(() => closeDecision(selected), [selected?.partition, selected?.offset]);
  const view = useRef<HTMLElement>(null);
  const rowHeight = useNarrow(view) ? 58 : 34;
  return (
    <>
      <main class="view fixed" id="view" tabIndex={-1} aria-label="Decisions" ref={view}>
        <div class="decisions">
          <div class="filters" role="search" aria-label="Filters of the list">
            <fieldset class="segments">
              <legend class="visually-hidden">Action</legend>
              {ACTIONS.map((name) => (
                <label key={name}>
                  <input type="radio" name="action" checked={action === name} onChange={() => setAction(name)} />
                  {name === "all" ? "All" : name}
                </label>
              ))}
            </fieldset>
            <input
              type="search"
              aria-label="Card, transaction, position or reason"
              placeholder="Card, id, position, reason"
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
            <label class="check">
              <input
                type="checkbox"
                checked={degradedOnly}
                onChange={(event) => setDegradedOnly(event.currentTarget.checked)}
              />
              Degraded only
            </label>
            <button type="button" class="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
              {paused ? "Continue" : "Pause"}
            </button>
            {!isReplay && (
              <a class="letters-link" href={addressOf("decisions", DEAD_LETTERS)}>
                Dead letters
              </a>
            )}
            <p class="muted" role="note">
              {isHeld && fresh > 0
                ? `The list stands still; ${format.plural(fresh, "newer decision")}. ${howToFollow(paused, atTop)}`
                : `${format.count(shown.length)} of the newest ${format.count(Math.min(newest.length, DECISIONS_KEPT))}; ${format.plural(skippedApprovals.value, "approval was", "approvals were")} left out.`}
            </p>
          </div>
          <div class="list card">
            <div class="row list-head" aria-hidden="true">
              <span>Occurred at</span>
              <span>Position</span>
              <span>Card</span>
              <span class="number">Amount</span>
              <span>Channel</span>
              <span>Action</span>
              <span class="number">Probability</span>
              <span class="number optional">Latency</span>
              <span class="optional">Reasons</span>
            </div>
            {shown.length === 0 ? (
              <p class="nothing-here">
                {newest.length === 0
                  ? "No decision yet. They appear here within a second of their commit."
                  : "No decision passes these filters."}
              </p>
            ) : (
              <VirtualList
                items={shown}
                rowHeight={rowHeight}
                label="Newest decisions"
                keyOf={positionOf}
                onTop={setAtTop}
                onFocus={setHasFocus}
                render={(line) => <Line line={line} selected={selected} />}
              />
            )}
          </div>
        </div>
      </main>
      {selected && <DecisionPanel {...selected} onClose={close} />}
    </>
  );
}

function howToFollow(paused: boolean, atTop: boolean): string {
  if (paused) return "";
  return atTop ? "It moves on when no row has the focus." : "Scroll to the top to follow them.";
}

interface Position {
  partition: number;
  offset: number;
}

function selectedPosition([partition, offset]: string[]): Position | null {
  return partition && offset && /^\d+$/.test(partition + offset)
    ? { partition: Number(partition), offset: Number(offset) }
    : null;
}

function closeDecision(position: Position | null): void {
  go(addressOf("decisions"), true);
  if (position) document.getElementById(`decision-${positionOf(position)}`)?.focus();
}

function filterFor(action: ActionFilter, degradedOnly: boolean, text: string): (line: DecisionLine) => boolean {
  const wanted = text.trim().toLowerCase();
  return (line) =>
    (action === "all" || line.action === action) &&
    (!degradedOnly || line.degraded) &&
    (!wanted ||
      [line.card_id, line.transaction_id, positionOf(line), line.channel, ...line.reasons].some((field) =>
        field.toLowerCase().includes(wanted),
      ));
}

/** How many decisions are newer than the first one that is shown. */
function countBefore(newest: readonly DecisionLine[], first: DecisionLine | undefined): number {
  const index = first ? newest.indexOf(first) : -1;
  return index < 0 ? newest.length : index;
}

function useNarrow(view: { current: HTMLElement | null }): boolean {
  const [narrow, setNarrow] = useState(false);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setNarrow(entry!.contentRect.width <= NARROW_PIXELS));
    observer.observe(view.current!);
    return () => observer.disconnect();
  }, []);
  return narrow;
}

function Line({ line, selected }: { line: DecisionLine; selected: Position | null }) {
  const isSelected = selected?.partition === line.partition && selected.offset === line.offset;
  return (
    <a
      class="row line"
      id={`decision-${positionOf(line)}`}
      href={addressOf("decisions", line.partition, line.offset)}
      aria-current={isSelected ? "true" : undefined}
    >
      <span class="soft wide-only">{format.eventTime(line.occurred_at)}</span>
      <span class="soft wide-only">{positionOf(line)}</span>
      <span class="first">{line.card_id}</span>
      <span class="number">{format.money(line.amount_minor, line.currency)}</span>
      <span class="soft">{line.channel}</span>
      <span class="action" data-action={line.action}>
        {line.action}
      </span>
      <span class="number">
        {line.degraded ? <span class="tag">rules</span> : format.probability(line.probability)}
      </span>
      <span class="number soft optional">{format.milliseconds(line.latency_ms)} ms</span>
      <span class="soft optional">{line.reasons.join(", ")}</span>
    </a>
  );
}
