import { Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import { decisionDetails } from "../api.ts";
import type {
  CardPayment,
  Costs,
  DecisionDetails,
  DecisionRecord,
  Explanation,
  Transaction,
} from "../decision_record.ts";
import * as format from "../format.ts";
import { isReplay } from "../replay/recording.ts";
import { positionOf } from "../state.ts";
import { Panel } from "../ui/Panel.tsx";
import { LabelSection } from "./LabelSection.tsx";
import { PaymentLine } from "./PaymentLine.tsx";
import { Waterfall } from "./Waterfall.tsx";

interface DecisionPanelProps {
  partition: number;
  offset: number;
  onClose: () => void;
}

/** One decision of record, explained. */
export function DecisionPanel({ partition, offset, onClose }: DecisionPanelProps) {
  const position = positionOf({ partition, offset });
  const { details, error } = useDetails(partition, offset);
  const record = details?.decision;
  return (
    <Panel
      title={
        record
          ? `${format.money(record.transaction.amount_minor, record.transaction.currency)} from ${record.transaction.card_id}`
          : `Decision ${position}`
      }
      subject={position}
      class="decision-panel"
      state={
        record ? (
          <Outcome record={record} />
        ) : (
          <p class="muted">{error ? "It cannot be shown." : "It is being read."}</p>
        )
      }
      onClose={onClose}
    >
      {error && (
        <section>
          <p class="text">{error}</p>
        </section>
      )}
      {details && !isReplay && <LabelSection key={position} partition={partition} offset={offset} />}
      {details && <Body details={details} />}
      {!isReplay && (
        <section>
          <h3>The same on the command line</h3>
          <code class="command">cardwatch decisions show {position}</code>
        </section>
      )}
    </Panel>
  );
}

function useDetails(partition: number, offset: number) {
  const position = positionOf({ partition, offset });
  const [state, setState] = useState<{ position: string; details: DecisionDetails | null; error: string | null }>({
    position,
    details: null,
    error: null,
  });
  useEffect(() => {
    const stop = new AbortController();
    decisionDetails(partition, offset, stop.signal).then(
      (details) => setState({ position, details, error: null }),
      (error: Error) => stop.signal.aborted || setState({ position, details: null, error: error.message }),
    );
    return () => stop.abort();
  }, [position]);
  return state.position === position ? state : { details: null, error: null };
}

function Outcome({ record }: { record: DecisionRecord }) {
  return (
    <p>
      <span class="action" data-action={record.action}>
        {record.action}
      </span>{" "}
      {record.degraded ? (
        <span class="tag">decided by rules</span>
      ) : (
        <>at a fraud probability of {format.probability(record.probability)}</>
      )}
    </p>
  );
}

function Body({ details }: { details: DecisionDetails }) {
  const { decision: record, costs, explanation } = details;
  const transaction = record.transaction;
  return (
    <>
      {record.degraded && (
        <section>
          <h3>Why the rules decided</h3>
          <p class="text">{record.degraded_reason ?? "The record gives no reason."}</p>
        </section>
      )}
      <section>
        <h3>Expected cost of each action</h3>
        {costs ? (
          <CostBars costs={costs} action={record.action} currency={transaction.currency} />
        ) : (
          <p class="text">There are none: they need a probability, and a rate for the currency.</p>
        )}
      </section>
      <Reasons codes={record.reasons} explanation={explanation} />
      <section>
        <h3>From the average transaction to this one</h3>
        {explanation ? (
          <>
            <p class="text">
              In log odds: each feature moves the margin up (riskier) or down. The parts add up to the margin.
              {explanation.model_version !== record.model_version &&
                ` This is how model v${explanation.model_version} sees it, the champion of now. Another one has decided.`}
            </p>
            <Waterfall explanation={explanation} />
          </>
        ) : (
          <p class="text">There is no explanation: {details.unexplained}.</p>
        )}
      </section>
      <Lineage record={record} />
      <section>
        <h3>Transaction</h3>
        <Facts
          facts={[
            ["id", transaction.transaction_id],
            ["card", transaction.card_id],
            ["merchant", transaction.merchant_id],
            ["occurred at", format.eventTime(transaction.occurred_at)],
            ["category", transaction.merchant_category],
            ["channel", transaction.channel],
            ["country", transaction.country],
            ["device", transaction.device_id ?? format.NONE],
            ["earlier transactions of the card", format.count(record.sequence)],
            ["log to decision", `${format.milliseconds(record.latency_ms)} ms`],
          ]}
        />
      </section>
      {details.card_history && <History payments={details.card_history} current={transaction} />}
      <Features details={details} />
    </>
  );
}

const COST_NAMES = ["approve", "challenge", "decline"] as const;

function CostBars({ costs, action, currency }: { costs: Costs; action: string; currency: string }) {
  const most = Math.max(1, ...COST_NAMES.map((name) => costs[name] ?? 0));
  const cheapest = COST_NAMES.filter((name) => costs[name] !== null).sort((a, b) => costs[a]! - costs[b]!)[0];
  return (
    <>
      <div class="costs">
        {COST_NAMES.map((name) => (
          <div class="cost" key={name} data-taken={name === action}>
            <span>
              {name}
              {name === action && <span class="visually-hidden"> (taken)</span>}
            </span>
            <div class="track" aria-hidden="true">
              <span style={{ transform: `scaleX(${(costs[name] ?? 0) / most})` }} />
            </div>
            <span class="number">{costs[name] === null ? "not possible" : format.money(costs[name], currency)}</span>
          </div>
        ))}
      </div>
      <p class="text">
        {cheapest === action
          ? "The cheapest action that is possible in this channel was taken."
          : "Another action than the cheapest was taken: a rule of the policy made it stricter, or the control share approved it."}
      </p>
    </>
  );
}

/** The reason codes of the record, with the texts that the explanation has. */
function Reasons({ codes, explanation }: { codes: string[]; explanation: Explanation | undefined }) {
  if (codes.length === 0) return null;
  const texts = new Map(explanation?.reasons.map(({ code, text }) => [code, text]));
  return (
    <section>
      <h3>Reasons</h3>
      <ul class="rejected">
        {codes.map((code) => (
          <li key={code}>
            {texts.has(code) && <p>{texts.get(code)}</p>}
            <p class="mono muted">{code}</p>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What the decision rests on, so that it can be computed again: offset, table, model, policy. */
function Lineage({ record }: { record: DecisionRecord }) {
  const digest = record.model_digest ? `, ${record.model_digest.slice(0, 16)}` : "";
  const steps: [string, string][] = [
    ["transaction", `transactions[${record.partition}] offset ${record.offset}`],
    ["features", `schema ${record.feature_schema.slice(0, 16)}, sequence ${record.sequence}`],
    ["table", record.table_id],
    ["model", record.model_version ? `v${record.model_version}${digest}` : "none: the rules decided"],
    ["policy", record.policy_version],
  ];
  return (
    <section>
      <h3>Lineage</h3>
      <ol class="lineage">
        {steps.map(([name, value]) => (
          <li key={name}>
            <span class="muted">{name}</span>
            <span class="mono">{value}</span>
          </li>
        ))}
      </ol>
      {record.shadow_version && (
        <p class="text">
          In shadow, challenger v{record.shadow_version} gives a probability of{" "}
          {format.probability(record.shadow_probability)}. It had no influence.
        </p>
      )}
      {record.control_propensity != null && (
        <p class="text">
          The policy would have declined. It was approved as one of {format.percent(record.control_propensity)} in order
          to learn the outcome.
        </p>
      )}
    </section>
  );
}

function Facts({ facts }: { facts: [string, string][] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <Fragment key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </Fragment>
      ))}
    </dl>
  );
}

function History({ payments, current }: { payments: CardPayment[]; current: Transaction }) {
  return (
    <section>
      <h3>Earlier payments of the card</h3>
      {payments.length === 0 ? (
        <p class="text">None that the console knows.</p>
      ) : (
        <>
          <PaymentLine payments={payments} current={current} />
          <table class="columns">
            <thead>
              <tr>
                <th scope="col">occurred at</th>
                <th scope="col" class="number">
                  amount
                </th>
                <th scope="col">channel</th>
                <th scope="col">action</th>
              </tr>
            </thead>
            <tbody>
              {payments.map((payment) => (
                <tr key={`${payment.occurred_at} ${payment.offset}`}>
                  <td>{format.eventTime(payment.occurred_at)}</td>
                  <td class="number">{format.money(payment.amount_minor, payment.currency)}</td>
                  <td>{payment.channel}</td>
                  <td>{payment.action ?? format.NONE}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </section>
  );
}

/** All features of the record; those that contribute nothing have no meaning here, because nobody sends it. */
function Features({ details }: { details: DecisionDetails }) {
  const parts = new Map(details.explanation?.contributions.map((part) => [part.feature, part]));
  const features = Object.entries(details.features);
  if (features.length === 0) return null;
  return (
    <section>
      <details>
        <summary>
          {isReplay ? `The ${format.plural(features.length, "feature that matters", "features that matter")} most` : `All ${features.length} features with their values`}
        </summary>
        <table class="columns">
          <thead>
            <tr>
              <th scope="col">feature</th>
              <th scope="col" class="number">
                value
              </th>
              <th scope="col" class="number">
                log odds
              </th>
            </tr>
          </thead>
          <tbody>
            {features.map(([name, value]) => (
              <tr key={name}>
                <td>
                  <span class="mono">{name}</span>
                  <br />
                  <span class="muted">{parts.get(name)?.meaning}</span>
                </td>
                <td class="number">{value === null ? "missing" : format.number(value)}</td>
                <td class="number">{signed(parts.get(name)?.contribution ?? 0)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </section>
  );
}

function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
}
