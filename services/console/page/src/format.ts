/** Numbers, money, days and times as text. A value that was not measured is a dash, never a zero. */

export const NONE = "–";

const LOCALE = "en-GB";
const WHOLE = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const ONE = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const DAY = new Intl.DateTimeFormat(LOCALE, {
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});
const SHORT_DAY = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", timeZone: "UTC" });
const MINUTE = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const CLOCK = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** A whole number with separators. */
export function count(value: number | null | undefined): string {
  return value == null ? NONE : WHOLE.format(value);
}

/** A count with its thing: "1 day", "1,200 days". */
export function plural(value: number, thing: string, things = `${thing}s`): string {
  return `${count(value)} ${value === 1 ? thing : things}`;
}

/** A rate per second without its unit: one decimal below ten. */
export function rate(value: number | null | undefined): string {
  if (value == null) return NONE;
  return value > 0 && value < 9.95 ? ONE.format(value) : WHOLE.format(value);
}

/** Milliseconds without their unit: one decimal below ten. */
export const milliseconds = rate;

/** A short number for places without room, such as 1.2M. */
export function compact(value: number | null | undefined): string {
  return value == null ? NONE : COMPACT.format(value);
}

/** A share in 0..1 as per cent; one decimal below ten per cent, so that a small share is not 0 %. */
export function percent(share: number | null | undefined): string {
  if (share == null) return NONE;
  const value = share * 100;
  return `${value > 0 && value < 9.95 ? ONE.format(value) : WHOLE.format(value)} %`;
}

/** A metric in 0..1 with three decimals. */
export function ratio(value: number | null | undefined): string {
  return value == null ? NONE : value.toFixed(3);
}

/** A probability with as many decimals as it needs to differ from zero. */
export function probability(value: number | null | undefined): string {
  if (value == null) return NONE;
  if (value > 0 && value < 0.0005) return "< 0.001";
  return value.toFixed(3);
}

/** A size in the largest unit that leaves a number above one. */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${number(value / 1000 ** step)} ${units[step]}`;
}

/** A number of unknown size: features and figures. */
export function number(value: number | null | undefined): string {
  if (value == null) return NONE;
  if (Number.isInteger(value)) return WHOLE.format(value);
  const size = Math.abs(value);
  return size >= 1000 ? WHOLE.format(value) : size >= 10 ? ONE.format(value) : String(Number(value.toPrecision(3)));
}

interface MoneyFormat {
  format: Intl.NumberFormat;
  unit: number;
}

/** Formats by currency: to make one takes longer than to use it a hundred times. */
const MONEY = new Map<string, MoneyFormat | null>();

function moneyFormat(currency: string, whole: boolean): MoneyFormat | null {
  const key = `${currency} ${whole}`;
  if (!MONEY.has(key)) MONEY.set(key, newMoneyFormat(currency, whole));
  return MONEY.get(key)!;
}

function newMoneyFormat(currency: string, whole: boolean): MoneyFormat | null {
  try {
    const exact = new Intl.NumberFormat(LOCALE, { style: "currency", currency });
    const unit = 10 ** (exact.resolvedOptions().maximumFractionDigits ?? 2);
    return {
      unit,
      format: whole ? new Intl.NumberFormat(LOCALE, { style: "currency", currency, maximumFractionDigits: 0 }) : exact,
    };
  } catch {
    return null; // no currency code
  }
}

/** An amount in minor units of a currency; `whole` leaves the minor units out. */
export function money(minor: number | null | undefined, currency: string, whole = false): string {
  if (minor == null) return NONE;
  const known = moneyFormat(currency, whole);
  return known ? known.format.format(minor / known.unit) : `${WHOLE.format(minor)} minor units`;
}

/** A day such as "Sat, 8 Mar 2025". */
export function day(value: string | null | undefined): string {
  return value ? DAY.format(new Date(`${value}T00:00:00Z`)) : NONE;
}

/** A day such as "8 Mar". */
export function shortDay(value: string | null | undefined): string {
  return value ? SHORT_DAY.format(new Date(`${value}T00:00:00Z`)) : NONE;
}

/** The wall clock of this machine for a time in ms since 1970. */
export function clock(atMs: number): string {
  return CLOCK.format(new Date(atMs));
}

/** The wall clock without seconds, for axes. */
export function minute(atMs: number): string {
  return MINUTE.format(new Date(atMs));
}

/** An event time such as "8 Mar 14:02:11"; the text itself if it is no time. */
export function eventTime(value: string): string {
  const at = new Date(value);
  if (Number.isNaN(at.getTime())) return value;
  return `${SHORT_DAY.format(at)} ${at.toISOString().slice(11, 19)}`;
}

/** An age in words: "12 s", "3 min". */
export function age(seconds: number): string {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
