/** The minute plan of the talk, and how a talk keeps to it. Times are in seconds from the start of the talk. */

export interface PlannedStop {
  id: string;
  minutes: number;
}

/** When a stop should begin and end. */
export interface Slot {
  begin: number;
  end: number;
}

export type Pace = { kind: "on time" } | { kind: "early" | "late"; seconds: number };

const MINUTE = 60;

/** The slot of each stop, one after the other from the start of the talk. */
export function slotsOf(stops: readonly PlannedStop[]): Slot[] {
  let end = 0;
  return stops.map(({ minutes }) => {
    const begin = end;
    end += minutes * MINUTE;
    return { begin, end };
  });
}

/** The index of the stop where the talk should be; the last one also after its end, when the rest is for questions. */
export function dueAt(elapsed: number, slots: readonly Slot[]): number {
  const running = slots.findIndex(({ end }) => elapsed < end);
  return running < 0 ? slots.length - 1 : running;
}

/** Whether a talk that is at this stop now is early or late, and by how much. */
export function paceOf(elapsed: number, slot: Slot): Pace {
  if (elapsed < slot.begin) return { kind: "early", seconds: slot.begin - elapsed };
  if (elapsed > slot.end) return { kind: "late", seconds: elapsed - slot.end };
  return { kind: "on time" };
}

/** Minutes and seconds, such as `7:05`; the part of a second is left out. */
export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / MINUTE)}:${String(whole % MINUTE).padStart(2, "0")}`;
}
