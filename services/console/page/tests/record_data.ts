/** Made-up answers about single records, for tests of the page. No measurement. */

interface Payment {
  transaction_id: string;
  card_id: string;
}

const PRESETS: [string, string, string, number][] = [
  ["genuine", "Genuine payment", "One ordinary payment of the card, as its holder makes them.", 1],
  ["card-testing", "Card testing", "Stolen numbers are tried with tiny payments; large purchases follow.", 4],
  ["bust-out", "Bust-out", "A ring of holders uses up its limits within days, with its own cards, and never pays.", 6],
];

export const OFFERS = {
  at: "2025-03-08T14:02:11Z",
  cards: [
    { card_id: "card-000017", decisions: 5 },
    { card_id: "card-000101", decisions: 1 },
  ],
  presets: PRESETS.map(([name, title, about]) => ({ name, title, about })),
};

let built = 0;

export function presetPayments(url: URL): object[] {
  const name = decodeURIComponent(url.pathname.split("/").at(-1)!);
  const number = PRESETS.find(([known]) => known === name)?.[3] ?? 1;
  built += 1;
  return Array.from({ length: number }, (_, index) => ({
    transaction_id: `sent-${built}-${index}`,
    card_id: url.searchParams.get("card"),
    merchant_id: "m-6e802185",
    occurred_at: `2025-03-08T14:${String(10 + index)}:00Z`,
    amount_minor: index < 2 ? 177 + index : 62_898,
    currency: "EUR",
    merchant_category: "5815",
    channel: "ecommerce",
    country: "FI",
    device_id: "d-355afa35",
    customer_id: "u-0000a1",
    previous_outcome: "approved",
    card_range: "r-000004",
  }));
}

export function previewsOf(payments: Payment[]): object[] {
  return payments.map(({ transaction_id }, index) => ({
    transaction_id,
    action: index < 2 ? "approve" : "decline",
    probability: index < 2 ? 0.04 : 0.81,
    reasons: index < 2 ? [] : ["CARD_TESTING", "AMOUNT_UNUSUAL"],
    degraded: false,
    degraded_reason: null,
    repeated: false,
  }));
}

export function hopsOf(payments: Payment[]): object[] {
  const placed = payments.map(({ transaction_id }, index) => ({ transaction_id, partition: 2, offset: 17 + index }));
  return [
    { hop: "acknowledged", after_ms: 3.1, records: payments.length },
    ...placed.map((place) => ({ hop: "logged", after_ms: 4.8, ...place })),
    ...placed.map((place, index) => ({
      hop: "decided",
      after_ms: 31.4,
      latency_ms: 12.6,
      action: index < 2 ? "approve" : "decline",
      probability: index < 2 ? 0.04 : 0.81,
      reasons: index < 2 ? [] : ["CARD_TESTING", "AMOUNT_UNUSUAL"],
      ...place,
    })),
  ];
}

const letter = (offset: number, field: string, reason: string, value: string, more: object = {}) => ({
  topic: "transactions",
  partition: 1,
  offset,
  rejected_at: "2026-11-30T18:20:05Z",
  field,
  reason,
  size: value.length,
  value,
  is_text: true,
  is_cut: false,
  obstacle: null,
  ...more,
});

export const SCRIPT_IN_A_LETTER = '<script>window.hacked = true</script><img src=x onerror="window.hacked = true">';

export const DEAD_LETTERS = {
  letters: [
    letter(42, "", "the key is another card than the record's: wrong partition", '{"card_id":"card-000017"}'),
    letter(41, "$.merchant_id", "Expected `str` of length <= 64", `{"merchant_id":${JSON.stringify(SCRIPT_IN_A_LETTER)}}`, {
      obstacle: "it is still invalid: Expected `str` of length <= 64",
    }),
    letter(40, "", "not UTF-8", "000000  ff 00 31 32                                      ..12", {
      is_text: false,
      is_cut: true,
      size: 1_400_000,
    }),
  ],
  total: 3,
};
