/** What the tour keeps in the browser: it survives a reload, and lasts for the session where storage is forbidden. */

import { signal, type Signal } from "@preact/signals";

/** A signal that starts with what was kept under `key` if `isValid` accepts it; `keep` sets and keeps it. */
export function remembered<T>(
  key: string,
  initial: T,
  isValid: (value: unknown) => value is T,
): { state: Signal<T>; keep: (value: T) => void } {
  const state = signal<T>(read(key, initial, isValid));
  const keep = (value: T) => {
    state.value = value;
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Storage is forbidden or full: the value lasts until the page is closed.
    }
  };
  return { state, keep };
}

function read<T>(key: string, initial: T, isValid: (value: unknown) => value is T): T {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key) ?? "null");
    return isValid(value) ? value : initial;
  } catch {
    return initial;
  }
}
