/** Switches for tests, as the service sends them. */

import type { FaultSwitch } from "../src/faults/fault_switch.ts";
import { BOXES, type BoxName } from "../src/frames.ts";

const OFF = { state: "off", since_ms: null, until_ms: null, unavailable: null } as const;

export class TestFaults {
  private readonly until = new Map<string, number>();
  withoutGenerator = false;
  inContainers = false;
  withProxy = false;

  list(): FaultSwitch[] {
    return [...this.processes(), ...this.world(), ...this.network()].map((fault) => this.withState(fault));
  }

  /** Set a switch as `POST /api/faults/NAME/on?seconds=N` does. */
  set(path: string): void {
    const [, name, position, seconds] = /^\/api\/faults\/([^/]+)\/(on|off)(?:\?seconds=(\d+))?$/.exec(path)!;
    if (position === "off") this.until.delete(name!);
    else if (seconds !== undefined) this.until.set(name!, Date.now() + 1000 * Number(seconds));
  }

  private withState(fault: FaultSwitch): FaultSwitch {
    const until = this.until.get(fault.name);
    return until === undefined ? fault : { ...fault, state: "on", since_ms: Date.now(), until_ms: until };
  }

  private world(): FaultSwitch[] {
    const told: [string, string, BoxName, string, string, number | null][] = [
      ["poison-record", "Poison record", "kafka", "One record that is no JSON is written to the topic transactions. The worker copies it to dead-letters.", "The number of dead letters rises by one.", null],
      ["late-labels", "Late labels", "monitor", "No labels arrive. When it ends, all that were held back arrive at once.", "Known fraud stands still.", 180],
      ["null-column", "Null column", "monitor", "Transactions arrive without latitude and longitude.", "The data contract is broken when the day is monitored.", 180],
      ["burst", "Burst", "stream", "The generator sends five times as many transactions per second.", "Waiting transactions rise and fall.", 30],
      ["drift", "Drift", "monitor", "A fraud ring makes relay attacks.", "Drift, a retraining, a verdict, another champion.", 3_600],
    ]; // prettier-ignore
    return told.map(([name, title, box, effect, look, seconds]) => ({
      ...OFF,
      name,
      group: "world",
      part: "generator",
      title,
      box,
      effect,
      look,
      seconds,
      unavailable: this.withoutGenerator ? "No generator runs in this stack, which would apply it." : null,
      commands: { on: `cardwatch fault on ${name}`, ...(seconds === null ? {} : { off: `cardwatch fault off ${name}` }) },
    }));
  }

  private processes(): FaultSwitch[] {
    return BOXES.filter((box) => box !== "store").flatMap((box) => [this.process("kill", box), this.process("freeze", box)]);
  }

  private process(action: "kill" | "freeze", box: BoxName): FaultSwitch {
    const isKill = action === "kill";
    const own = isKill
      ? { on: `cardwatch fault on kill-${box}` }
      : { on: `cardwatch fault on freeze-${box}`, off: `cardwatch fault off freeze-${box}` };
    return {
      ...OFF,
      name: `${action}-${box}`,
      group: "process",
      part: box,
      title: isKill ? "Kill" : "Freeze",
      box,
      effect: isKill ? "The process ends at once." : "The process answers nothing until it is resumed.",
      look: isKill ? "The box turns red, and is ready again after some seconds." : "The box says frozen.",
      seconds: isKill ? null : 20,
      unavailable: this.inContainers ? "No container may touch another one." : null,
      commands: this.inContainers ? { on: `docker compose ${isKill ? "kill" : "pause"} ${box}` } : own,
    };
  }

  private network(): FaultSwitch[] {
    const told: [string, string, BoxName, string, string][] = [
      ["broker-cut", "Lost broker", "stream", "The stream worker loses all connections to Kafka.", "Waiting transactions rise."],
      ["scoring-cut", "Lost scoring service", "stream", "The stream worker cannot connect to the scoring service.", "All is decided by rules."],
    ]; // prettier-ignore
    return told.map(([name, title, box, effect, look]) => ({
      ...OFF,
      name,
      group: "network",
      part: box,
      title,
      box,
      effect,
      look,
      seconds: 30,
      unavailable: this.withProxy ? null : "No proxy runs between the parts of this stack.",
      commands: { on: `cardwatch fault on ${name}`, off: `cardwatch fault off ${name}` },
    }));
  }
}
