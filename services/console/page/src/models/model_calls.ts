/** Calls about model versions: services/console/model_routes.py answers them. */

import { get, post } from "../api.ts";
import { isReplay } from "../replay/recording.ts";
import type { ModelsOverview, WantedMove } from "./model_moves.ts";

export function modelsOverview(signal: AbortSignal): Promise<ModelsOverview> {
  if (isReplay) return Promise.reject(new Error("a recording has none."));
  return get("/api/models", signal);
}

/** Make a move; gives what happened, line by line. */
export async function moveVersion(wanted: WantedMove): Promise<string[]> {
  return ((await (await post("/api/models/moves", wanted)).json()) as { lines: string[] }).lines;
}
