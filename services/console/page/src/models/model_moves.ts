/** Versions, their stages, and the moves between them. */

/** adapters/move_log/overview.py. */
export interface VersionLine {
  version: string;
  stage: string | null;
  share: number | null;
  verdict: string | null;
  average_precision: string | null;
  trained_until: string | null;
  judged_from: string | null;
  judged_until: string | null;
  digest: string;
}

export interface StageCheck {
  name: string;
  passed: boolean;
  sentence: string;
}

/** cardwatch/ladder/moves.py; fields with their default value are left out. */
export interface Move {
  number: number;
  kind: string;
  version: string;
  actor: string;
  reason: string;
  at_ms: number;
  day?: string;
  share?: number;
  evidence?: { checks: StageCheck[]; rows: number };
}

export interface ModelsOverview {
  versions: VersionLine[];
  moves: Move[];
  head: string;
}

export interface WantedMove {
  kind: string;
  reason: string;
  version?: string;
  share?: number;
  despite_verdict?: boolean;
}

/** The command that does the same. */
export function commandOf(wanted: WantedMove): string {
  const version = wanted.version === undefined ? "" : ` ${wanted.version}`;
  const share = wanted.share === undefined ? "" : ` --share ${wanted.share}`;
  const despite = wanted.despite_verdict ? " --despite-verdict" : "";
  return `cardwatch model ${wanted.kind}${version}${share}${despite} --reason "${wanted.reason || "..."}"`;
}

/** The moves that the stage of a version allows, the usual one first. */
export function movesFrom(stage: string | null): string[] {
  switch (stage) {
    case "challenger":
      return ["shadow", "approve", "canary", "promote", "retire"];
    case "shadow":
      return ["canary", "approve", "promote", "retire"];
    case "canary":
      return ["promote", "canary", "shadow", "retire"];
    case "previous":
      return ["rollback", "retire"];
    case "champion":
      return [];
    default:
      return ["challenge"];
  }
}
