import * as format from "../format.ts";
import { events } from "../state.ts";
import { GLYPHS, MARK_NAMES, markOf } from "./event_marks.ts";

const SHOWN = 200;

/** What happened, newest first. */
export function Timeline() {
  // What lies in a topic is learned later than what the console sees itself, and may have happened before it.
  const newest = [...events.value].sort((a, b) => b.at_ms - a.at_ms || b.number - a.number).slice(0, SHOWN);
  return (
    <section class="timeline card" aria-label="Timeline">
      <div class="section-head">
        <h2>Timeline</h2>
        <p class="muted">newest first; the same signs mark the charts</p>
      </div>
      {newest.length === 0 ? (
        <p class="nothing-here">
          Nothing has happened yet. Changes, drift, retrainings, verdicts and model swaps appear here.
        </p>
      ) : (
        <ol tabIndex={0} aria-label="Events, newest first">
          {newest.map((event) => {
            const mark = markOf(event);
            return (
              <li key={event.number}>
                <span class="glyph">
                  <svg width="10" height="10" role="img" aria-label={MARK_NAMES[mark]}>
                    <path d={GLYPHS[mark]} fill="currentColor" />
                  </svg>
                </span>
                <div>
                  <p>{event.text}</p>
                  <p class="when">
                    {event.day && `${format.shortDay(event.day)} · `}
                    {format.clock(event.at_ms)}
                  </p>
                  {event.details.length > 0 && (
                    <details>
                      <summary>{format.plural(event.details.length, "reason")}</summary>
                      <ul>
                        {event.details.map((detail) => (
                          <li key={detail}>{detail}</li>
                        ))}
                      </ul>
                    </details>
                  )}
                </div>
              </li>
            );
          })}
        </ol>
      )}
    </section>
  );
}
