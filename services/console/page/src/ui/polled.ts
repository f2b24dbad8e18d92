/** An answer of the service that is read again and again while a view shows it. */

import { useCallback, useEffect, useState } from "preact/hooks";

export interface Polled<T> {
  /** The newest answer, null before the first. */
  value: T | null;
  /** Why the newest reading failed, null if it did not. */
  error: string | null;
  /** Read at once. */
  refresh: () => void;
}

/** Read now, every `everyMs` milliseconds after an answer, and at once when one of the `inputs` changes. */
export function usePolled<T>(
  read: (signal: AbortSignal) => Promise<T>,
  everyMs: number,
  inputs: readonly unknown[] = [],
): Polled<T> {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const ask = async () => {
      try {
        setValue(await read(stop.signal));
        setError(null);
      } catch (failure) {
        if (stop.signal.aborted) return;
        setError((failure as Error).message);
      }
      timer = window.setTimeout(ask, everyMs);
    };
    void ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [asked, ...inputs]);
  const refresh = useCallback(() => setAsked((count) => count + 1), []);
  return { value, error, refresh };
}
