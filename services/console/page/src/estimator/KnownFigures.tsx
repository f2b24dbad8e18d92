import { BasisTag } from "./BasisTag.tsx";
import { figureText, typedNumber } from "./figure_text.ts";
import { isAllowed, type Basis, type EstimatorTable, type KnownFigure } from "./table.ts";

interface KnownFiguresProps {
  table: EstimatorTable;
  given: Record<string, number>;
  onChange: (changes: Record<string, number | undefined>) => void;
}

const GROUPS: { basis: Basis; title: string }[] = [
  { basis: "measured", title: "Measured" },
  { basis: "code", title: "Of the code" },
  { basis: "assumed", title: "Assumed: replace them by your own" },
];

/** What the chain rests on: each figure with the benchmark that measured it, its file, or the reason for its assumption. */
export function KnownFigures({ table, given, onChange }: KnownFiguresProps) {
  return (
    <details class="card fold known">
      <summary>What it rests on: {table.known.length} figures with their sources</summary>
      {GROUPS.map(({ basis, title }) => (
        <section key={basis} aria-label={title}>
          <h3>{title}</h3>
          <ul>
            {table.known
              .filter((each) => each.basis === basis)
              .map((each) => (
                <li key={each.name}>
                  <span>{each.title}</span>
                  {basis === "assumed" ? (
                    <OwnValue figure={each} table={table} value={given[each.name]} onChange={onChange} />
                  ) : (
                    <b>{figureText(each.value, each.unit)}</b>
                  )}
                  <span class="muted">{each.source}</span>
                </li>
              ))}
          </ul>
        </section>
      ))}
    </details>
  );
}

interface OwnValueProps {
  figure: KnownFigure;
  table: EstimatorTable;
  value: number | undefined;
  onChange: KnownFiguresProps["onChange"];
}

/** An assumption, in the figure's smallest unit, which the reader may replace. An empty or impossible text restores it. */
function OwnValue({ figure, table, value, onChange }: OwnValueProps) {
  const take = (text: string) => {
    const number = typedNumber(text);
    const isOwn = number !== null && number !== figure.value && isAllowed(table, figure.name, number);
    onChange({ [figure.name]: isOwn ? number : undefined });
  };
  return (
    <span class="own-value">
      <input
        type="text"
        inputMode="decimal"
        aria-label={`${figure.title}, ${unitName(figure)}`}
        value={String(value ?? Number(figure.value.toPrecision(12)))}
        onChange={(event) => take(event.currentTarget.value)}
      />
      <span class="muted">{figure.unit === "share" ? "0 to 1" : figure.unit}</span>
      {value !== undefined && <BasisTag basis="given" />}
    </span>
  );
}

function unitName(figure: KnownFigure): string {
  return figure.unit === "share" ? "a share of 0 to 1" : figure.unit || "a number";
}
