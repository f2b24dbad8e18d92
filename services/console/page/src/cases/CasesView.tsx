import { useCallback, useState } from "preact/hooks";
import * as format from "../format.ts";
import { addressOf, go, route } from "../routes.ts";
import { positionOf } from "../state.ts";
import { NoToken } from "../ui/NoToken.tsx";
import { usePolled, type Polled } from "../ui/polled.ts";
import { CasePanel } from "./CasePanel.tsx";
import { casePage, investigator, type CasePage, type ShownCase } from "./case_calls.ts";
import { lossOf, stateText } from "./case_text.ts";
import "./cases.css";

const REFRESH_MS = 5_000;
const SHOWN = 50;

/** What is selected, with the query that the service takes. */
const FILTERS = {
  todo: { title: "To do", query: { state: ["open", "assigned"] } },
  mine: { title: "Mine", query: { state: ["assigned"] } },
  overdue: { title: "Overdue", query: { state: ["open", "assigned"], overdue: ["true"] } },
  decided: { title: "Decided", query: { state: ["decided"] } },
} as const;

type FilterName = keyof typeof FILTERS;

/** The review queue: the largest expected loss first, within the capacity of each day. */
export function CasesView() {
  const [filter, setFilter] = useState<FilterName>("todo");
  const [after, setAfter] = useState(0);
  const { value: page, error, refresh } = useQueue(filter, after);
  const selected = selectedPosition(route.value.rest);
  const close = useCallback(() => closeCase(selected), [selected?.partition, selected?.offset]);
  const choose = (name: FilterName) => {
    setFilter(name);
    setAfter(0);
  };
  return (
    <>
      <main class="view" id="view" tabIndex={-1} aria-label="Cases">
        <div class="filters" role="search" aria-label="Filters of the queue">
          <fieldset class="segments">
            <legend class="visually-hidden">Cases</legend>
            {Object.entries(FILTERS).map(([name, { title }]) => (
              <label key={name}>
                <input type="radio" name="cases" checked={filter === name} onChange={() => choose(name as FilterName)} />
                {title}
              </label>
            ))}
          </fieldset>
          <label class="case-name">
            Your name{" "}
            <input
              type="text"
              autocomplete="off"
              maxLength={64}
              placeholder="console"
              value={investigator.state.value}
              onInput={(event) => investigator.keep(event.currentTarget.value)}
            />
          </label>
          {page && <p class="muted">{summary(page)}</p>}
        </div>
        <section class="card cases" aria-label="Queue">
          <NoToken />
          {error && <p class="text">The queue cannot be read: {error}</p>}
          {page && page.cases.length === 0 && <p class="nothing-here">{nothing(filter, page)}</p>}
          {page && page.cases.length > 0 && <Queue page={page} selected={selected} />}
          {page && page.total > SHOWN && (
            <p class="actions">
              <button type="button" class="button" disabled={after === 0} onClick={() => setAfter(after - SHOWN)}>
                Before
              </button>
              <button
                type="button"
                class="button"
                disabled={after + SHOWN >= page.total}
                onClick={() => setAfter(after + SHOWN)}
              >
                After
              </button>
            </p>
          )}
        </section>
      </main>
      {selected && <CasePanel key={positionOf(selected)} {...selected} onClose={close} onChange={refresh} />}
    </>
  );
}

function useQueue(filter: FilterName, after: number): Polled<CasePage> {
  const name = investigator.state.value.trim() || "console";
  const query = new URLSearchParams({ after: String(after), limit: String(SHOWN) });
  for (const [key, values] of Object.entries(FILTERS[filter].query))
    for (const value of values) query.append(key, value);
  if (filter === "mine") query.append("assignee", name);
  return usePolled((signal) => casePage(query, signal), REFRESH_MS, [query.toString()]);
}

function summary({ counts, capacity_per_day, total }: CasePage): string {
  const capacity = capacity_per_day === null ? "no limit of capacity" : `capacity ${format.count(capacity_per_day)} a day`;
  const { open, assigned, decided } = counts.by_state;
  return (
    `${format.plural(total, "case")} here; in the queue ${format.count(open)} open, ${format.count(assigned)} assigned, ` +
    `${format.count(decided)} decided; ${format.count(counts.overdue)} overdue; ${capacity}.`
  );
}

function nothing(filter: FilterName, page: CasePage): string {
  if (page.at === null) return "No case yet. A challenged or declined transaction is one when the archive has written it.";
  return filter === "todo" ? "Every case of the queue is decided." : "No case passes this filter.";
}

function Queue({ page, selected }: { page: CasePage; selected: Position | null }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Case</th>
          <th scope="col">Decision</th>
          <th scope="col" class="number">
            Expected loss
          </th>
          <th scope="col" class="number optional">
            Amount
          </th>
          <th scope="col">Due</th>
          <th scope="col">State</th>
        </tr>
      </thead>
      <tbody>
        {page.cases.map((shown) => (
          <CaseRow key={positionOf(shown)} shown={shown} selected={selected} />
        ))}
      </tbody>
    </table>
  );
}

function CaseRow({ shown, selected }: { shown: ShownCase; selected: Position | null }) {
  const isSelected = selected?.partition === shown.partition && selected.offset === shown.offset;
  return (
    <tr data-beyond={shown.is_within_capacity ? undefined : "true"}>
      <th scope="row">
        <a
          id={`case-${positionOf(shown)}`}
          href={addressOf("cases", shown.partition, shown.offset)}
          aria-current={isSelected ? "true" : undefined}
        >
          {positionOf(shown)}
        </a>
        <span class="part">{shown.card_id}</span>
      </th>
      <td>
        <span class="action" data-action={shown.action}>
          {shown.action}
        </span>
        <span class="part">{shown.reasons.join(", ")}</span>
      </td>
      <td class="number">
        {lossOf(shown)}
        {!shown.is_within_capacity && <span class="part">beyond capacity</span>}
      </td>
      <td class="number optional">{format.money(shown.amount_minor, shown.currency ?? "")}</td>
      <td class={shown.is_overdue ? "overdue" : undefined}>
        {format.eventTime(shown.due_at)}
        {shown.is_overdue && <span class="part">overdue</span>}
      </td>
      <td>
        {stateText(shown)}
        {shown.labels.map((label) => (
          <span class="part" key={label.observed_at + label.source}>
            {label.source}: {label.is_fraud ? "fraud" : "genuine"}
          </span>
        ))}
      </td>
    </tr>
  );
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

function closeCase(position: Position | null): void {
  go(addressOf("cases"), true);
  if (position) document.getElementById(`case-${positionOf(position)}`)?.focus();
}
