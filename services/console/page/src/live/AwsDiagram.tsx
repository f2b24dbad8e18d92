import { signal } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import * as format from "../format.ts";
import { BOXES, type BoxName } from "../frames.ts";
import { AWS_PICTURES, type AwsPicture, type PricedItem } from "../tour/data.ts";
import { BoxButton } from "./BoxButton.tsx";
import { CHARACTER, EdgeLine, TITLE_CHARACTER, cut, useWidth, wrapped } from "./Diagram.tsx";
import { layoutFor, type Place } from "./layout.ts";

/** The service that each part becomes, see docs/aws.md. */
const ON_AWS: Record<BoxName, { title: string; subtitle: string }> = {
  generator: { title: "Your payment system", subtitle: "writes to the stream" },
  kafka: { title: "Kinesis", subtitle: "a shard is a partition" },
  stream: { title: "Lambda", subtitle: "one invocation per shard at a time" },
  store: { title: "DynamoDB", subtitle: "one item per card" },
  scoring: { title: "SageMaker endpoint", subtitle: "and API Gateway for previews" },
  archive: { title: "S3, daily job", subtitle: "files in the same layout" },
  monitor: { title: "SageMaker processing", subtitle: "a job of each day" },
  pipelines: { title: "Step Functions", subtitle: "starts the jobs" },
  mlflow: { title: "Model package group", subtitle: "with an approval" },
};

/** The environment that the diagram shows instead of this machine, null for this machine. */
export const picture = signal<AwsPicture | null>(null);

/** This machine, or one of the environments on AWS. */
export function PictureChoice() {
  if (AWS_PICTURES.length === 0) return null;
  return (
    <fieldset class="segments">
      <legend class="visually-hidden">Where the system runs</legend>
      <label>
        <input type="radio" name="picture" checked={picture.value === null} onChange={() => (picture.value = null)} />
        This machine
      </label>
      {AWS_PICTURES.map((each) => (
        <label key={each.environment}>
          <input
            type="radio"
            name="picture"
            checked={picture.value === each}
            onChange={() => (picture.value = each)}
          />
          AWS {each.environment}
        </label>
      ))}
    </fieldset>
  );
}

/** The same diagram with the services of AWS, what they hold, and what they cost. */
export function AwsDiagram({ open, picture }: { open: BoxName | undefined; picture: AwsPicture }) {
  const holder = useRef<HTMLDivElement>(null);
  const width = useWidth(holder);
  const layout = useMemo(() => layoutFor(width), [width]);
  return (
    <div ref={holder}>
      {width > 0 && (
        <svg width={width} height={layout.height} role="group" aria-label="Diagram of the system on AWS">
          {layout.edges.map((edge) => (
            <EdgeLine key={edge.id} edge={edge} flow={null} />
          ))}
          {BOXES.map((name) => (
            <ServiceBox
              key={name}
              name={name}
              place={layout.places[name]}
              items={picture.boxes[name] ?? []}
              open={open === name}
            />
          ))}
        </svg>
      )}
      <Bill picture={picture} />
    </div>
  );
}

interface ServiceBoxProps {
  name: BoxName;
  place: Place;
  items: PricedItem[];
  open: boolean;
}

function ServiceBox({ name, place, items, open }: ServiceBoxProps) {
  const { title, subtitle } = ON_AWS[name];
  const characters = Math.floor((place.width - 24) / CHARACTER);
  const quantities = items.length > 0 ? wrapped(items[0]!.quantities, characters).slice(0, 2) : [];
  const price = items.length > 0 ? `${dollars(sum(items))} a month` : "";
  const label = [title, subtitle, ...items.map((item) => item.quantities), price].filter(Boolean).join(", ");
  return (
    <BoxButton name={name} place={place} open={open} tone="unknown" label={label}>
      <text class="title" x={12} y={23.5}>
        {cut(title, Math.floor((place.width - 20) / TITLE_CHARACTER))}
      </text>
      <text class="subtitle" x={12} y={42}>
        {cut(subtitle, characters)}
      </text>
      {quantities.map((line, index) => (
        <text class="name" x={12} y={60 + 15 * index} key={line}>
          {cut(line, characters)}
        </text>
      ))}
      {price && (
        <text class="value" x={place.width - 12} y={place.height - 10} text-anchor="end">
          {price}
        </text>
      )}
    </BoxButton>
  );
}

/** All items with their quantities: what the boxes have no room for, and what belongs to no box. */
function Bill({ picture }: { picture: AwsPicture }) {
  const items = [...Object.values(picture.boxes).flat(), ...picture.others];
  return (
    <details class="bill">
      <summary>
        {dollars(picture.dollars)} a month at {format.count(picture.rate)} transactions per second in {picture.region},
        computed with list prices of {picture.prices_of}; no account has confirmed it
      </summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="The bill">
        <table class="columns">
          <thead>
            <tr>
              <th scope="col">service</th>
              <th scope="col">quantities</th>
              <th scope="col" class="number">
                a month
              </th>
            </tr>
          </thead>
          <tbody>
            {items.map((item) => (
              <tr key={item.service}>
                <th scope="row">{item.service}</th>
                <td>{item.quantities}</td>
                <td class="number">{dollars(item.dollars)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="text">
        The command cardwatch aws cost {picture.environment} --rate {picture.rate} prints the same; docs/aws-costs.md
        has prices, inputs and formulas.
      </p>
    </details>
  );
}

function sum(items: PricedItem[]): number {
  return items.reduce((total, { dollars }) => total + dollars, 0);
}

function dollars(value: number): string {
  return value < 10 ? `$${value.toFixed(2)}` : `$${format.count(Math.round(value))}`;
}
