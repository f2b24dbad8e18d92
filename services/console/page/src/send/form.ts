/** What the form of the Send view knows, and what the fields of a transaction are. It outlives a change of the view. */

import { signal } from "@preact/signals";
import type { Hop, Offers, Payment, Preview } from "../records_api.ts";

/** In place of a preset: the fields are typed. */
export const FREE = "free form";

export interface Field {
  name: string;
  title: string;
  required: boolean;
  isNumber: boolean;
  options?: readonly string[];
}

const CHANNELS = ["chip", "contactless", "swipe", "ecommerce", "atm", "recurring"] as const;

function field(name: string, title: string, more: Partial<Field> = {}): Field {
  return { name, title, required: true, isNumber: false, ...more };
}

const optional = { required: false };

/** All fields of the contract but the card and the time, which every preset needs too. */
export const FIELDS: readonly Field[] = [
  field("amount_minor", "Amount in minor units", { isNumber: true }),
  field("currency", "Currency, ISO 4217"),
  field("merchant_id", "Merchant"),
  field("merchant_category", "Merchant's category, four digits"),
  field("channel", "Channel", { options: CHANNELS }),
  field("country", "Merchant's country, two letters"),
  field("latitude", "Latitude", { ...optional, isNumber: true }),
  field("longitude", "Longitude", { ...optional, isNumber: true }),
  field("device_id", "Device", optional),
  field("customer_id", "Customer", optional),
  field("previous_outcome", "Card's previous attempt", { ...optional, options: ["", "approved", "declined"] }),
  field("card_range", "Range of card numbers", optional),
  field("transaction_id", "Id; empty for a new one", optional),
];

export const offered = signal<Offers | null>(null);
export const card = signal("");
/** Event time as it was typed; empty for the newest one. */
export const typedTime = signal("");
export const preset = signal("genuine");
export const seed = signal(0);
export const payments = signal<Payment[]>([]);
/** The fields of the free form as they were typed. */
export const typed = signal<Record<string, string>>({});
/** What is wrong with a field, by its name. */
export const problems = signal<Record<string, string>>({});
export const previewed = signal<Preview[] | null>(null);
export const hops = signal<Hop[]>([]);
export const refusal = signal("");
export const busy = signal<"" | "asking" | "sending">("");

/** Put a transaction into the free form. */
export function fillForm(payment: Payment): void {
  const texts = FIELDS.filter(({ name }) => name !== "transaction_id").map(({ name }) => [
    name,
    payment[name] == null ? "" : String(payment[name]),
  ]);
  typed.value = Object.fromEntries(texts) as Record<string, string>;
}

/** The typed transaction, null with `problems` set if it cannot be one. The service checks the rest. */
export function typedPayment(cardId: string, at: string, newId: string): Payment | null {
  const found: Record<string, string> = {};
  const values: Record<string, string | number> = { transaction_id: newId, card_id: cardId, occurred_at: at };
  if (!cardId) found["card_id"] = "A transaction needs a card.";
  if (!at || Number.isNaN(Date.parse(at))) found["occurred_at"] = "This is no time such as 2025-03-08T12:00:00Z.";
  for (const { name, title, required, isNumber } of FIELDS) {
    const text = (typed.value[name] ?? "").trim();
    if (!text) {
      if (required) found[name] = `${title} is needed.`;
    } else if (isNumber) {
      values[name] = Number(text);
      if (!Number.isFinite(values[name])) found[name] = `${text} is no number.`;
    } else {
      values[name] = text;
    }
  }
  problems.value = found;
  return Object.keys(found).length > 0 ? null : (values as unknown as Payment);
}

/** Show what the service says about a field at that field: `$[0].country: Expected ...`. True if it names one. */
export function takeRefusal(message: string): boolean {
  const match = /^\$\[\d+\]\.(\w+): (.*)$/s.exec(message);
  if (!match) return false;
  problems.value = { [match[1]!]: match[2]! };
  return true;
}

/** A new id of a typed transaction. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `sent-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
