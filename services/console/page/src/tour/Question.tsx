import { useState } from "preact/hooks";
import type { TourQuestion } from "./data.ts";
import { PlainText } from "./PlainText.tsx";

interface QuestionProps {
  question: TourQuestion;
  isOpen: boolean;
  onToggle: () => void;
}

/** A question of an interviewer; the strong answer is hidden until it is asked for. */
export function Question({ question, isOpen, onToggle }: QuestionProps) {
  const id = `answer-${question.number}`;
  return (
    <div class="question">
      <p class="ask">
        <PlainText text={question.ask} />
      </p>
      <button type="button" class="button" aria-expanded={isOpen} aria-controls={id} onClick={onToggle}>
        {isOpen ? "Hide the answer" : "Show a strong answer"}
      </button>
      <div id={id} class="answer" hidden={!isOpen}>
        <p>
          <PlainText text={question.answer} />
        </p>
        {question.figures.length > 0 && (
          <>
            <h4>Figures</h4>
            <dl class="figures">
              {question.figures.map(({ shown, source }) => (
                <div key={source + shown}>
                  <dt>{shown}</dt>
                  <dd>{source}</dd>
                </div>
              ))}
            </dl>
          </>
        )}
        <h4>Where it is written</h4>
        <ul class="paths">
          {question.see.map((path) => (
            <li key={path} class="mono">
              {path}
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

/** A further question, which keeps to itself whether its answer is shown. */
export function FurtherQuestion({ question }: { question: TourQuestion }) {
  const [isOpen, setOpen] = useState(false);
  return <Question question={question} isOpen={isOpen} onToggle={() => setOpen(!isOpen)} />;
}
