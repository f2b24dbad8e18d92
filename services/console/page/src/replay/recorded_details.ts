/** A decision of the recording in the form in which a running console answers. */

import type { DecisionDetails, Explanation } from "../decision_record.ts";
import type { DecisionLine } from "../frames.ts";
import type { RecordedDecision, RecordedDecisions, Recording } from "./recording.ts";

/** The explained decision at a position; throws an Error if the recording does not have it. */
export function recordedDetails(recording: Recording, partition: number, offset: number): DecisionDetails {
  const row = recording.decisions.rows.find((row) => row[0] === partition && row[1] === offset);
  const lines = recording.frames.flatMap((frame) => (frame.type === "decisions" ? frame.lines : []));
  const line = lines.find((line) => line.partition === partition && line.offset === offset);
  if (!row || !line) throw new Error("The recording does not have this decision: it holds alerts and some approvals.");
  return detailsOf(recording.decisions, row, line, lines);
}

function detailsOf(
  texts: RecordedDecisions,
  row: RecordedDecision,
  line: DecisionLine,
  lines: DecisionLine[],
): DecisionDetails {
  const [, , merchantId, category, country, sequence, table, policy, model, margin, propensity, costs, parts] = row;
  const decider = model < 0 ? null : texts.models[model]!;
  const [approve = null, challenge = null, decline = null] = costs;
  const hasCosts = line.probability !== null && costs.some((cost) => cost !== null);
  return {
    decision: {
      transaction: {
        transaction_id: line.transaction_id,
        card_id: line.card_id,
        merchant_id: merchantId,
        occurred_at: line.occurred_at,
        amount_minor: line.amount_minor,
        currency: line.currency,
        merchant_category: category,
        channel: line.channel,
        country,
      },
      partition: line.partition,
      offset: line.offset,
      sequence,
      feature_schema: texts.feature_schema,
      table_id: texts.tables[table]!,
      model_version: decider?.version ?? null,
      model_digest: decider?.digest ?? null,
      policy_version: texts.policies[policy]!,
      margin,
      probability: line.probability,
      action: line.action,
      reasons: line.reasons,
      degraded: line.degraded,
      control_propensity: propensity,
      decided_at: line.occurred_at,
      latency_ms: line.latency_ms,
    },
    features: Object.fromEntries(parts.map(([place, value]) => [texts.features[place]!.name, value])),
    costs: hasCosts ? { approve, challenge, decline } : null,
    ...(decider === null || margin === null
      ? { unexplained: "the rules decided: there is no score to explain" }
      : { explanation: explanationOf(texts, row, margin, line.reasons) }),
    card_history: lines.filter((other) => other.card_id === line.card_id && other.occurred_at <= line.occurred_at),
  };
}

function explanationOf(texts: RecordedDecisions, row: RecordedDecision, margin: number, codes: string[]): Explanation {
  const parts = row[12];
  const rest = row[13];
  const contributions = parts.map(([place, value, contribution, hasReason]) => {
    const { name, meaning, reason } = texts.features[place]!;
    return { feature: name, meaning, value, contribution, reason: hasReason ? reason : null };
  });
  return {
    model_version: texts.models[row[8]]!.version,
    expected_margin: texts.models[row[8]]!.expected_margin,
    margin,
    contributions,
    rest,
    reasons: codes.map((code) => ({ code, text: texts.reasons[code] ?? code })),
  };
}
