import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface PanelProps {
  title: string;
  /** Under the title. */
  state: ComponentChildren;
  /** Another subject in the same panel: its heading gets the focus. */
  subject: string;
  class?: string;
  onClose: () => void;
  children: ComponentChildren;
}

/** As in styles.css: below this width the panel covers everything else. */
const COVERING = "(max-width: 760px)";

/** A panel beside the view, which stays usable where there is room for both. Escape closes it. */
export function Panel({ title, state, subject, onClose, children, ...rest }: PanelProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    heading.current?.focus({ preventScroll: true });
    panel.current?.scrollTo(0, 0);
  }, [subject]);
  const close = () => {
    setCovered(false); // before the focus goes back to what was covered
    onClose();
  };
  useEffect(() => {
    const closeByKey = (event: KeyboardEvent) => event.key === "Escape" && close();
    addEventListener("keydown", closeByKey);
    return () => removeEventListener("keydown", closeByKey);
  }, [onClose]);
  useEffect(() => {
    const query = matchMedia(COVERING);
    const update = () => setCovered(query.matches);
    query.addEventListener("change", update);
    update();
    return () => {
      query.removeEventListener("change", update);
      setCovered(false);
    };
  }, []);
  return (
    <aside class={`panel ${rest.class ?? ""}`} aria-label={title} ref={panel}>
      <div class="panel-head">
        <div>
          <h2 tabIndex={-1} ref={heading}>
            {title}
          </h2>
          {state}
        </div>
        <button type="button" class="icon-button" aria-label="Close the panel" title="Close the panel" onClick={close}>
          <svg width="16" height="16" viewBox="0 0 16 16" stroke="currentColor" stroke-width="1.75" aria-hidden="true">
            <path d="M3.5 3.5l9 9m0-9l-9 9" />
          </svg>
        </button>
      </div>
      {children}
    </aside>
  );
}

/** Keep the keyboard out of what the panel covers. */
function setCovered(covered: boolean): void {
  for (const element of document.querySelectorAll<HTMLElement>(".bar, #view")) element.inert = covered;
}
