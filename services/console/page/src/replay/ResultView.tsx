import { recording } from "./recording.ts";

/** The result of the recorded demo, in the words of its report. */
export function ResultView() {
  const result = recording.value?.result;
  return (
    <main class="view" id="view" tabIndex={-1} aria-label="Result">
      {result ? (
        <div class="result">
          <h2 data-closed={result.closed}>{result.headline}</h2>
          <dl class="money">
            {result.money.map(([name, value, basis]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
                <dd class="muted">{basis}</dd>
              </div>
            ))}
          </dl>
          <h3>Checks</h3>
          <ul class="checks">
            {result.checks.map(([passed, sentence]) => (
              <li key={sentence} data-passed={passed}>
                <span role="img" aria-label={passed ? "passed" : "failed"}>
                  {passed ? "✓" : "✗"}
                </span>{" "}
                {sentence}
              </li>
            ))}
          </ul>
          <h3>Before, during, after</h3>
          <div class="scroll" tabIndex={0} role="region" aria-label="Table of the phases">
            <table class="columns">
              <thead>
                <tr>
                  <td />
                  {result.headings.map((heading) => (
                    <th scope="col" class="number" key={heading}>
                      {heading}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {result.rows.map(([name, cells]) => (
                  <tr key={name}>
                    <th scope="row">{name}</th>
                    {cells.map((cell, place) => (
                      <td class="number" key={place}>
                        {cell}
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <h3>The loop and the stream</h3>
          <dl class="facts">
            {result.figures.map(([name, value]) => (
              <>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </>
            ))}
          </dl>
        </div>
      ) : (
        <p class="nothing-here">The result is in the replay of a demo. This is a running system.</p>
      )}
    </main>
  );
}
