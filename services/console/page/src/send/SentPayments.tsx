import * as format from "../format.ts";
import type { Hop, Payment, Preview } from "../records_api.ts";
import { addressOf } from "../routes.ts";
import { positionOf } from "../state.ts";
import { hops, payments, previewed } from "./form.ts";

/** The transactions, and of each what would be decided or which hops it has reached. */
export function SentPayments() {
  const acknowledged = hops.value.find((hop) => hop.hop === "acknowledged");
  return (
    <>
      {acknowledged && (
        <p class="text" data-testid="acknowledged">
          Acknowledged by the log after {ms(acknowledged.after_ms)}.
        </p>
      )}
      <ol class="sent">
        {payments.value.map((payment, index) => (
          <SentPayment
            key={payment.transaction_id}
            payment={payment}
            preview={previewed.value?.[index]}
            reached={hops.value.filter((hop) => hop.transaction_id === payment.transaction_id)}
          />
        ))}
      </ol>
    </>
  );
}

interface SentPaymentProps {
  payment: Payment;
  preview: Preview | undefined;
  reached: Hop[];
}

function SentPayment({ payment, preview, reached }: SentPaymentProps) {
  const outcome = reached.find((hop) => hop.hop === "decided") ?? preview;
  return (
    <li data-testid="sent">
      <div class="sent-head">
        <p>
          <b>{format.money(payment.amount_minor, payment.currency)}</b> {payment.channel}, category{" "}
          {payment.merchant_category}, {payment.country}
        </p>
        {outcome?.action && (
          <p>
            <span class="action" data-action={outcome.action}>
              {outcome.action}
            </span>{" "}
            {outcome.degraded ? <span class="tag">rules</span> : format.probability(outcome.probability)}
          </p>
        )}
      </div>
      <p class="muted">
        {format.eventTime(payment.occurred_at)} · {payment.card_id} · {payment.merchant_id} ·{" "}
        <span class="mono">{payment.transaction_id}</span>
      </p>
      {outcome?.reasons && outcome.reasons.length > 0 && <p class="muted mono">{outcome.reasons.join(", ")}</p>}
      {preview?.repeated && <p>It was decided before, and would get no second decision.</p>}
      {preview?.degraded_reason && <p class="muted">By the rules: {preview.degraded_reason}</p>}
      {reached.length > 0 && <Reached hops={reached} />}
    </li>
  );
}

/** The hops of one transaction with their times since it was sent. */
function Reached({ hops }: { hops: Hop[] }) {
  const logged = hops.find((hop) => hop.hop === "logged");
  const decided = hops.find((hop) => hop.hop === "decided");
  const rejected = hops.find((hop) => hop.hop === "rejected");
  const place = logged ?? decided;
  return (
    <ul class="hops">
      {place && (
        <li>
          in the log at <span class="mono">{positionOf(place as { partition: number; offset: number })}</span>
          {logged && <span class="muted"> read after {ms(logged.after_ms)}</span>}
        </li>
      )}
      {decided && (
        <>
          <li>
            {decided.repeated ? "decided before" : `decided ${ms(decided.latency_ms)} after that`}
          </li>
          <li>committed decision read after {ms(decided.after_ms)}</li>
          <li>
            <a href={addressOf("decisions", decided.partition!, decided.offset!)}>Why?</a>
          </li>
        </>
      )}
      {rejected && <li class="refused">rejected: {rejected.reason}</li>}
      {!decided && !rejected && <li class="muted">waits for its decision</li>}
    </ul>
  );
}

function ms(value: number | undefined): string {
  return `${format.milliseconds(value)} ms`;
}
