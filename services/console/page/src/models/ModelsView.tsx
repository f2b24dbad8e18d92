import { useState } from "preact/hooks";
import { NoToken } from "../ui/NoToken.tsx";
import { usePolled } from "../ui/polled.ts";
import { announcement } from "../ui/Shell.tsx";
import { modelsOverview, moveVersion } from "./model_calls.ts";
import { commandOf, movesFrom } from "./model_moves.ts";
import type { Move, VersionLine, WantedMove } from "./model_moves.ts";
import "./models.css";

const REFRESH_MS = 2_000;
const SHOWN_MOVES = 30;

/** What a move does, for its button and its explanation. */
const MOVES: Record<string, { title: string; about: string }> = {
  challenge: { title: "Let it begin as challenger", about: "It waits until nobody else climbs." },
  shadow: { title: "Score in shadow", about: "It scores every transaction and decides nothing." },
  approve: { title: "Approve", about: "A person allows it to decide; its stage stays the same." },
  canary: { title: "Decide as canary", about: "It decides a share of the cards, chosen by a hash of the card." },
  promote: { title: "Promote", about: "It is champion; the champion until now is previous." },
  rollback: { title: "Roll back", about: "It decides again within five seconds; the champion until now is retired." },
  retire: { title: "Retire", about: "It leaves the ladder." },
};

/** Versions with their stages, moves between the stages, and who made them. */
export function ModelsView() {
  const { value: overview, error, refresh } = usePolled(modelsOverview, REFRESH_MS);
  const [chosen, setChosen] = useState<string | null>(null);
  const versions = overview?.versions ?? [];
  const line = versions.find(({ version }) => version === chosen);
  return (
    <main class="view" id="view" tabIndex={-1} aria-label="Models">
      <NoToken />
      {error && <p class="card models-note">The versions cannot be read: {error}</p>}
      {overview === null ? (
        !error && <p class="nothing-here">The versions are being read.</p>
      ) : (
        <>
          <Versions versions={versions} chosen={chosen} choose={setChosen} />
          {line && <MoveForm key={line.version} line={line} refresh={refresh} />}
          <Moves moves={overview.moves} head={overview.head} />
        </>
      )}
    </main>
  );
}

interface Outcome {
  lines: string[];
  refused: boolean;
}

interface VersionsProps {
  versions: VersionLine[];
  chosen: string | null;
  choose: (version: string | null) => void;
}

