import type { ComponentChildren } from "preact";
import type { BoxName } from "../frames.ts";
import { addressOf, go } from "../routes.ts";
import type { Place } from "./layout.ts";

interface BoxButtonProps {
  name: BoxName;
  place: Place;
  /** Whether its panel is open. */
  open: boolean;
  tone: string;
  /** All that is in the box, as one text. */
  label: string;
  /** What is drawn in the box, from its upper left corner. */
  children: ComponentChildren;
}

/** A box of a diagram: a button that opens the panel of the box. */
export function BoxButton({ name, place, open, tone, label, children }: BoxButtonProps) {
  const show = () => go(addressOf("live", name));
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    show();
  };
  return (
    <g class={open ? "box open" : "box"} data-tone={tone} transform={`translate(${place.x} ${place.y})`}>
      <rect class="frame" x={0.5} y={0.5} width={place.width - 1} height={place.height - 1} rx={6} />
      <g aria-hidden="true">{children}</g>
      <rect
        class="button-area"
        id={`box-${name}`}
        role="button"
        tabindex={0}
        aria-label={label}
        aria-expanded={open}
        x={-4}
        y={-4}
        width={place.width + 8}
        height={place.height + 8}
        rx={10}
        onClick={show}
        onKeyDown={onKeyDown}
      />
    </g>
  );
}
