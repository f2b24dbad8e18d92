/** The connection to the service: one EventSource, opened again by this module if the browser gives up. */

import { batch } from "@preact/signals";
import type { Frame } from "./frames.ts";
import { connection, now, receive } from "./state.ts";

const RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 10_000;
/** After this time a page that nobody sees gives its connection up: a browser has six for all its pages. */
const HIDDEN_MS = 30_000;
/** Frames that arrive together, as the past does at first, are shown together. */
const GATHER_MS = 20;
/** After this time in one task, the other frames wait for the next one, so that the page answers. */
const LONGEST_TASK_MS = 15;

/** Follow `url` until the page is closed, while somebody can see it. */
export function follow(url: string): void {
  let source: EventSource | null = null;
  let retryMs = RETRY_MS;
  let retry = 0;
  let hiding = 0;
  const take = gathered();
  const leave = () => {
    clearTimeout(retry);
    source?.close();
    source = null;
    connection.value = "lost";
  };
  const open = () => {
    clearTimeout(retry);
    const opened = (source = new EventSource(url));
    opened.onopen = () => {
      connection.value = "open";
      retryMs = RETRY_MS;
    };
    opened.onmessage = (message: MessageEvent<string>) => take(JSON.parse(message.data) as Frame);
    opened.onerror = () => {
      connection.value = "lost";
      if (opened.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      leave();
      retry = window.setTimeout(open, retryMs);
      retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS);
    };
  };
  const look = () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = window.setTimeout(leave, HIDDEN_MS);
    else if (source === null) open();
  };
  open();
  look();
  document.addEventListener("visibilitychange", look);
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
