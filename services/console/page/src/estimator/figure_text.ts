/** Figures of the estimator as text, and typed numbers as figures. */

import { count } from "../format.ts";

/** cardwatch/estimator/quantities.py: Unit. */
export type Unit = "" | "/s" | "bytes" | "bytes/s" | "us" | "ms" | "s" | "h" | "days" | "cores" | "$" | "%" | "share";

const SIZES = ["bytes", "kB", "MB", "GB", "TB", "PB", "EB"];
const DIGITS = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });
const MANY_DIGITS = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 7 });

/** A figure with its unit: whole numbers exactly, others with three digits. */
export function figureText(value: number, unit: Unit): string {
  if (unit === "bytes" || unit === "bytes/s") return `${sizeText(value)}${unit === "bytes" ? "" : "/s"}`;
  if (unit === "s") return timeText(value);
  if (unit === "share") return `${DIGITS.format(100 * value)} %`;
  if (unit === "%") return `${MANY_DIGITS.format(value)} %`;
  if (unit === "$") return `$${value >= 100 ? count(value) : value >= 1 ? value.toFixed(2) : DIGITS.format(value)}`;
  return [numberText(value), unit === "us" ? "µs" : unit].join(unit === "" ? "" : "\u00a0");
}

/** A number without its unit. */
export function numberText(value: number): string {
  return Number.isInteger(value) ? count(value) : DIGITS.format(value);
}

function sizeText(value: number): string {
  let at = 0;
  while (at + 1 < SIZES.length && Number((value / 1000 ** (at + 1)).toPrecision(3)) >= 1) at++;
  return `${DIGITS.format(value / 1000 ** at)}\u00a0${SIZES[at]}`;
}

function timeText(seconds: number): string {
  if (seconds >= 7200) return `${DIGITS.format(seconds / 3600)}\u00a0h`;
  return seconds >= 120 ? `${DIGITS.format(seconds / 60)}\u00a0min` : `${DIGITS.format(seconds)}\u00a0s`;
}

const FACTORS: Record<string, number> = {
  k: 1e3, thousand: 1e3, m: 1e6, million: 1e6, b: 1e9, bn: 1e9, billion: 1e9,
};

/** A typed number such as `40,000`, `100M`, `100 million` or `99.95 %`; null for other text. */
export function typedNumber(text: string): number | null {
  const match = /^([\d,]*\.?\d+)\s*(k|thousand|m|million|b|bn|billion)?\s*(%|\/s|\$|bytes|days)?$/i.exec(text.trim());
  if (!match) return null;
  return Number(match[1]!.replaceAll(",", "")) * (FACTORS[match[2]?.toLowerCase() ?? ""] ?? 1);
}
