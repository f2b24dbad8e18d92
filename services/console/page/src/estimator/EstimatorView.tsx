import { useEffect } from "preact/hooks";
import { addressOf, go, route } from "../routes.ts";
import { readTour, readingError, tour } from "../tour/data.ts";
import { Chain } from "./Chain.tsx";
import { figureText } from "./figure_text.ts";
import { Inputs } from "./Inputs.tsx";
import { KnownFigures } from "./KnownFigures.tsx";
import { estimateOf, givenIn, type Estimate, type EstimatorTable } from "./table.ts";
import { BasisTag } from "./BasisTag.tsx";
import "./estimator.css";

const HEADLINES = ["partitions", "workers", "brokers", "machines", "memory", "disks", "regions", "dollars"];
/** Sections about the other design, which are unfolded when somebody asks for them. */
const AWS = "aws-";

/** From a rate of transactions to partitions, workers, memory, storage and dollars, step by step. */
export function EstimatorView() {
  useEffect(() => void readTour(), []);
  const table = tour.value?.estimator;
  return (
    <main class="view estimator" id="view" tabIndex={-1} aria-label="Estimator">
      {table ? <OpenEstimator table={table} /> : <p class="nothing-here">{whyNot()}</p>}
    </main>
  );
}

function whyNot(): string {
  if (readingError.value) return `The table of quantities cannot be read: ${readingError.value}`;
  if (tour.value === undefined) return "The table of quantities is being read.";
  return "This page was built without the table of quantities. Run `cardwatch console build`, or type `cardwatch estimate`.";
}

function OpenEstimator({ table }: { table: EstimatorTable }) {
  const given = givenIn(route.value.rest, table);
  const estimate = estimateOf(table, given);
  const change = (changes: Record<string, number | undefined>) => {
    const parts = Object.entries({ ...given, ...changes }).flatMap(([name, value]) =>
      value === undefined ? [] : `${name}=${value}`,
    );
    go(addressOf("estimator", ...parts), true);
  };
  return (
    <div class="estimator-columns">
      <Inputs table={table} given={given} onChange={change} />
      <div class="estimate">
        <Headlines table={table} estimate={estimate} />
        <Checks estimate={estimate} />
        <Chain sections={table.sections.filter(({ name }) => !name.startsWith(AWS))} table={table} estimate={estimate} />
        <details class="card fold">
          <summary>
            The same on AWS as it is built, with Kinesis, Lambda and DynamoDB:{" "}
            <b>{figureText(estimate.values["aws_dollars"]!, "$")} a month</b>
          </summary>
          <Chain sections={table.sections.filter(({ name }) => name.startsWith(AWS))} table={table} estimate={estimate} />
        </details>
        <KnownFigures table={table} given={given} onChange={change} />
      </div>
    </div>
  );
}

function Headlines({ table, estimate }: { table: EstimatorTable; estimate: Estimate }) {
  const steps = table.sections.flatMap((section) => section.steps);
  return (
    <dl class="card headlines" aria-label="The estimate">
      {HEADLINES.map((name) => {
        const step = steps.find((each) => each.name === name)!;
        return (
          <div key={name}>
            <dt>{name === "dollars" ? "a month" : step.title}</dt>
            <dd>{figureText(estimate.values[name]!, step.unit)}</dd>
            <dd>
              <BasisTag basis={estimate.basis[name]!} />
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

function Checks({ estimate }: { estimate: Estimate }) {
  return (
    <ul class="checks" aria-label="Checks">
      {estimate.checks.map(({ holds, text }) => (
        <li key={text} data-holds={holds}>
          <span class="dot" data-tone={holds ? "ok" : "critical"} aria-hidden="true" />
          {text}
        </li>
      ))}
    </ul>
  );
}
