import { useEffect } from "preact/hooks";
import { day } from "../format.ts";
import type { EventFrame } from "../frames.ts";
import { GLYPHS, MARK_NAMES, markOf } from "../live/event_marks.ts";
import { addressOf } from "../routes.ts";
import { live } from "../state.ts";
import { SPEEDS, chapters, isAtEnd, isPlaying, lengthMs, pause, play, positionMs, seek, speed } from "./player.ts";
import { recording } from "./recording.ts";

/** Play, pause, speed, the scrubber, and the chapters of the recording. */
export function ReplayBar() {
  useEffect(() => {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (recording.value && !still) play();
    return pause;
  }, [recording.value]);
  if (!recording.value) return null;
  return (
    <section class="replay" aria-label="Replay">
      <div class="replay-row">
        <button type="button" class="button" onClick={isPlaying.value ? pause : play}>
          {isPlaying.value ? "Pause" : isAtEnd.value ? "Play again" : "Play"}
        </button>
        <label class="replay-speed">
          <span class="muted">Speed</span>
          <select value={speed.value} onChange={(event) => (speed.value = Number(event.currentTarget.value))}>
            {SPEEDS.map((each) => (
              <option key={each} value={each}>
                {each}×
              </option>
            ))}
          </select>
        </label>
        <input
          type="range"
          class="scrubber"
          aria-label="Position in the recording"
          aria-valuetext={positionText()}
          min={0}
          max={lengthMs.value}
          step={500}
          value={positionMs.value}
          onInput={(event) => seek(Number(event.currentTarget.value))}
        />
        <span class="number">{`${time(positionMs.value)} of ${time(lengthMs.value)}`}</span>
        <a class="button" href={addressOf("result")}>
          Result
        </a>
      </div>
      <ol class="chapters" aria-label="Chapters">
        {chapters.value.map(({ at, value }) => (
          <li key={value.number}>
            <Chapter at={at} event={value} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function Chapter({ at, event }: { at: number; event: EventFrame }) {
  const mark = markOf(event);
  return (
    <button type="button" class="chapter" title={event.text} data-past={at <= positionMs.value} onClick={() => seek(at)}>
      <svg width="10" height="10" aria-hidden="true">
        <path d={GLYPHS[mark]} fill="currentColor" />
      </svg>
      {event.kind === "live" ? "Traffic begins" : MARK_NAMES[mark]} <span class="muted">{time(at)}</span>
    </button>
  );
}

function positionText(): string {
  const simulated = live.value?.day;
  return `${time(positionMs.value)} of ${time(lengthMs.value)}${simulated ? `, simulated day ${day(simulated)}` : ""}`;
}

function time(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
