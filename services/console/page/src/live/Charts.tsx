import { useMemo } from "preact/hooks";
import type uPlot from "uplot";
import * as format from "../format.ts";
import { days, events, history } from "../state.ts";
import { Chart } from "./Chart.tsx";
import { DaysTable, missedPer10000 } from "./DaysTable.tsx";
import { markOf } from "./event_marks.ts";

/** The last minutes as the console has measured them, and the days as the monitor has assessed them. */
export function Charts() {
  const past = history.value;
  const monitored = days.value;
  const marked = useMemo(() => events.value.filter((event) => markOf(event) !== "other"), [events.value]);
  const byTime = useMemo(() => marked.map((event) => ({ event, at: event.at_ms / 1000 })), [marked]);
  const byDay = useMemo(
    () =>
      marked
        .filter((event) => event.day && markOf(event) !== "process")
        .map((event) => ({ event, at: secondsOf(event.day!) })),
    [marked],
  );
  const [rates, latencies, queue] = useMemo(
    (): uPlot.AlignedData[] => [
      [past.at, past.model, past.rules],
      [past.at, past.p99, past.p50],
      [past.at, past.waiting],
    ],
    [past],
  );
  const [precision, missed] = useMemo((): uPlot.AlignedData[] => {
    const at = monitored.map((day) => secondsOf(day.day));
    return [
      [at, monitored.map((day) => day.average_precision), monitored.map((day) => day.baseline_average_precision)],
      [at, monitored.map(missedPer10000), monitored.map((day) => day.baseline_missed_per_10000)],
    ];
  }, [monitored]);
  const minutes = {
    group: "minutes",
    events: byTime,
    formatX: (at: number) => format.clock(at * 1000),
    formatTick: (at: number) => format.minute(at * 1000),
    empty: "No data yet.",
  };
  const daily = {
    group: "days",
    events: byDay,
    formatX: dayAt,
    formatTick: dayAt,
    empty: "No day has been monitored yet. The first figures need labels that have matured.",
    wide: true,
  };
  return (
    <section class="charts card" aria-label="Charts">
      <Chart
        {...minutes}
        title="Decisions"
        unit="per second"
        series={[
          { name: "by model", color: "accent", fill: true },
          { name: "by rules", color: "amber", fill: true },
        ]}
        data={rates!}
        formatY={format.rate}
      />
      <Chart
        {...minutes}
        title="Log to decision"
        unit="ms"
        series={[
          { name: "p99", color: "accent" },
          { name: "median", color: "ink" },
        ]}
        data={latencies!}
        formatY={format.milliseconds}
      />
      <Chart
        {...minutes}
        title="Lag"
        unit="transactions waiting"
        series={[{ name: "waiting", color: "accent", fill: true }]}
        data={queue!}
        formatY={format.compact}
      />
      <Chart
        {...daily}
        title="Average precision"
        unit="on matured labels"
        series={[
          { name: "measured", color: "accent", points: true },
          { name: "baseline", color: "ink", dash: true },
        ]}
        data={precision!}
        formatY={(value) => (value == null ? format.NONE : value.toFixed(2))}
        most={1}
      />
      <Chart
        {...daily}
        title="Missed frauds"
        unit="per 10,000 decisions"
        series={[
          { name: "measured", color: "accent", points: true },
          { name: "baseline", color: "ink", dash: true },
        ]}
        data={missed!}
        formatY={format.rate}
      />
      <DaysTable />
    </section>
  );
}

function dayAt(seconds: number): string {
  return format.shortDay(new Date(seconds * 1000).toISOString().slice(0, 10));
}

function secondsOf(day: string): number {
  return Date.parse(`${day}T00:00:00Z`) / 1000;
}