function Versions({ versions, chosen, choose }: VersionsProps) {
  return (
    <section class="card models" aria-label="Versions">
      <div class="section-head">
        <h2>Versions</h2>
        <p class="muted">
          A version that has passed its offline verdict climbs from challenger to shadow, canary and champion.
        </p>
      </div>
      {versions.length === 0 ? (
        <p class="nothing-here">No model is registered yet.</p>
      ) : (
        <div class="models-table">
          <table>
            <thead>
              <tr>
                <th scope="col">Version</th>
                <th scope="col">Stage</th>
                <th scope="col">Verdict</th>
                <th scope="col">Average precision</th>
                <th scope="col">Trained until</th>
                <th scope="col">Judged</th>
                <th scope="col">Move</th>
              </tr>
            </thead>
            <tbody>
              {versions.map((line) => (
                <tr key={line.version} data-stage={line.stage ?? "none"}>
                  <th scope="row">v{line.version}</th>
                  <td data-label="Stage">
                    <StageText line={line} />
                  </td>
                  <td data-label="Verdict">{line.verdict ?? "not recorded"}</td>
                  <td data-label="Average precision">{line.average_precision === null ? "not recorded" : precision(line.average_precision)}</td>
                  <td data-label="Trained until">{line.trained_until ?? "not recorded"}</td>
                  <td data-label="Judged">{line.judged_from ? `${line.judged_from} to ${line.judged_until}` : "not recorded"}</td>
                  <td>
                    {movesFrom(line.stage).length === 0 ? (
                      <span class="muted">decides now</span>
                    ) : (
                      <button
                        type="button"
                        class="button"
                        aria-expanded={chosen === line.version}
                        aria-label={`Move version ${line.version}`}
                        onClick={() => choose(chosen === line.version ? null : line.version)}
                      >
                        Move
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function precision(text: string): string {
  const value = Number(text);
  return Number.isFinite(value) ? value.toFixed(3) : text;
}

function StageText({ line }: { line: VersionLine }) {
  if (line.stage === null) return <span class="muted">not on the ladder</span>;
  const share = line.share === null ? "" : `, ${Math.round(line.share * 100)} % of the cards`;
  return (
    <span class="stage" data-stage={line.stage}>
      {line.stage}
      {share}
    </span>
  );
}

function MoveForm({ line, refresh }: { line: VersionLine; refresh: () => void }) {
  const kinds = movesFrom(line.stage);
  const [kind, setKind] = useState(kinds[0] ?? "");
  const [reason, setReason] = useState("");
  const [percent, setPercent] = useState(10);
  const [despite, setDespite] = useState(false);
  const [said, setSaid] = useState<Outcome | null>(null);
  const [busy, setBusy] = useState(false);
  const current = kinds.includes(kind) ? kind : kinds[0];
  if (current === undefined) return said && <Said said={said} version={line.version} />;
  const needsVerdict = ["challenge", "canary", "promote"].includes(current);
  const wanted: WantedMove = {
    kind: current,
    reason: reason.trim(),
    ...(current === "rollback" ? {} : { version: line.version }),
    ...(current === "canary" ? { share: percent / 100 } : {}),
    ...(needsVerdict && despite ? { despite_verdict: true } : {}),
  };
  const move = async () => {
    setBusy(true);
    try {
      const lines = await moveVersion(wanted);
      setSaid({ lines, refused: false });
      announcement.value = lines.at(-1) ?? "The move is recorded.";
      setReason("");
    } catch (error) {
      const text = (error as Error).message;
      setSaid({ lines: [text], refused: true });
      announcement.value = `Refused: ${text}`;
    }
    setBusy(false);
    refresh();
  };
  return (
    <section class="card models" aria-label={`Move version ${line.version}`}>
      <div class="section-head">
        <h2>Move version {line.version}</h2>
        <p class="muted">{MOVES[current]!.about}</p>
      </div>
      <form
        class="move-form"
        onSubmit={(event) => {
          event.preventDefault();
          void move();
        }}
      >
        <label>
          Move
          <select aria-label="Move" value={current} onChange={(event) => setKind(event.currentTarget.value)}>
            {kinds.map((each) => (
              <option key={each} value={each}>
                {MOVES[each]!.title}
              </option>
            ))}
          </select>
        </label>
        {current === "canary" && (
          <label>
            Share of the cards in %
            <input
              type="number"
              min={1}
              max={99}
              value={percent}
              onInput={(event) => setPercent(Number(event.currentTarget.value))}
            />
          </label>
        )}
        <label class="reason">
          Reason, which is recorded
          <input
            type="text"
            maxLength={400}
            required
            value={reason}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </label>
        {needsVerdict && (
          <label class="despite">
            <input
              type="checkbox"
              checked={despite}
              onChange={(event) => setDespite(event.currentTarget.checked)}
            />
            although the verdict has not passed
          </label>
        )}
        <button type="submit" class="button" disabled={busy || reason.trim() === ""}>
          {busy ? "Moving" : MOVES[current]!.title}
        </button>
      </form>
      <p class="muted command">
        <code>{commandOf(wanted)}</code>
      </p>
      {said && <Lines said={said} />}
    </section>
  );
}

/** What happened to a version that no move is left for: it is champion now. */
function Said({ said, version }: { said: Outcome; version: string }) {
  return (
    <section class="card models" aria-label={`Moved version ${version}`}>
      <Lines said={said} />
    </section>
  );
}

function Lines({ said }: { said: Outcome }) {
  return (
    <ul class="said" data-refused={said.refused}>
      {said.lines.map((text) => (
        <li key={text}>{text}</li>
      ))}
    </ul>
  );
}

function Moves({ moves, head }: { moves: Move[]; head: string }) {
  const newest = moves.slice(-SHOWN_MOVES).reverse();
  return (
    <section class="card models" aria-label="Moves">
      <div class="section-head">
        <h2>Moves</h2>
        <p class="muted">Append-only: each move holds the digest of the one before.</p>
      </div>
      {newest.length === 0 ? (
        <p class="nothing-here">Nobody has moved a version yet.</p>
      ) : (
        <ol class="moves" reversed start={newest[0]!.number}>
          {newest.map((move) => (
            <li key={move.number}>
              <p>
                <strong>
                  {move.number}. v{move.version}: {move.kind}
                  {move.share === undefined ? "" : ` ${Math.round(move.share * 100)} %`}
                </strong>{" "}
                by {move.actor}
                <time dateTime={new Date(move.at_ms).toISOString()}>
                  {new Date(move.at_ms).toISOString().slice(0, 19).replace("T", " ")}
                  {move.day === undefined ? "" : `, day ${move.day}`}
                </time>
              </p>
              <p class="muted">{move.reason}</p>
              {move.evidence && move.evidence.checks.length > 0 && (
                <details>
                  <summary>
                    {move.evidence.checks.length} checks on {move.evidence.rows.toLocaleString("en")} decisions
                  </summary>
                  <ul>
                    {move.evidence.checks.map((check) => (
                      <li key={check.name} data-passed={check.passed}>
                        {check.passed ? "passed" : "FAILED"}: {check.sentence}
                      </li>
                    ))}
                  </ul>
                </details>
              )}
            </li>
          ))}
        </ol>
      )}
      {head && (
        <p class="muted command">
          Digest of the newest move: <code>{head}</code>
        </p>
      )}
    </section>
  );
}
