import { useEffect, useRef } from "preact/hooks";
import { signal, type Signal } from "@preact/signals";
import uPlot from "uplot";
import type { EventFrame } from "../frames.ts";
import { theme } from "../theme.ts";
import { GLYPHS, markOf } from "./event_marks.ts";

export interface Series {
  name: string;
  color: "accent" | "amber" | "ink";
  dash?: boolean;
  fill?: boolean;
  /** Draw single points, for values that are days apart. */
  points?: boolean;
}

export interface ChartProps {
  title: string;
  /** After the title: what the numbers are. */
  unit: string;
  series: Series[];
  /** x in seconds since 1970, then one column per series. */
  data: uPlot.AlignedData;
  events: { event: EventFrame; at: number }[];
  /** Charts of a group show the same moment. */
  group: string;
  formatX: (seconds: number) => string;
  /** For the axis, where there is less room. */
  formatTick: (seconds: number) => string;
  formatY: (value: number | null | undefined) => string;
  /** Upper end of the scale, if there is a natural one. */
  most?: number;
  least?: number;
  empty: string;
  wide?: boolean;
}

const COLORS = { accent: "--accent", amber: "--amber-mark", ink: "--ink-3" } as const;

/** The moment under the pointer, per group of charts: all of them say their values at that moment. */
const pointed = new Map<string, Signal<number | null>>();

function pointedIn(group: string): Signal<number | null> {
  if (!pointed.has(group)) pointed.set(group, signal(null));
  return pointed.get(group)!;
}

/** A line chart with its current values in words, and marks for events. */
export function Chart(props: ChartProps) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef(props);
  newest.current = props;
  const hasData = props.data[0].length > 1;
  const currentTheme = theme();
  useEffect(() => {
    if (!hasData) return;
    const observer = new ResizeObserver(([entry]) => {
      const width = Math.floor(entry!.contentRect.width);
      const shown = plot.current;
      if (shown && width > 0 && width !== shown.width) shown.setSize({ width, height: shown.height });
    });
    // A task for each chart: together they would keep the page from answering.
    const timer = setTimeout(() => {
      plot.current = create(holder.current!, newest);
      observer.observe(holder.current!);
    });
    return () => {
      clearTimeout(timer);
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [hasData, currentTheme]);
  useEffect(() => plot.current?.setData(props.data), [props.data]);
  useEffect(() => plot.current?.redraw(false), [props.events]);
  return (
    <figure class={props.wide ? "chart wide" : "chart"}>
      <figcaption>
        <h3>
          {props.title} <span class="muted">{props.unit}</span>
        </h3>
        <Readout {...props} />
      </figcaption>
      <div class="plot" ref={holder} aria-hidden={hasData ? "true" : undefined}>
        {!hasData && <p class="nothing">{props.empty}</p>}
      </div>
    </figure>
  );
}

/** The values at the pointer, else the newest. */
function Readout({ series, data, group, formatX, formatY }: ChartProps) {
  const index = pointedIn(group).value ?? data[0].length - 1;
  const at = data[0][index];
  const isPointed = pointedIn(group).value !== null;
  return (
    <p class="readout">
      {series.map((line, number) => (
        <span class="series" key={line.name}>
          <i class="swatch" data-color={line.color} data-dash={line.dash ? "true" : "false"} aria-hidden="true" />
          {line.name} <b>{formatY(data[number + 1]![index])}</b>
        </span>
      ))}
      {isPointed && at !== undefined && <span>{formatX(at)}</span>}
    </p>
  );
}

function create(holder: HTMLElement, newest: { current: ChartProps }): uPlot {
  const styles = getComputedStyle(document.documentElement);
  const color = (name: string) => styles.getPropertyValue(name).trim();
  const { series, group, formatTick, formatY, most, least } = newest.current;
  const font = `11px ${color("--sans")}`;
  const axis: uPlot.Axis = {
    font,
    stroke: color("--ink-3"),
    ticks: { show: false },
    grid: { stroke: color("--line"), width: 1 },
  };
  const options: uPlot.Options = {
    width: Math.max(50, Math.floor(holder.clientWidth)),
    height: holder.clientHeight,
    padding: [14, 6, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: group }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      x: { time: false },
      y: { range: (_, low, high) => rangeOf(low, high, least, most) },
    },
    axes: [
      {
        ...axis,
        size: 24,
        gap: 4,
        space: 52,
        incrs: incrementsOf(group),
        grid: { show: false },
        values: (_, ticks) => ticks.map(formatTick),
      },
      { ...axis, size: 40, gap: 4, space: 34, values: (_, ticks) => ticks.map(formatY) },
    ],
    series: [
      {},
      ...series.map((line): uPlot.Series => {
        const stroke = color(COLORS[line.color]);
        const options: uPlot.Series = {
          stroke,
          width: 1.5,
          spanGaps: true,
          points: line.points ? { size: 4, fill: stroke } : { show: false },
        };
        if (line.dash) options.dash = [4, 4];
        if (line.fill) options.fill = `${stroke}22`;
        return options;
      }),
    ],
    hooks: {
      setCursor: [
        (plot) =>
          (pointedIn(group).value =
            plot.cursor.left != null && plot.cursor.left >= 0 ? (plot.cursor.idx ?? null) : null),
      ],
      drawClear: [(plot) => drawMarks(plot, newest.current.events, color("--line-strong"), color("--ink-2"))],
    },
  };
  return new uPlot(options, newest.current.data, holder);
}

/** From zero, with room above; a scale that has a natural end stays there. */
function rangeOf(low: number | null, high: number | null, least = 0, most?: number): [number, number] {
  const top = most ?? Math.max(high ?? 1, 1e-9) * 1.15;
  return [Math.min(least, low ?? least), high !== null && high > 0 ? top : (most ?? 1)];
}

/** Distances of labels that people read easily: minutes, and whole days. */
function incrementsOf(group: string): number[] {
  const day = 86_400;
  return group === "days" ? [day, 2 * day, 5 * day, 7 * day, 14 * day, 28 * day, 90 * day] : [60, 120, 300];
}

function drawMarks(plot: uPlot, events: ChartProps["events"], line: string, ink: string): void {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  const [from, to] = [plot.scales["x"]!.min, plot.scales["x"]!.max];
  if (from == null || to == null) return;
  ctx.save();
  for (const { event, at } of events) {
    if (at < from || at > to) continue;
    const x = Math.round(plot.valToPos(at, "x", true));
    ctx.strokeStyle = line;
    ctx.lineWidth = scale;
    ctx.setLineDash([2 * scale, 2 * scale]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setTransform(scale * 0.9, 0, 0, scale * 0.9, x - 4.5 * scale, bbox.top - 12 * scale);
    ctx.fillStyle = ink;
    ctx.fill(new Path2D(GLYPHS[markOf(event)]));
    ctx.setTransform(1, 0, 0, 1, 0, 0);
  }
  ctx.restore();
}
