import { useState } from "preact/hooks";
import * as format from "../format.ts";
import { label } from "../records_api.ts";
import { positionOf } from "../state.ts";
import { NoToken } from "../ui/NoToken.tsx";
import { announcement } from "../ui/Shell.tsx";

/** Say what the transaction really was. The label goes to the topic labels, as an investigator's does. */
export function LabelSection({ partition, offset }: { partition: number; offset: number }) {
  const [said, setSaid] = useState("");
  const [busy, setBusy] = useState(false);
  const give = async (isFraud: boolean) => {
    setBusy(true);
    let outcome: string;
    try {
      const observed = await label(partition, offset, isFraud);
      outcome = `Labelled ${isFraud ? "fraud" : "genuine"}, observed ${format.eventTime(observed)}. It counts in the next reference table.`;
    } catch (error) {
      outcome = `The label was refused: ${(error as Error).message}`;
    }
    setBusy(false);
    setSaid(outcome);
    announcement.value = outcome;
  };
  return (
    <section>
      <h3>What it really was</h3>
      <div class="actions">
        <button type="button" class="button" disabled={busy} onClick={() => give(true)}>
          Label fraud
        </button>
        <button type="button" class="button" disabled={busy} onClick={() => give(false)}>
          Label genuine
        </button>
      </div>
      <NoToken />
      {said && <p class="text">{said}</p>}
      <p class="text">The same on the command line, with --fraud or --genuine:</p>
      <code class="command">cardwatch label {positionOf({ partition, offset })} --fraud</code>
    </section>
  );
}
