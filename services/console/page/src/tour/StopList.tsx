import { addressOf } from "../routes.ts";
import type { TourStop } from "./data.ts";
import { dueAt, type Slot } from "./plan.ts";
import { levelOf } from "./scores.ts";
import { elapsedSeconds } from "./timer.ts";

/** All stops with their minutes; the open one, the one that is due by the clock, and the levels reached. */
export function StopList({ stops, slots, open }: { stops: TourStop[]; slots: Slot[]; open: number }) {
  const elapsed = elapsedSeconds();
  const due = elapsed > 0 ? dueAt(elapsed, slots) : -1;
  return (
    <nav class="stops card" aria-label="Stops">
      <ol>
        {stops.map((stop, at) => {
          const level = levelOf(stop);
          return (
            <li key={stop.id}>
              <a href={addressOf("tour", stop.id)} aria-current={at === open ? "step" : undefined} data-due={at === due}>
                <span class="stop-number">{at + 1}</span>
                <span class="stop-title">
                  {stop.title}
                  {at === due && <span class="visually-hidden">, due now</span>}
                </span>
                {level && <span class="level">{level}</span>}
                <span class="stop-minutes">
                  <span class="visually-hidden">minutes </span>
                  {slots[at]!.begin / 60}–{slots[at]!.end / 60}
                </span>
              </a>
            </li>
          );
        })}
      </ol>
    </nav>
  );
}
