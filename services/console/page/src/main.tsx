import { effect } from "@preact/signals";
import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./styles.css";
import { takeTokenFromAddress } from "./api.ts";
import { load } from "./replay/player.ts";
import { openingError, readRecording, recordingBlock, show } from "./replay/recording.ts";
import { followAddress } from "./routes.ts";
import { systemSentence } from "./sentence.ts";
import { follow } from "./source.ts";
import { live, stale } from "./state.ts";
import { applyTheme } from "./theme.ts";
import { Shell, announcement } from "./ui/Shell.tsx";

let announcedKind = "";

takeTokenFromAddress();
followAddress();
applyTheme();
const block = recordingBlock();
if (block) void openRecording(block);
else follow("/api/live");
effect(announceState);
render(<Shell />, document.getElementById("app")!);

async function openRecording(block: HTMLElement): Promise<void> {
  try {
    const opened = await readRecording(block);
    document.title = opened.title;
    load(opened);
    show(opened);
  } catch (error) {
    openingError.value = `The recording in this file cannot be opened. ${(error as Error).message}`;
  }
}

/** Say the state of the system when its kind changes; its numbers change four times a second and are not said. */
function announceState(): void {
  const frame = live.value;
  const kind = stale.value ? "disconnected" : frame ? [...frame.states, ...notReady(frame.boxes)].join() : "";
  if (kind === announcedKind) return;
  announcedKind = kind;
  announcement.value = stale.value ? "Disconnected." : systemSentence(frame, null).text;
}

function notReady(boxes: { name: string; state: string }[]): string[] {
  return boxes.filter((box) => box.state === "down" || box.state === "frozen").map((box) => `${box.name} ${box.state}`);
}
