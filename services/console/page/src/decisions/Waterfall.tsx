import type { Explanation } from "../decision_record.ts";
import { stepsOf } from "./waterfall_steps.ts";

/** The largest contributions as steps from the expected margin to the margin; the others are one step. */
export function Waterfall({ explanation }: { explanation: Explanation }) {
  const steps = stepsOf(explanation);
  const low = Math.min(0, ...steps.flatMap((step) => [step.from, step.to]));
  const high = Math.max(0, ...steps.flatMap((step) => [step.from, step.to]));
  const place = (value: number) => (value - low) / (high - low || 1);
  return (
    <div class="waterfall" role="list" aria-label="Contributions to the margin">
      {steps.map((step) => {
        const [start, end] = [place(Math.min(step.from, step.to)), place(Math.max(step.from, step.to))];
        const sign = step.total ? "total" : step.to >= step.from ? "up" : "down";
        return (
          <div class={step.total ? "fall total" : "fall"} role="listitem" key={step.name} data-sign={sign}>
            <span class="feature" title={step.title}>
              {step.name}
            </span>
            <div class="track" aria-hidden="true">
              <div
                class="bar-part"
                style={{ transform: `translateX(${100 * start}%) scaleX(${Math.max(0.008, end - start)})` }}
              />
            </div>
            <span class="number">{step.total ? decimal(step.to) : signed(step.to - step.from)}</span>
          </div>
        );
      })}
    </div>
  );
}

function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

function decimal(value: number): string {
  return value.toFixed(2).replace("-", "−");
}
