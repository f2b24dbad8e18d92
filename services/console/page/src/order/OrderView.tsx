import { COMMIT_STEPS } from "../boxes.ts";
import * as format from "../format.ts";
import type { Lane } from "../frames.ts";
import { live } from "../state.ts";
import { HowToHold, StepHold } from "./StepHold.tsx";

/** Least number of offsets in the picture of a lane. */
const LEAST_SHOWN = 200;

/** Where each partition stands: what is in the log, what is decided, and what the store holds. */
export function OrderView() {
  const lanes = [...(live.value?.lanes ?? [])].sort((a, b) => a.partition - b.partition);
  const shown = offsetsShown(lanes);
  return (
    <main class="view" id="view" tabIndex={0} aria-label="Commit order">
      <section class="lanes card" aria-label="Positions in the partitions">
        <div class="section-head">
          <h2>Positions in the topic transactions</h2>
          <p class="muted">the newest {format.count(shown)} offsets of each partition; the log grows to the right</p>
          <ul class="legend" aria-label="Colours of the lanes">
            <li>
              <i class="key-part" /> applied: the store has its states
            </li>
            <li>
              <i class="key-part committed" /> committed: decided, not yet applied
            </li>
            <li>
              <i class="key-part log" /> waiting
            </li>
          </ul>
        </div>
        {lanes.length === 0 ? (
          <p class="nothing-here">
            No positions yet. They appear when Kafka answers and the stream worker has committed for the first time.
          </p>
        ) : (
          lanes.map((lane) => <LaneRow key={lane.partition} lane={lane} shown={shown} />)
        )}
      </section>
      <section class="card" aria-label="The commit order">
        <ol class="steps">
          {COMMIT_STEPS.map((step, index) => (
            <li key={step.title}>
              <span class="step-number" aria-hidden="true">
                {index + 1}
              </span>
              <div>
                <h2>{step.title}</h2>
                <span class="thread">{step.thread}</span>
              </div>
              <p>{step.text}</p>
              <p class="killed">
                <b>Killed here.</b> {step.killed}
              </p>
              <StepHold step={step} />
            </li>
          ))}
        </ol>
      </section>
      <HowToHold />
      <section class="reasons card" aria-label="Why this order">
        <h2>Why this order</h2>
        <p>
          The store may lag behind the log, but it is never ahead of it. So every crash leaves one of two pictures:
          nothing of the batch is visible, or its decisions are committed and only the states are missing. The first is
          repeated, the second is folded again without a decision. Two workers that fold the same gap write the same
          bytes. There is one decision of record for each transaction, whatever is killed.
        </p>
        <p>
          Batch n+1 is folded and scored while batch n commits. Nothing of n+1 is written before n is applied; if n
          fails, n+1 is discarded, because its states rest on those of n. The code is StreamWorker.process_batch in{" "}
          <span class="mono">services/stream/worker.py</span>, the reasons are in{" "}
          <span class="mono">docs/decisions/0015-the-stream-at-speed.md</span>, and{" "}
          <span class="mono">tests/e2e/test_kills.py</span> counts lost and repeated decisions after kills.
        </p>
      </section>
    </main>
  );
}

/** A common scale for all lanes: a round number with room for the longest gap. */
function offsetsShown(lanes: Lane[]): number {
  const longest = Math.max(
    0,
    ...lanes.map((lane) => lane.log_end - Math.min(lane.committed, lane.applied ?? lane.committed)),
  );
  let shown = LEAST_SHOWN;
  while (shown < 1.25 * longest) shown *= 2;
  return shown;
}

function LaneRow({ lane, shown }: { lane: Lane; shown: number }) {
  const { partition, log_end: end, committed } = lane;
  const applied = lane.applied ?? committed;
  const start = end - shown;
  const share = (offset: number) => Math.min(1, Math.max(0, (offset - start) / shown));
  const scale = (offset: number) => ({ transform: `scaleX(${share(offset)})` });
  const waiting = Math.max(0, end - committed);
  const unapplied = lane.applied === null ? null : Math.max(0, committed - lane.applied);
  return (
    <div class="lane" role="group" aria-label={`Partition ${partition}`}>
      <h3>Partition {partition}</h3>
      <div class="lane-track" aria-hidden="true">
        <div class="lane-part log" />
        <div class="lane-part committed" style={scale(Math.max(committed, applied))} />
        {lane.applied !== null && <div class="lane-part applied" style={scale(applied)} />}
        <div class="lane-ticks">
          {ticks(start, end, shown / 10).map((offset) => (
            <i key={offset} style={{ transform: `translateX(${100 * share(offset)}%)` }} />
          ))}
        </div>
      </div>
      <dl>
        <div>
          <dt>log end</dt>
          <dd>{format.count(end)}</dd>
          {waiting > 0 && <dd class="gap">{format.count(waiting)} waiting</dd>}
        </div>
        <div>
          <dt>committed</dt>
          <dd>{format.count(committed)}</dd>
        </div>
        <div>
          <dt>applied</dt>
          <dd>{format.count(lane.applied)}</dd>
          {unapplied !== null && unapplied > 0 && <dd class="gap">{format.count(unapplied)} to fold</dd>}
          {lane.refolded !== null && lane.refolded > 0 && (
            <dd class="gap">{format.count(lane.refolded)} folded again since the worker’s start</dd>
          )}
        </div>
      </dl>
    </div>
  );
}

/** Multiples of `step`: they move to the left as the log grows. */
function ticks(start: number, end: number, step: number): number[] {
  const first = Math.max(0, Math.ceil(start / step)) * step;
  return Array.from({ length: Math.max(0, Math.ceil((end - first) / step)) }, (_, index) => first + index * step);
}
