import { useEffect, useRef } from "preact/hooks";
import { live, stale } from "../state.ts";
import { flowOf, type By } from "./flow.ts";
import type { Edge, Point } from "./layout.ts";

const PIXELS_PER_SECOND = 85;
/** A dot is set at most this often per edge, so that a busy system does not make a busy processor. */
const DOTS_PER_SECOND = 4.5;
const FRAME_MS = 33;
const MOST_DOTS = 120;

interface Dot {
  element: SVGCircleElement;
  edge: Edge;
  travelled: number;
  length: number;
}

/** Dots along the edges: the more transactions, the more dots, on a logarithmic scale. None if motion is reduced. */
export function Dots({ edges }: { edges: Edge[] }) {
  const group = useRef<SVGGElement>(null);
  useEffect(() => animate(group.current!, edges), [edges]);
  return <g class="dots" ref={group} aria-hidden="true" />;
}

function animate(group: SVGGElement, edges: Edge[]): () => void {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return () => {};
  const moving = edges.filter((edge) => edge.traffic !== "none");
  const due = new Map(moving.map((edge) => [edge.id, Math.random()]));
  const lengths = new Map(moving.map((edge) => [edge.id, lengthOf(edge.points)]));
  const dots: Dot[] = [];
  const spare: SVGCircleElement[] = [];
  let last = performance.now();
  let request = requestAnimationFrame(step);

  function step(now: number): void {
    request = requestAnimationFrame(step);
    const elapsed = now - last;
    if (elapsed < FRAME_MS) return;
    last = now;
    if (elapsed > 1_000) return; // the tab was in the background
    emit(elapsed / 1_000);
    move(elapsed / 1_000);
  }

  function emit(seconds: number): void {
    const frame = live.peek();
    if (!frame || stale.peek()) return;
    const boxes = new Map(frame.boxes.map((box) => [box.name, box]));
    for (const edge of moving) {
      const flow = flowOf(edge, frame, boxes);
      if (!flow.rate) continue;
      const perSecond = Math.min(DOTS_PER_SECOND, 0.5 * Math.log2(1 + flow.rate));
      const next = due.get(edge.id)! + perSecond * seconds;
      due.set(edge.id, next % 1);
      if (next >= 1 && dots.length < MOST_DOTS) add(edge, choose(flow.dots));
    }
  }

  function add(edge: Edge, by: By | undefined): void {
    const element = spare.pop() ?? document.createElementNS("http://www.w3.org/2000/svg", "circle");
    element.setAttribute("r", "3");
    if (by) element.dataset["by"] = by;
    else delete element.dataset["by"];
    group.append(element);
    dots.push({ element, edge, travelled: 0, length: lengths.get(edge.id)! });
  }

  function move(seconds: number): void {
    for (let index = dots.length - 1; index >= 0; index--) {
      const dot = dots[index]!;
      dot.travelled += PIXELS_PER_SECOND * seconds;
      if (dot.travelled >= dot.length) {
        dots.splice(index, 1);
        dot.element.remove();
        spare.push(dot.element);
        continue;
      }
      const [x, y] = pointAt(dot.edge.points, dot.travelled);
      dot.element.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    }
  }

  return () => {
    cancelAnimationFrame(request);
    group.replaceChildren();
  };
}

/** Choose one of some shares at random; undefined for the rest. */
function choose(shares: Partial<Record<By, number>>): By | undefined {
  let draw = Math.random();
  for (const [by, share] of Object.entries(shares)) {
    draw -= share;
    if (draw < 0) return by as By;
  }
  return undefined;
}

function lengthOf(points: Point[]): number {
  return points.slice(1).reduce((sum, point, index) => sum + distance(points[index]!, point), 0);
}

function pointAt(points: Point[], travelled: number): Point {
  for (let index = 1; index < points.length; index++) {
    const [from, to] = [points[index - 1]!, points[index]!];
    const length = distance(from, to);
    if (travelled <= length) {
      const share = length ? travelled / length : 0;
      return [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
    }
    travelled -= length;
  }
  return points.at(-1)!;
}

function distance(from: Point, to: Point): number {
  return Math.abs(to[0] - from[0]) + Math.abs(to[1] - from[1]); // all lines are horizontal or vertical
}
