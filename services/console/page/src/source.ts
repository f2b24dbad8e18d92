/** The connection to the service: one EventSource, opened again by this module if the browser gives up. */

import { batch } from "@preact/signals";
import type { Frame } from "./frames.ts";
import { connection, now, receive } from "./state.ts";

const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 10_000;
/** Frames that arrive together, as the past does at first, are shown together. */
const GATHER_MS = 20;
/** After this time in one task, the other frames wait for the next one, so that the page answers. */
const LONGEST_TASK_MS = 15;

/** Follow `url` until the page is closed. */
export function follow(url: string): void {
  let retryMs = RETRY_MS;
  const take = gathered();
  const open = () => {
    const source = new EventSource(url);
    source.onopen = () => {
      connection.value = "open";
      retryMs = RETRY_MS;
    };
    source.onmessage = (message: MessageEvent<string>) => take(JSON.parse(message.data) as Frame);
    source.onerror = () => {
      connection.value = "lost";
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      source.close();
      setTimeout(open, retryMs);
      retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS);
    };
  };
  open();
  setInterval(() => (now.value = performance.now()), 1_000);
}

/** A function that takes frames, and gives them to the state in few, short tasks. */
function gathered(): (frame: Frame) => void {
  let waiting: Frame[] = [];
  let timer = 0;
  const pass = () => {
    timer = 0;
    const end = performance.now() + LONGEST_TASK_MS;
    let passed = 0;
    batch(() => {
      while (passed < waiting.length && performance.now() < end) receive(waiting[passed++]!);
    });
    waiting = waiting.slice(passed);
    if (waiting.length > 0) timer = window.setTimeout(pass, 0);
  };
  return (frame) => {
    waiting.push(frame);
    timer ||= window.setTimeout(pass, GATHER_MS);
  };
}
