/** A queue for tests: it changes by what the page sends, as the service's does. Made up, no measurement. */

import type { CaseAction, CaseHistory, CasePage, ShownCase } from "../src/cases/case_calls.ts";

const DAY = "2025-03-08";

function newCase(offset: number, changes: Partial<ShownCase> = {}): ShownCase {
  return {
    partition: 2,
    offset,
    transaction_id: `t-${offset}`,
    card_id: `card-${offset}`,
    merchant_id: "m-12",
    day: DAY,
    opened_at: `${DAY}T09:00:00Z`,
    due_at: `${DAY}T13:00:00Z`,
    is_overdue: false,
    channel: "ecommerce",
    amount_minor: 120_000 - offset,
    currency: "EUR",
    expected_loss_minor: 60_000 - offset,
    loss_currency: "EUR",
    is_within_capacity: true,
    action: "decline",
    probability: 0.5,
    reasons: ["DEVICE_IS_NEW", "AMOUNT_IS_UNUSUAL"],
    model_version: "3",
    state: "open",
    version: 0,
    assignee: null,
    outcome: null,
    decided_by: null,
    decided_at: null,
    is_label_pending: false,
    labels: [],
    ...changes,
  };
}

export class TestCases {
  /** Somebody else acts on a case just before the page does. */
  faster = false;
  /** The queries that were asked. */
  readonly asked: URLSearchParams[] = [];
  private readonly cases = new Map<string, CaseHistory>();

  constructor() {
    const known = [
      newCase(17),
      newCase(18, { is_overdue: true, action: "challenge" }),
      newCase(19, { is_within_capacity: false, probability: null, expected_loss_minor: null }),
      newCase(20, { labels: [{ is_fraud: true, source: "customer", observed_at: `${DAY}T10:00:00Z` }] }),
    ];
    for (const shown of known) this.cases.set(`2/${shown.offset}`, { case: shown, actions: [] });
  }

  page(query: URLSearchParams): CasePage {
    this.asked.push(query);
    const states = query.getAll("state");
    const all = [...this.cases.values()].map((found) => found.case);
    const cases = all.filter(
      (shown) =>
        states.includes(shown.state) &&
        (!query.has("overdue") || shown.is_overdue) &&
        (!query.has("assignee") || shown.assignee === query.get("assignee")),
    );
    const number = (state: string) => all.filter((shown) => shown.state === state).length;
    return {
      cases,
      total: cases.length,
      counts: {
        by_state: { open: number("open"), assigned: number("assigned"), decided: number("decided") },
        by_outcome: { fraud: number("decided"), genuine: 0, inconclusive: 0 },
        overdue: 1,
        overdue_beyond: 0,
        labels_pending: 0,
      },
      capacity_per_day: 3,
      at: `${DAY}T12:00:00Z`,
    };
  }

  find(position: string): CaseHistory | undefined {
    return this.cases.get(position);
  }

  /** Do what the page asks, or give the error that the service would give. */
  act(position: string, action: string, body: any, by: string, version: string): CaseHistory | { error: string } {
    const found = this.cases.get(position)!;
    if (this.faster) {
      this.faster = false;
      this.add(found, { kind: "assign", by: "ben", assignee: "ben" }, { state: "assigned", assignee: "ben" });
    }
    if (version !== `"${found.case.version}"`) return { error: "the case has version 1 and not 0: read it again" };
    if (action === "assign") {
      this.add(found, { kind: "assign", by, assignee: by }, { state: "assigned", assignee: by });
    } else if (action === "release") {
      this.add(found, { kind: "release", by }, { state: "open", assignee: null });
    } else if (action === "notes") {
      this.add(found, { kind: "note", by, text: body.text }, {});
    } else {
      const decided = { outcome: body.outcome, decided_by: by, decided_at: `${DAY}T12:00:00Z` };
      this.add(found, { kind: "decide", by, outcome: body.outcome, text: body.comment }, decided);
      this.add(found, { kind: "confirm", by }, { state: "decided" });
    }
    return found;
  }

  private add(found: CaseHistory, action: Omit<CaseAction, "version" | "at">, changes: Partial<ShownCase>): void {
    const version = found.case.version + 1;
    found.actions.push({ version, at: `${DAY}T12:00:00Z`, ...action });
    Object.assign(found.case, changes, { version });
  }
}
