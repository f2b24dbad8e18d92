import type { TourStop } from "./data.ts";
import { PlainText } from "./PlainText.tsx";
import { LEVELS, countSaid, isSaid, levelOf, setSaid, type Level } from "./scores.ts";

const TITLES: Record<Level, string> = { senior: "Senior", staff: "Staff" };

/** What to score oneself by: the lines that were said without being asked. */
export function Rubric({ stop }: { stop: TourStop }) {
  const level = levelOf(stop);
  return (
    <section class="rubric" aria-labelledby="rubric-title">
      <div class="section-head">
        <h3 id="rubric-title">Score yourself</h3>
        <p class="muted">Mark what you said without being asked. Staff counts when all of senior was said.</p>
        <p class="level-reached" role="status">
          {level ? `Level at this stop: ${level}` : ""}
        </p>
      </div>
      {LEVELS.map((each) => (
        <fieldset key={each}>
          <legend>
            {TITLES[each]} <span class="muted">{`${countSaid(stop, each)} of ${stop.rubric[each].length}`}</span>
          </legend>
          {stop.rubric[each].map((line) => (
            <label key={line} class="said">
              <input
                type="checkbox"
                checked={isSaid(stop, line)}
                onChange={(event) => setSaid(stop, line, event.currentTarget.checked)}
              />
              <span>
                <PlainText text={line} />
              </span>
            </label>
          ))}
        </fieldset>
      ))}
    </section>
  );
}
