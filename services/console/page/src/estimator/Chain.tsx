import { BasisTag } from "./BasisTag.tsx";
import { figureText } from "./figure_text.ts";
import { beforeRounding, figuresText, formulaText } from "./formula_text.ts";
import type { Estimate, EstimateSection, EstimateStep, EstimatorTable } from "./table.ts";

interface ChainProps {
  sections: EstimateSection[];
  table: EstimatorTable;
  estimate: Estimate;
}

/** The steps of an estimate: each with its formula in words, the same with figures, and the result. */
export function Chain({ sections, table, estimate }: ChainProps) {
  const all = [...table.inputs, ...table.known, ...table.sections.flatMap(({ steps }) => steps)];
  const known = new Map(all.map((each) => [each.name, each]));
  const title = (name: string) => known.get(name)!.title;
  const figure = (name: string) => figureText(estimate.values[name]!, known.get(name)!.unit);
  return (
    <>
      {sections.map((section) => (
        <section class="card chain" key={section.name} aria-labelledby={`estimate-${section.name}`}>
          <h2 id={`estimate-${section.name}`}>{section.title}</h2>
          {section.note && <p class="muted">{section.note}</p>}
          <ol>
            {section.steps.map((step) => (
              <Step key={step.name} step={step} estimate={estimate} title={title} figure={figure} />
            ))}
          </ol>
        </section>
      ))}
    </>
  );
}

interface StepProps {
  step: EstimateStep;
  estimate: Estimate;
  title: (name: string) => string;
  figure: (name: string) => string;
}

function Step({ step, estimate, title, figure }: StepProps) {
  const exact = beforeRounding(step.tree, estimate.values);
  const isRounded = exact !== null && !Number.isInteger(exact);
  return (
    <li data-step={step.name}>
      <h3>{step.title}</h3>
      <div class="formula">
        <p>{formulaText(step.tree, title)}</p>
        <p class="figures">
          = {figuresText(step.tree, estimate.values, figure)}
          {isRounded && <span class="muted"> ({figureText(exact, "")} before rounding up)</span>}
        </p>
        {step.note && <p class="muted">{step.note}</p>}
      </div>
      <p class="step-result">
        <b>{figureText(estimate.values[step.name]!, step.unit)}</b>
        <BasisTag basis={estimate.basis[step.name]!} />
      </p>
    </li>
  );
}
