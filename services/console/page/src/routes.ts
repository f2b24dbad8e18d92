/** Views and their addresses: `#/live`, `#/live/stream`, `#/order`, `#/decisions/2/17`, `#/send`. */

import { signal } from "@preact/signals";

/** Views in the order of the navigation. A later view is one line here and one case in ui/Shell.tsx. */
export const VIEWS = [
  { name: "live", title: "Live" },
  { name: "order", title: "Commit order" },
  { name: "decisions", title: "Decisions" },
  { name: "cases", title: "Cases" },
  { name: "models", title: "Models" },
  { name: "send", title: "Send" },
  { name: "faults", title: "Faults" },
  { name: "estimator", title: "Estimator" },
  { name: "tour", title: "Tour" },
  { name: "result", title: "Result" },
] as const;

/** Views that a replay does not have, because there is nobody to ask. */
export const NOT_IN_REPLAYS: readonly string[] = ["cases", "models", "send", "faults"];

export type ViewName = (typeof VIEWS)[number]["name"];

export interface Route {
  view: ViewName;
  /** What follows the view in the address. */
  rest: string[];
}

function parse(hash: string): Route {
  const [view, ...rest] = hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
  const known = VIEWS.find((candidate) => candidate.name === view);
  return known ? { view: known.name, rest } : { view: "live", rest: [] };
}

/** The text of a part of an address; the part itself if it is malformed. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const route = signal<Route>(parse(""));

/** Follow the address bar from now on. */
export function followAddress(): void {
  const read = () => (route.value = parse(location.hash));
  addEventListener("hashchange", read);
  read();
}

/** The address of a view or of something in it. */
export function addressOf(view: ViewName, ...rest: (string | number)[]): string {
  return `#/${[view, ...rest.map((part) => encodeURIComponent(part))].join("/")}`;
}

/** Go to an address; `replace` leaves no entry in the browser's history. */
export function go(address: string, replace = false): void {
  if (replace) {
    history.replaceState(null, "", address);
    route.value = parse(address);
  } else {
    location.hash = address;
  }
}
