/** Versions of a model and their moves, as the service lists them, and a ladder that answers moves. */

import type { ModelsOverview, Move, VersionLine, WantedMove } from "../src/models/model_moves.ts";

function version(number: string, stage: string | null, verdict: string | null, share: number | null = null): VersionLine {
  return {
    version: number,
    stage,
    share,
    verdict,
    average_precision: verdict === null ? null : "0.8123456",
    trained_until: verdict === null ? null : "2025-04-10",
    judged_from: verdict === null ? null : "2025-03-30",
    judged_until: verdict === null ? null : "2025-04-06",
    digest: `digest-${number}`,
  };
}

const PAST: Move[] = [
  { number: 1, kind: "adopt", version: "1", actor: "retraining", reason: "it is the first champion", at_ms: 1_764_550_000_000, day: "2025-03-06" },
  {
    number: 2,
    kind: "canary",
    version: "3",
    actor: "ladder",
    reason: "its verdict has passed",
    at_ms: 1_764_553_600_000,
    day: "2025-04-11",
    share: 0.1,
    evidence: {
      rows: 4312,
      checks: [
        { name: "alerts", passed: true, sentence: "on the same transactions it wants 31 alerts and the champion 30" },
        { name: "degraded", passed: false, sentence: "rules decided 6.00% of the transactions" },
      ],
    },
  },
];

export class TestModels {
  /** What the service says instead of moving, if it refuses. */
  refusal: string | null = null;
  private rolledBack = false;
  private readonly moves = [...PAST];

  list(): ModelsOverview {
    const [champion, previous] = this.rolledBack ? ["champion", "retired"] : ["previous", "champion"];
    return {
      versions: [
        version("4", null, "refused"),
        version("3", "canary", "promoted", 0.1),
        version("2", previous!, "promoted"),
        version("1", champion!, null),
      ],
      moves: this.moves,
      head: "5f".repeat(32),
    };
  }

  move(wanted: WantedMove): string[] {
    const number = this.moves.length + 1;
    this.rolledBack ||= wanted.kind === "rollback";
    this.moves.push({
      number,
      kind: wanted.kind,
      version: wanted.version ?? "1",
      actor: "console",
      reason: wanted.reason,
      at_ms: 1_764_557_200_000,
      ...(wanted.share === undefined ? {} : { share: wanted.share }),
    });
    return [`move ${number}: ${wanted.kind} version ${wanted.version ?? "1"}, recorded`, "served 1.4 s later"];
  }
}
