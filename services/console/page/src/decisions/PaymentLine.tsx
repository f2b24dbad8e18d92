import type { CardPayment, Transaction } from "../decision_record.ts";
import * as format from "../format.ts";

const WIDTH = 440;
const LARGEST_RADIUS = 9;

/** The payments of a card on a line of time: the area of a circle is the amount, and the decided one is coloured. */
export function PaymentLine({ payments, current }: { payments: CardPayment[]; current: Transaction }) {
  const all = [...payments, current]
    .map((payment) => ({ at: Date.parse(payment.occurred_at), amount: payment.amount_minor }))
    .filter(({ at }) => !Number.isNaN(at));
  if (all.length === 0) return null;
  const first = Math.min(...all.map(({ at }) => at));
  const last = Math.max(...all.map(({ at }) => at));
  const most = Math.max(1, ...all.map(({ amount }) => amount));
  const place = (at: number) => LARGEST_RADIUS + ((WIDTH - 2 * LARGEST_RADIUS) * (at - first)) / (last - first || 1);
  return (
    <svg
      class="payments"
      viewBox={`0 0 ${WIDTH} 46`}
      role="img"
      aria-label={`${payments.length} earlier payments and this one on a line of time`}
    >
      <line x1={0} x2={WIDTH} y1={14.5} y2={14.5} />
      {all.map(({ at, amount }, index) => (
        <circle
          key={index}
          class={index === all.length - 1 ? "current" : ""}
          cx={place(at)}
          cy={14.5}
          r={2 + (LARGEST_RADIUS - 2) * Math.sqrt(amount / most)}
        />
      ))}
      <text x={0} y={40}>
        {format.eventTime(new Date(first).toISOString())}
      </text>
      <text x={WIDTH} y={40} text-anchor="end">
        {format.eventTime(new Date(last).toISOString())}
      </text>
    </svg>
  );
}
