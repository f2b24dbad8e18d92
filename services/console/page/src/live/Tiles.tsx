import * as format from "../format.ts";
import { live } from "../state.ts";

/** What a head of fraud asks first: money, alerts, who decides, and how fast. */
export function Tiles() {
  const frame = live.value;
  const money = frame?.money;
  const totals = frame?.totals;
  const traffic = frame?.traffic;
  const known = money && money.known_minor > 0 ? money : null;
  const lost = known && known.known_minor - known.stopped_minor;
  const share = known ? known.stopped_minor / known.known_minor : 0;
  const perFraud = money && money.stopped_frauds > 0 ? money.alerts / money.stopped_frauds : null;
  const deciding = traffic ? traffic.by_model_per_second + traffic.by_rules_per_second : 0;
  return (
    <dl class="tiles card" aria-label="Key figures">
      <div class="tile money">
        <dt>Fraud stopped</dt>
        <dd class={known ? "" : "none"}>
          {known ? format.money(known.stopped_minor, known.currency, true) : format.NONE}
        </dd>
        <dt>Fraud lost</dt>
        <dd class={lost ? "lost" : known ? "" : "none"}>
          {known ? format.money(lost, known.currency, true) : format.NONE}
        </dd>
        <dd class="note">
          <div class={known ? "share" : "share empty"} aria-hidden="true">
            {known && <span style={{ width: "100%", transform: `scaleX(${share})` }} />}
          </div>
          {known
            ? `${format.percent(share)} of the amount of ${format.plural(known.known_frauds, "known fraud")}.`
            : "No fraud is known yet. Labels arrive days later."}
        </dd>
      </div>
      <Tile
        name="Alerts per fraud caught"
        value={perFraud === null ? format.NONE : perFraud.toFixed(1)}
        note={
          known
            ? `${format.plural(known.alerts, "alert")}, ${format.plural(known.stopped_frauds, "fraud")}`
            : "no fraud is known yet"
        }
      />
      <Tile
        name="Decided by rules, now"
        value={deciding > 0 ? format.percent(traffic!.by_rules_per_second / deciding) : format.NONE}
        tone={traffic && traffic.by_rules_per_second > 0 ? "lost" : ""}
        note={
          totals?.decisions ? `${format.percent(totals.degraded / totals.decisions)} of all so far` : "no decision yet"
        }
      />
      <Tile
        name="Log to decision, p99"
        value={format.milliseconds(traffic?.p99_ms)}
        unit="ms"
        note={
          traffic?.p50_ms == null
            ? "no decision in the last seconds"
            : `median ${format.milliseconds(traffic.p50_ms)} ms`
        }
      />
      <Tile
        name="Decisions"
        value={traffic ? format.rate(deciding) : format.NONE}
        unit="/s"
        note={`${format.count(traffic?.waiting)} waiting, ${format.compact(totals?.decisions)} in all`}
      />
    </dl>
  );
}

function Tile({
  name,
  value,
  unit,
  note,
  tone = "",
}: {
  name: string;
  value: string;
  unit?: string;
  note: string;
  tone?: string;
}) {
  return (
    <div class="tile">
      <dt>{name}</dt>
      <dd class={value === format.NONE ? "none" : tone}>
        {value}
        {unit && value !== format.NONE && <span class="unit">{unit}</span>}
      </dd>
      <dd class="note">{note}</dd>
    </div>
  );
}
