import { useState } from "preact/hooks";
import { act, changeStep } from "../api.ts";
import { COMMIT_STEPS, type CommitStep } from "../boxes.ts";
import { isReplay } from "../replay/recording.ts";
import { live } from "../state.ts";
import { announcement } from "../ui/Shell.tsx";

/** Hold the worker before a step, kill it there, or let it go on. */
export function StepHold({ step }: { step: CommitStep }) {
  const [outcome, setOutcome] = useState("");
  const hold = live.value?.step;
  if (isReplay || !hold?.is_possible) return null;
  const isHeld = hold.held === step.name;
  const isAsked = hold.asked === step.name;
  const run = async (done: string, change: () => Promise<void>) => {
    let said = done;
    try {
      await change();
    } catch (error) {
      said = `It was refused: ${(error as Error).message}`;
    }
    setOutcome(said);
    announcement.value = said;
  };
  return (
    <div class="hold" data-held={isHeld}>
      {isHeld && (
        <p>
          <b>Process {hold.pid} stands still before this step.</b> The lanes above show what is visible now.
        </p>
      )}
      {isAsked && !isHeld && <p>The worker will stand still here with its next batch.</p>}
      <div class="actions">
        {isAsked || isHeld ? (
          <button type="button" class="button" onClick={() => run("The worker goes on.", () => changeStep("release"))}>
            Go on
          </button>
        ) : (
          <button
            type="button"
            class="button"
            onClick={() => run(`Held before ${step.name}.`, () => changeStep(`${step.name}/hold`))}
          >
            Hold before this step
          </button>
        )}
        {isHeld && (
          <button
            type="button"
            class="button danger"
            onClick={() =>
              run("Killed. The stack starts it again, and it goes on without a stop.", async () => {
                await act("stream", "kill"); // first: a released worker would go on
                await changeStep("release");
              })
            }
          >
            Kill it here
          </button>
        )}
      </div>
      <code class="command">
        {isAsked || isHeld ? "cardwatch steps release" : `cardwatch steps hold ${step.name}`}
      </code>
      {isHeld && <code class="command">cardwatch fault on kill-stream && cardwatch steps release</code>}
      {outcome && <p class="muted">{outcome}</p>}
    </div>
  );
}

/** How a visitor can hold the worker, where this stack does not allow it. */
export function HowToHold() {
  if (isReplay || live.value?.step.is_possible !== false) return null;
  return (
    <section class="card reasons" aria-label="Stopping between two steps">
      <h2>Stopping between two steps</h2>
      <p>
        With a debug setting the worker can be held before each of the {COMMIT_STEPS.length} steps, and killed there.
        Start the stack with it:
      </p>
      <code class="command">CARDWATCH_HOLD_STEPS=true cardwatch up</code>
    </section>
  );
}
