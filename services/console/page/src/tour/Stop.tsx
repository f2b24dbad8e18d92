import type { ComponentChildren } from "preact";
import { BOX_TEXTS } from "../boxes.ts";
import { addressOf } from "../routes.ts";
import type { TourStop, TourTable } from "./data.ts";
import { PlainText, Points } from "./PlainText.tsx";
import type { Slot } from "./plan.ts";
import { FurtherQuestion, Question } from "./Question.tsx";
import { Rubric } from "./Rubric.tsx";

interface StopProps {
  stop: TourStop;
  at: number;
  slot: Slot;
  isAnswerOpen: boolean;
  onToggleAnswer: () => void;
}

/** One stop: what to draw and to say, the interviewer's question, the rubric, and what is there to read on. */
export function Stop({ stop, at, slot, isAnswerOpen, onToggleAnswer }: StopProps) {
  const [first, ...further] = stop.questions;
  return (
    <>
      <header class="stop-head">
        <p class="muted">
          Minutes {slot.begin / 60} to {slot.end / 60}
        </p>
        <h2 id="stop-title" tabIndex={-1}>
          {at + 1}. {stop.title}
        </h2>
        <p class="purpose">
          <PlainText text={stop.purpose} />
        </p>
      </header>
      <div class="stop-columns">
        <div>
          <section aria-labelledby="say-title">
            <h3 id="say-title">Say</h3>
            <Points texts={stop.notes} />
          </section>
          <section aria-labelledby="draw-title">
            <h3 id="draw-title">Draw</h3>
            <Points texts={stop.draw} />
            {stop.drawings.map((title) => (
              <p key={title} class="muted">
                Drawing “{title}” in <span class="mono">docs/whiteboard.md</span>
              </p>
            ))}
            {stop.boxes.length > 0 && (
              <p class="stop-boxes">
                <span class="muted">Show live:</span>
                {stop.boxes.map((box) => (
                  <a key={box} href={addressOf("live", box)}>
                    {BOX_TEXTS[box].title}
                  </a>
                ))}
              </p>
            )}
          </section>
        </div>
        <section class="asked" aria-labelledby="asked-title">
          <h3 id="asked-title">The interviewer asks</h3>
          <Question question={first!} isOpen={isAnswerOpen} onToggle={onToggleAnswer} />
        </section>
      </div>
      <Rubric stop={stop} />
      <section class="more" aria-label="More about this stop">
        {further.length > 0 && (
          <More title={`More questions (${further.length})`}>
            {further.map((question) => (
              <FurtherQuestion key={question.number} question={question} />
            ))}
          </More>
        )}
        <More title={`Follow-up questions (${stop.follow_ups.length})`}>
          <dl class="pairs">
            {stop.follow_ups.map(({ ask, point }) => (
              <div key={ask}>
                <dt>
                  <PlainText text={ask} />
                </dt>
                <dd>
                  <PlainText text={point} />
                </dd>
              </div>
            ))}
          </dl>
        </More>
        {stop.tables.map((table) => (
          <More key={table.title} title={table.title}>
            <Table table={table} />
          </More>
        ))}
        {stop.rejected.length > 0 && (
          <More title={`Rejected alternatives (${stop.rejected.length})`}>
            <dl class="pairs">
              {stop.rejected.map(({ instead, because, right_when: rightWhen, page }) => (
                <div key={instead}>
                  <dt>
                    <PlainText text={instead} />
                  </dt>
                  <dd>
                    <PlainText text={because} />
                  </dd>
                  <dd>
                    <span class="muted">Right when: </span>
                    <PlainText text={rightWhen} />
                  </dd>
                  <dd class="mono">{page}</dd>
                </div>
              ))}
            </dl>
          </More>
        )}
        {stop.limits.length > 0 && (
          <More title="Not built, not measured">
            <Points texts={stop.limits} />
          </More>
        )}
      </section>
    </>
  );
}

function More({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <details>
      <summary>{title}</summary>
      <div class="more-body">{children}</div>
    </details>
  );
}

function Table({ table }: { table: TourTable }) {
  return (
    <>
      <div class="table-scroller" role="region" aria-label={table.title} tabIndex={0}>
        <table class="columns">
          <thead>
            <tr>
              {table.head.map((cell, at) =>
                cell ? (
                  <th key={at} scope="col">
                    <PlainText text={cell} />
                  </th>
                ) : (
                  <td key={at} />
                ),
              )}
            </tr>
          </thead>
          <tbody>
            {table.rows.map(([subject, ...cells], at) => (
              <tr key={at}>
                <th scope="row">
                  <PlainText text={subject!} />
                </th>
                {cells.map((cell, column) => (
                  <td key={column}>
                    <PlainText text={cell} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {table.note && (
        <p class="muted">
          <PlainText text={table.note} />
        </p>
      )}
    </>
  );
}
