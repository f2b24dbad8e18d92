import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

interface VirtualListProps<T> {
  items: readonly T[];
  rowHeight: number;
  label: string;
  keyOf: (item: T) => string;
  render: (item: T) => ComponentChildren;
  /** Called with whether the newest row is in sight. */
  onTop: (atTop: boolean) => void;
  /** Called with whether a row has the focus: rows must not move away from under it. */
  onFocus: (hasFocus: boolean) => void;
}

/** Rows beyond both ends of what is visible, so that scrolling shows no gap. */
const SPARE_ROWS = 3;

/** A list of any length of which only the visible rows exist. Arrow keys, Page Up and Down, Home and End move the focus. */
export function VirtualList<T>({ items, rowHeight, label, keyOf, render, onTop, onFocus }: VirtualListProps<T>) {
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const wanted = useRef<number | null>(null);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setHeight(entry!.contentRect.height));
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);
  const first = Math.max(0, Math.floor(top / rowHeight) - SPARE_ROWS);
  const last = Math.min(items.length, Math.ceil((top + height) / rowHeight) + SPARE_ROWS);
  useLayoutEffect(() => {
    const link = wanted.current === null ? null : rowLink(scroller.current!, wanted.current);
    if (!link) return;
    link.focus({ preventScroll: true });
    wanted.current = null;
  });
  const onScroll = () => {
    const now = scroller.current!.scrollTop;
    setTop(now);
    onTop(now < rowHeight / 2);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const row = (event.target as HTMLElement).closest<HTMLElement>("li");
    if (!row) return;
    const target = next(
      event.key,
      wanted.current ?? Number(row.dataset["index"]),
      Math.floor(height / rowHeight),
      items.length,
    );
    if (target === null) return;
    event.preventDefault();
    const element = scroller.current!;
    const at = target * rowHeight;
    if (at < element.scrollTop) element.scrollTop = at;
    if (at + rowHeight > element.scrollTop + height) element.scrollTop = at + rowHeight - height;
    const link = rowLink(element, target);
    if (link) return link.focus({ preventScroll: true });
    // The row does not exist yet. The scroll event would come after the focused row has gone.
    wanted.current = target;
    onScroll();
  };
  const onFocusOut = (event: FocusEvent) => onFocus(scroller.current!.contains(event.relatedTarget as Node | null));
  return (
    <div
      class="scroller"
      ref={scroller}
      onScroll={onScroll}
      onKeyDown={onKeyDown}
      onFocusIn={() => onFocus(true)}
      onFocusOut={onFocusOut}
    >
      <ul aria-label={label} style={{ height: `${items.length * rowHeight}px` }}>
        {items.slice(first, last).map((item, index) => (
          <li
            key={keyOf(item)}
            data-index={first + index}
            style={{ height: `${rowHeight}px`, transform: `translateY(${(first + index) * rowHeight}px)` }}
          >
            {render(item)}
          </li>
        ))}
      </ul>
    </div>
  );
}

function rowLink(scroller: HTMLElement, index: number): HTMLElement | null {
  return scroller.querySelector(`li[data-index="${index}"] a`);
}

/** The row that a key goes to, null for other keys. */
function next(key: string, from: number, page: number, length: number): number | null {
  const moves: Record<string, number> = {
    ArrowDown: 1,
    ArrowUp: -1,
    PageDown: page,
    PageUp: -page,
    Home: -length,
    End: length,
  };
  const move = moves[key];
  return move === undefined ? null : Math.min(length - 1, Math.max(0, from + move));
}
