import * as format from "../format.ts";
import type { DayMonitored } from "../frames.ts";
import { days } from "../state.ts";

/** What the charts of days show, as a table: for those who cannot see charts, and for exact numbers. */
export function DaysTable() {
  const monitored = days.value;
  if (monitored.length === 0) return null;
  return (
    <details class="days-table">
      <summary>The {monitored.length === 1 ? "monitored day" : `${format.count(monitored.length)} monitored days`} as a table</summary>
      <div class="table-scroller" tabIndex={0} role="region" aria-label="Monitored days">
        <table class="columns">
          <thead>
            <tr>
              <th scope="col">day</th>
              <th scope="col">model</th>
              <th scope="col">state</th>
              <th scope="col" class="number">
                average precision
              </th>
              <th scope="col" class="number">
                baseline
              </th>
              <th scope="col" class="number">
                missed per 10,000
              </th>
              <th scope="col" class="number">
                baseline
              </th>
            </tr>
          </thead>
          <tbody>
            {[...monitored].reverse().map((day) => (
              <tr key={day.day}>
                <th scope="row">{format.day(day.day)}</th>
                <td>v{day.champion_version}</td>
                <td>{day.state}</td>
                <td class="number">{format.ratio(day.average_precision)}</td>
                <td class="number">{format.ratio(day.baseline_average_precision)}</td>
                <td class="number">{format.rate(missedPer10000(day))}</td>
                <td class="number">{format.rate(day.baseline_missed_per_10000)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

/** Approved frauds per 10,000 matured decisions, null without any. */
export function missedPer10000(day: DayMonitored): number | null {
  return day.matured_decisions ? (1e4 * day.missed_frauds) / day.matured_decisions : null;
}
