/** The command that does the same as a button. */

import { FIELDS, FREE } from "./form.ts";

export interface Sent {
  preset: string;
  card: string;
  /** Empty for the newest event time. */
  at: string;
  seed: number;
  typed: Record<string, string>;
}

/** `cardwatch send ...` for the shell, in parts that are not to be torn apart. */
export function commandOf({ preset, card, at, seed, typed }: Sent, flag: string): string[] {
  const options: [string, string][] = [];
  if (preset !== FREE) options.push(["preset", preset]);
  options.push(["card-id", card]);
  if (at) options.push(["occurred-at", at]);
  if (preset === FREE) {
    for (const { name } of FIELDS) {
      const text = (typed[name] ?? "").trim();
      if (text) options.push([name.replaceAll("_", "-"), text]);
    }
  } else if (seed > 0) {
    options.push(["preset-seed", String(seed)]);
  }
  return ["cardwatch send", ...options.map(([name, value]) => `--${name} ${quoted(value)}`), flag];
}

function quoted(text: string): string {
  return /^[\w.:/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
