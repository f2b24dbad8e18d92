import { useEffect, useState } from "preact/hooks";
import { figureText, typedNumber } from "./figure_text.ts";
import { isAllowed, type EstimateInput, type EstimatorTable } from "./table.ts";

interface InputsProps {
  table: EstimatorTable;
  given: Record<string, number>;
  onChange: (changes: Record<string, number | undefined>) => void;
}

/** What interviewers say: a rate, with the number of cards and an availability. */
const EXAMPLES: { text: string; given: Record<string, number> }[] = [
  { text: "1,000 a second", given: { tps: 1_000 } },
  { text: "40,000 a second, 100 million cards, 99.95 %", given: { tps: 40_000, cards_given: 1e8, availability: 99.95 } },
  { text: "1,000,000 a second, 99.99 %", given: { tps: 1_000_000, availability: 99.99 } },
];

/** The numbers that are asked for. A change counts at once; an impossible one leaves the estimate as it was. */
export function Inputs({ table, given, onChange }: InputsProps) {
  const choose = (example: Record<string, number>) =>
    onChange({ ...Object.fromEntries(Object.keys(given).map((name) => [name, undefined])), ...example });
  return (
    <section class="card estimator-inputs" aria-label="Numbers that are asked for">
      {table.inputs.map((each) => (
        <NumberInput key={each.name} input={each} table={table} value={given[each.name]} onChange={onChange} />
      ))}
      <div class="examples">
        <h2>Examples</h2>
        {EXAMPLES.map(({ text, given }) => (
          <button type="button" class="button" key={text} onClick={() => choose(given)}>
            {text}
          </button>
        ))}
      </div>
    </section>
  );
}

interface NumberInputProps {
  input: EstimateInput;
  table: EstimatorTable;
  value: number | undefined;
  onChange: InputsProps["onChange"];
}

function NumberInput({ input, table, value, onChange }: NumberInputProps) {
  const shown = value === undefined ? (input.empty === null ? exactText(input.default) : "") : exactText(value);
  const [text, setText] = useState(shown);
  const typed = text.trim() === "" ? undefined : typedNumber(text);
  const isWrong = typed === null || (typed !== undefined && !isAllowed(table, input.name, typed));
  useEffect(() => {
    if (typed !== value && !(typed === undefined && value === undefined)) setText(shown);
  }, [value]);
  const take = (newText: string) => {
    setText(newText);
    const number = newText.trim() === "" ? undefined : typedNumber(newText);
    if (number === undefined || (number !== null && isAllowed(table, input.name, number))) onChange({ [input.name]: number });
  };
  const range = `${figureText(input.least, input.unit)} to ${figureText(input.most, input.unit)}`;
  return (
    <label class="number-input">
      <span class="number-title">{input.title}</span>
      <input
        type="text"
        inputMode="decimal"
        autocomplete="off"
        spellcheck={false}
        value={text}
        placeholder={input.empty ?? exactText(input.default)}
        aria-invalid={isWrong ? "true" : undefined}
        onInput={(event) => take(event.currentTarget.value)}
      />
      <span class={isWrong ? "refused" : "muted"}>{isWrong ? `A number is needed, ${range}.` : input.note}</span>
    </label>
  );
}

/** A number as it would be typed. */
function exactText(value: number): string {
  return value.toLocaleString("en-GB", { maximumFractionDigits: 10 });
}
