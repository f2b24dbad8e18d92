import type { Basis } from "./table.ts";

const MEANINGS: Record<Basis, string> = {
  given: "It follows from what you gave.",
  code: "It rests on constants of this system.",
  measured: "It rests on figures that were measured here.",
  assumed: "An assumption is part of it.",
};

/** What a figure rests on. */
export function BasisTag({ basis }: { basis: Basis }) {
  return (
    <span class="basis" data-basis={basis} title={MEANINGS[basis]}>
      {basis}
    </span>
  );
}
