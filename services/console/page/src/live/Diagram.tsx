import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { BOX_TEXTS } from "../boxes.ts";
import * as format from "../format.ts";
import { BOXES, type Box, type BoxName, type LiveFrame } from "../frames.ts";
import { live } from "../state.ts";
import { BoxButton } from "./BoxButton.tsx";
import { Dots } from "./Dots.tsx";
import { linesOf, stateOf, toneOf } from "./box_figures.ts";
import { flowOf, type Flow } from "./flow.ts";
import { layoutFor, type Edge, type Place, type Point } from "./layout.ts";

/** Width of a character of the diagram's text in pixels, on average; texts that do not fit are cut. */
export const CHARACTER = 6.9;
export const TITLE_CHARACTER = 8.4;

const NOTE =
  "The upper row decides each payment. The others learn: closed days are assessed, and a better model takes over.";

/** Edges whose rate is written beside them. */
const WITH_RATE = new Set(["transactions", "batches", "decisions"]);

/** The system, in the order of the data. Each box is a button that opens its panel. */
export function Diagram({ open }: { open: BoxName | undefined }) {
  const holder = useRef<HTMLDivElement>(null);
  const width = useWidth(holder);
  const layout = useMemo(() => layoutFor(width), [width]);
  const frame = live.value;
  const boxes = new Map((frame?.boxes ?? []).map((box) => [box.name, box]));
  return (
    <div ref={holder}>
      {width > 0 && (
        <svg width={width} height={layout.height} role="group" aria-label="Diagram of the system">
          {layout.edges.map((edge) => (
            <EdgeLine key={edge.id} edge={edge} flow={frame && flowOf(edge, frame, boxes)} />
          ))}
          {layout.note && <Note place={layout.note} />}
          <Dots edges={layout.edges} />
          {BOXES.map((name) => (
            <BoxShape
              key={name}
              name={name}
              place={layout.places[name]}
              box={boxes.get(name)}
              frame={frame}
              open={open === name}
            />
          ))}
        </svg>
      )}
    </div>
  );
}

export function useWidth(holder: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(holder.current!);
    return () => observer.disconnect();
  }, []);
  return width;
}

export function EdgeLine({ edge, flow }: { edge: Edge; flow: Flow | null }) {
  const { points, label, labelAt, anchor } = edge;
  const rate = flow && WITH_RATE.has(edge.id) ? amountOf(flow) : "";
  const isAbove = labelAt[1] < points[0]![1];
  const labelShift = !rate ? 0 : anchor !== "middle" ? -7 : isAbove ? -14 : 0;
  return (
    <g class="edge" data-by={flow?.by ?? "idle"} data-edge={edge.id} aria-hidden="true">
      <path d={`M${points.map((point) => point.join(" ")).join("L")}`} />
      <path class="head" d={arrowHead(points)} />
      {label && (
        <text x={labelAt[0]} y={labelAt[1] + labelShift} text-anchor={anchor}>
          {label}
        </text>
      )}
      {rate && (
        <text class="rate" x={labelAt[0]} y={labelAt[1] + labelShift + 14} text-anchor={anchor}>
          {rate}
        </text>
      )}
    </g>
  );
}

function amountOf({ rate, waiting }: Flow): string {
  return waiting === undefined ? `${format.rate(rate)}/s` : `${format.compact(waiting)} waiting`;
}

/** A triangle at the end of a line. */
function arrowHead(points: Point[]): string {
  const [x, y] = points.at(-1)!;
  const [fromX, fromY] = points.at(-2)!;
  const [dx, dy] = [Math.sign(x - fromX), Math.sign(y - fromY)];
  const back: Point = [x - 7 * dx, y - 7 * dy];
  return `M${x} ${y}L${back[0] - 3.5 * dy} ${back[1] - 3.5 * dx}L${back[0] + 3.5 * dy} ${back[1] + 3.5 * dx}Z`;
}

interface BoxShapeProps {
  name: BoxName;
  place: Place;
  box: Box | undefined;
  frame: LiveFrame | null;
  open: boolean;
}

function BoxShape({ name, place, box, frame, open }: BoxShapeProps) {
  const text = BOX_TEXTS[name];
  const lines = box && frame ? linesOf(box, frame).slice(0, 3) : [];
  const characters = Math.floor((place.width - 24) / CHARACTER);
  const state = stateOf(box);
  const label = [`${text.title}: ${state}`, box?.reason, ...lines.map((line) => `${line.name} ${line.value}`)]
    .filter(Boolean)
    .join(", ");
  const isWell = toneOf(box) === "ok";
  const stateFits = 34 + text.title.length * TITLE_CHARACTER + state.length * CHARACTER < place.width - 12;
  const below = isWell ? text.subtitle : [!stateFits && state, box?.reason].filter(Boolean).join(": ") || text.subtitle;
  return (
    <BoxButton name={name} place={place} open={open} tone={toneOf(box)} label={label}>
      <circle cx={15} cy={19} r={4} />
      <text class="title" x={26} y={23.5}>
        {text.title}
      </text>
      {stateFits && (
        <text class="state" x={place.width - 12} y={23} text-anchor="end">
          {state}
        </text>
      )}
      <text class="subtitle" x={12} y={42}>
        {cut(below, characters)}
      </text>
      {lines.map((line, index) => (
        <g key={line.name} transform={`translate(0 ${62 + 17 * index})`}>
          <text class="name" x={12}>
            {cut(line.name, characters - line.value.length - 1)}
          </text>
          <text class="value" x={place.width - 12} text-anchor="end">
            {line.value}
          </text>
        </g>
      ))}
    </BoxButton>
  );
}

/** What the two parts of the picture are, in the room that is left. */
function Note({ place }: { place: Place }) {
  return (
    <g class="note" transform={`translate(${place.x} ${place.y})`}>
      {wrapped(NOTE, Math.floor(place.width / CHARACTER)).map((line, index) => (
        <text key={line} y={20 + 18 * index}>
          {line}
        </text>
      ))}
    </g>
  );
}

export function wrapped(text: string, characters: number): string[] {
  return text.split(" ").reduce<string[]>((lines, word) => {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > characters) return [...lines, word];
    return [...lines.slice(0, -1), `${last} ${word}`];
  }, []);
}

export function cut(text: string, characters: number): string {
  return text.length <= characters ? text : `${text.slice(0, Math.max(1, characters - 1)).trimEnd()}…`;
}
