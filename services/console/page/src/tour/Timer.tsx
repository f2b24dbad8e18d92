import { useEffect } from "preact/hooks";
import { addressOf } from "../routes.ts";
import type { Tour } from "./data.ts";
import { clock, dueAt, paceOf, type Slot } from "./plan.ts";
import { elapsedSeconds, isRunning, resetTimer, startOrPause, tick } from "./timer.ts";

/** The clock of the talk, where the plan is now, and whether the open stop is early or late. */
export function Timer({ tour, slots, open }: { tour: Tour; slots: Slot[]; open: number }) {
  useEffect(tick, []);
  const elapsed = elapsedSeconds();
  const total = tour.talk_minutes * 60;
  const isOver = elapsed >= total;
  const share = Math.min(1, elapsed / total);
  return (
    <section class="talk-timer card" aria-label="Timer of the talk">
      <p class="talk-clock">
        <span role="timer" aria-label="Time of the talk" data-over={isOver}>
          {clock(elapsed)}
        </span>
        <span class="muted">of {tour.talk_minutes}:00</span>
      </p>
      <div class="actions">
        <button type="button" class="button" onClick={startOrPause}>
          {isRunning() ? "Pause" : elapsed > 0 ? "Continue" : "Start"}
        </button>
        <button type="button" class="button" onClick={resetTimer} disabled={elapsed === 0}>
          Reset
        </button>
      </div>
      <div class="plan-bar" aria-hidden="true">
        {slots.map(({ begin, end }, at) => (
          <i
            key={at}
            data-open={at === open}
            style={{ left: `${(100 * begin) / total}%`, width: `${(100 * (end - begin)) / total}%` }}
          />
        ))}
        <b style={{ transform: `translateX(${100 * share}%)` }} />
      </div>
      <p class="talk-pace">
        <Pace tour={tour} slots={slots} open={open} elapsed={elapsed} />
      </p>
    </section>
  );
}

function Pace({ tour, slots, open, elapsed }: { tour: Tour; slots: Slot[]; open: number; elapsed: number }) {
  const last = slots.at(-1)!.end;
  const rest = tour.talk_minutes * 60 - last;
  if (elapsed === 0) {
    return (
      <span class="muted">
        The stops take {last / 60} minutes{rest > 0 && `, and ${rest / 60} are left for questions between them`}.
      </span>
    );
  }
  if (elapsed >= last + rest) return <span class="late">The time is up.</span>;
  const due = dueAt(elapsed, slots);
  const pace = paceOf(elapsed, slots[open]!);
  return (
    <>
      {pace.kind === "on time" ? (
        <span>On time: {clock(slots[open]!.end - elapsed)} left for this stop</span>
      ) : (
        <span class={pace.kind}>
          {clock(pace.seconds)} {pace.kind} at this stop
        </span>
      )}
      {due !== open && (
        <a href={addressOf("tour", tour.stops[due]!.id)}>
          By now: {due + 1}. {tour.stops[due]!.title}
        </a>
      )}
    </>
  );
}
