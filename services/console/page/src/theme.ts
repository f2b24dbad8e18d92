/** Light and dark: the system's choice until somebody chooses, and then that choice, remembered by the browser. */

import { effect, signal } from "@preact/signals";

export type Theme = "light" | "dark";

const KEY = "cardwatch-theme";
const DARK = matchMedia("(prefers-color-scheme: dark)");

const systemTheme = signal<Theme>(DARK.matches ? "dark" : "light");
const chosenTheme = signal<Theme | null>(remembered());

function remembered(): Theme | null {
  const value = localStorage.getItem(KEY);
  return value === "light" || value === "dark" ? value : null;
}

/** The theme that is shown. */
export function theme(): Theme {
  return chosenTheme.value ?? systemTheme.value;
}

/** Switch to the other theme. If that is the system's own, the page follows the system again. */
export function switchTheme(): void {
  const other: Theme = theme() === "dark" ? "light" : "dark";
  chosenTheme.value = other === systemTheme.value ? null : other;
  if (chosenTheme.value) localStorage.setItem(KEY, chosenTheme.value);
  else localStorage.removeItem(KEY);
}

/** Keep the document in the theme. */
export function applyTheme(): void {
  DARK.addEventListener("change", () => (systemTheme.value = DARK.matches ? "dark" : "light"));
  effect(() => {
    document.documentElement.dataset["theme"] = theme();
  });
}
