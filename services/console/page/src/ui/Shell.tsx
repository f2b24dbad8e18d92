import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { day } from "../format.ts";
import { CasesView } from "../cases/CasesView.tsx";
import { DecisionsView } from "../decisions/DecisionsView.tsx";
import { EstimatorView } from "../estimator/EstimatorView.tsx";
import { FaultsView } from "../faults/FaultsView.tsx";
import { LiveView } from "../live/LiveView.tsx";
import { ModelsView } from "../models/ModelsView.tsx";
import { OrderView } from "../order/OrderView.tsx";
import { ReplayBar } from "../replay/ReplayBar.tsx";
import { ResultView } from "../replay/ResultView.tsx";
import { isReplay, openingError } from "../replay/recording.ts";
import { NOT_IN_REPLAYS, VIEWS, addressOf, route, type ViewName } from "../routes.ts";
import { SendView } from "../send/SendView.tsx";
import { systemSentence } from "../sentence.ts";
import { ageSeconds, live, stale } from "../state.ts";
import { ErrorNote } from "./ErrorNote.tsx";
import { switchTheme, theme } from "../theme.ts";
import { TourView } from "../tour/TourView.tsx";

/** What screen readers hear: changes of the system's state and outcomes of actions, not every new number. */
export const announcement = signal("");

const PAGES: Record<ViewName, () => JSX.Element> = {
  live: LiveView,
  order: OrderView,
  decisions: DecisionsView,
  cases: CasesView,
  models: ModelsView,
  send: SendView,
  faults: FaultsView,
  estimator: EstimatorView,
  tour: TourView,
  result: ResultView,
};

/** Views that a running system does not have. */
const ONLY_IN_REPLAYS: readonly ViewName[] = ["result"];

const shownViews = VIEWS.filter(({ name }) => !(isReplay ? NOT_IN_REPLAYS : ONLY_IN_REPLAYS).includes(name));

/** The frame of all views. */
export function Shell() {
  const view = route.value.view;
  const Page = shownViews.some(({ name }) => name === view) ? PAGES[view] : LiveView;
  return (
    <div class={stale.value ? "app stale" : "app"}>
      <header class="bar">
        <a class="skip" href="#view" onClick={focusView}>
          Skip to the view
        </a>
        <div class="bar-row">
          <h1 class="brand">
            <Mark />
            Cardwatch
            {isReplay && <span class="tag">replay</span>}
          </h1>
          <nav class="views" aria-label="Views">
            {shownViews.map(({ name, title }) => (
              <a key={name} href={addressOf(name)} aria-current={view === name ? "page" : undefined}>
                {title}
              </a>
            ))}
          </nav>
          <SimulatedDay />
          <ThemeToggle />
        </div>
        <Sentence />
        {isReplay && <ReplayBar />}
      </header>
      <div class="body">
        <ErrorNote key={view}>
          <Page />
        </ErrorNote>
      </div>
      <p class="visually-hidden" role="status" aria-live="polite">
        {announcement.value}
      </p>
    </div>
  );
}

function focusView(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById("view")?.focus();
}

function Sentence() {
  if (isReplay && !live.value) {
    return (
      <div class="sentence" data-severity={openingError.value ? "critical" : "unknown"}>
        <span data-testid="sentence">{openingError.value ?? "The recording is being opened."}</span>
      </div>
    );
  }
  const { severity, text } = systemSentence(live.value, stale.value ? ageSeconds.value : null);
  return (
    <div class="sentence" data-severity={severity}>
      <span class="dot" data-tone={severity} aria-hidden="true" />
      <span data-testid="sentence">{text}</span>
    </div>
  );
}

function SimulatedDay() {
  const value = live.value?.day;
  return (
    <p class="clock">
      <span class="muted">{value ? "Simulated day" : "No simulated day yet"}</span>
      {value && <time dateTime={value}>{day(value)}</time>}
    </p>
  );
}

function ThemeToggle() {
  const dark = theme() === "dark";
  const label = dark ? "Switch to the light theme" : "Switch to the dark theme";
  return (
    <button type="button" class="icon-button" aria-label={label} title={label} onClick={switchTheme}>
      <svg
        width="18"
        height="18"
        viewBox="0 0 18 18"
        fill="none"
        stroke="currentColor"
        stroke-width="1.5"
        aria-hidden="true"
      >
        <circle cx="9" cy="9" r="6.25" />
        <path d="M9 2.75a6.25 6.25 0 0 1 0 12.5z" fill="currentColor" />
      </svg>
    </button>
  );
}

/** A card with a pulse: the product's mark. */
function Mark() {
  return (
    <svg
      width="22"
      height="16"
      viewBox="0 0 22 16"
      fill="none"
      stroke="currentColor"
      stroke-width="1.75"
      aria-hidden="true"
    >
      <rect x="1" y="1" width="20" height="14" rx="3" />
      <path d="M4.5 8.5h3l1.75-3.5 3 6.5 1.75-3h3.5" stroke-linejoin="round" stroke-linecap="round" />
    </svg>
  );
}
