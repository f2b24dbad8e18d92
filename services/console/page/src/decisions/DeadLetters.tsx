import { useCallback, useEffect, useState } from "preact/hooks";
import * as format from "../format.ts";
import { deadLetters, resend, type Letter } from "../records_api.ts";
import { addressOf } from "../routes.ts";
import { live, positionOf } from "../state.ts";
import { NoToken } from "../ui/NoToken.tsx";
import { announcement } from "../ui/Shell.tsx";

/** In the address, in place of a position. */
export const DEAD_LETTERS = "dead-letters";

interface Loaded {
  letters: Letter[];
  total: number;
}

/** What the stream worker has rejected. Everything in a letter is a text of others, and shown as text only. */
export function DeadLetters() {
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const [error, setError] = useState("");
  const [reads, setReads] = useState(0);
  const counted = live.value?.totals.dead_letters ?? 0;
  const reload = useCallback(() => setReads((number) => number + 1), []);
  useEffect(() => {
    const stop = new AbortController();
    deadLetters(stop.signal).then(
      (found) => {
        setLoaded(found);
        setError("");
      },
      (reason: Error) => stop.signal.aborted || setError(reason.message),
    );
    return () => stop.abort();
  }, [reads, counted]);
  return (
    <main class="view" id="view" tabIndex={-1} aria-label="Dead letters">
      <section class="card letters" aria-label="Dead letters">
        <div class="section-head">
          <h2>Dead letters</h2>
          <p class="muted">{loaded && howMany(loaded)}</p>
          <a href={addressOf("decisions")}>Back to the decisions</a>
          <button type="button" class="button" onClick={reload}>
            Read again
          </button>
        </div>
        <p class="text">
          Records of the topic transactions that break its contract. The stream worker writes them here with the reason
          and continues. Correct the sender first; what is a valid transaction can then be sent again under its card.
        </p>
        <NoToken />
        {error && <p class="text">They cannot be read: {error}</p>}
        {loaded?.letters.length === 0 && <p class="nothing-here">Nothing was rejected.</p>}
        <ol>
          {loaded?.letters.map((letter) => (
            <LetterItem key={positionOf(letter)} letter={letter} />
          ))}
        </ol>
      </section>
    </main>
  );
}

function howMany({ letters, total }: Loaded): string {
  if (total > letters.length) return `the newest ${letters.length} of ${format.count(total)}`;
  return format.plural(total, "record");
}

function LetterItem({ letter }: { letter: Letter }) {
  const [outcome, setOutcome] = useState("");
  const position = positionOf(letter);
  const again = async () => {
    let said = `Sent again: the record of ${position}. Its decision appears in the list of decisions.`;
    try {
      await resend(letter.partition, letter.offset);
    } catch (error) {
      said = `It was not sent: ${(error as Error).message}`;
    }
    setOutcome(said);
    announcement.value = said;
  };
  return (
    <li class="letter">
      <div class="letter-head">
        <h3>
          <span class="mono">{position}</span> {letter.field && <span class="mono">{letter.field}: </span>}
          {letter.reason}
        </h3>
        <p class="muted">
          rejected {format.eventTime(letter.rejected_at)} · {format.bytes(letter.size)}
        </p>
      </div>
      <pre class="log" tabIndex={0} aria-label={`Beginning of the record ${position}`}>
        {letter.value || "empty"}
        {letter.is_cut && "\n…"}
      </pre>
      <div class="letter-foot">
        {letter.obstacle ? (
          <p class="text">It cannot be sent again: {letter.obstacle}.</p>
        ) : (
          <button type="button" class="button" onClick={again}>
            Send again
          </button>
        )}
        <code class="command">
          cardwatch dead-letters {letter.obstacle ? "show" : "resend"} {position}
        </code>
      </div>
      {outcome && <p class="text">{outcome}</p>}
    </li>
  );
}
