/** Reading and setting the switches. */

import { get, post } from "../api.ts";
import { isReplay } from "../replay/recording.ts";
import type { FaultSwitch } from "./fault_switch.ts";

/** All switches with their states. */
export function faultSwitches(signal: AbortSignal): Promise<FaultSwitch[]> {
  if (isReplay) return Promise.reject(new Error("a recording has none."));
  return get("/api/faults", signal);
}

/** Switch on for `seconds`, null for a fault that happens once. */
export async function switchOn(name: string, seconds: number | null): Promise<void> {
  await post(`/api/faults/${encodeURIComponent(name)}/on${seconds === null ? "" : `?seconds=${seconds}`}`);
}

export async function switchOff(name: string): Promise<void> {
  await post(`/api/faults/${encodeURIComponent(name)}/off`);
}
