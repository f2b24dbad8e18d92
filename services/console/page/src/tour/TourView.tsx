import { useEffect, useRef, useState } from "preact/hooks";
import { addressOf, go, route } from "../routes.ts";
import { readTour, readingError, tour, type Tour } from "./data.ts";
import { slotsOf } from "./plan.ts";
import { Points } from "./PlainText.tsx";
import { forgetScores, levelOf } from "./scores.ts";
import { Stop } from "./Stop.tsx";
import { StopList } from "./StopList.tsx";
import { Timer } from "./Timer.tsx";
import "./tour.css";

/** Where the arrow keys and Enter have a meaning of their own. */
const OWN_KEYS = "a, button, input, select, textarea, summary, [role=region]";

/** A talk about the design: stops with speaker notes, questions, answers and a rubric, and a clock. */
export function TourView() {
  useEffect(() => void readTour(), []);
  if (tour.value) return <OpenTour tour={tour.value} />;
  return (
    <main class="view" id="view" tabIndex={-1} aria-label="Tour">
      <p class="nothing-here">
        {readingError.value ? (
          `The tour cannot be read: ${readingError.value}`
        ) : tour.value === undefined ? (
          "The tour is being read."
        ) : (
          <>
            This page was built without the tour. Run <code>cardwatch tour</code> and build the page again, or read
            docs/whiteboard.md.
          </>
        )}
      </p>
    </main>
  );
}

function OpenTour({ tour }: { tour: Tour }) {
  const open = Math.max(
    0,
    tour.stops.findIndex(({ id }) => id === route.value.rest[0]),
  );
  const stop = tour.stops[open]!;
  const slots = slotsOf(tour.stops);
  const [answered, setAnswered] = useState<string | null>(null);
  const article = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  const toggleAnswer = () => setAnswered(answered === stop.id ? null : stop.id);
  useEffect(() => {
    setAnswered(null);
    if (!isFirst.current) {
      article.current?.querySelector<HTMLElement>("h2")?.focus({ preventScroll: true });
      article.current?.scrollIntoView({ block: "start" });
    }
    isFirst.current = false;
  }, [stop.id]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const isElsewhere = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented;
      const target = event.target as HTMLElement;
      const isArrow = event.key === "ArrowRight" || event.key === "ArrowLeft";
      if (isElsewhere || target.closest(isArrow ? "input, select, textarea, [role=region]" : OWN_KEYS)) return;
      if (event.key === "Enter") toggleAnswer();
      else if (isArrow) goTo(open + (event.key === "ArrowRight" ? 1 : -1));
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
  const goTo = (at: number) => {
    const next = tour.stops[at];
    if (next) go(addressOf("tour", next.id));
  };
  return (
    <main class="view tour" id="view" tabIndex={-1} aria-label="Tour">
      <div class="tour-columns">
        <div class="tour-side">
          <Timer tour={tour} slots={slots} open={open} />
          <StopList stops={tour.stops} slots={slots} open={open} />
          <Scores tour={tour} />
          <details class="how-to">
            <summary>How to use the tour</summary>
            <Points texts={tour.introduction} />
          </details>
        </div>
        <article class="stop card" aria-labelledby="stop-title" ref={article}>
          <Stop
            key={stop.id}
            stop={stop}
            at={open}
            slot={slots[open]!}
            isAnswerOpen={answered === stop.id}
            onToggleAnswer={toggleAnswer}
          />
          <footer class="stop-foot">
            <button type="button" class="button" disabled={open === 0} onClick={() => goTo(open - 1)}>
              Previous
            </button>
            <button type="button" class="button" disabled={open === tour.stops.length - 1} onClick={() => goTo(open + 1)}>
              Next
            </button>
            <p class="muted">
              <kbd>←</kbd> <kbd>→</kbd> previous and next stop, <kbd>Enter</kbd> answer
            </p>
          </footer>
        </article>
      </div>
    </main>
  );
}

function Scores({ tour }: { tour: Tour }) {
  const levels = tour.stops.map(levelOf);
  const count = (...wanted: string[]) => levels.filter((level) => level && wanted.includes(level)).length;
  return (
    <section class="scores" aria-label="Your score">
      <p>
        Senior at {count("senior", "staff")} of {tour.stops.length} stops, staff at {count("staff")}.
      </p>
      <button type="button" class="button" onClick={forgetScores}>
        Clear the scores
      </button>
    </section>
  );
}
