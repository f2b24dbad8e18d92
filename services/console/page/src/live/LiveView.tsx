import { useCallback } from "preact/hooks";
import { BOXES, type BoxName } from "../frames.ts";
import { recording } from "../replay/recording.ts";
import { addressOf, go, route } from "../routes.ts";
import { AwsDiagram, PictureChoice, picture } from "./AwsDiagram.tsx";
import { BoxPanel } from "./BoxPanel.tsx";
import { Charts } from "./Charts.tsx";
import { Diagram } from "./Diagram.tsx";
import { Tiles } from "./Tiles.tsx";
import { Timeline } from "./Timeline.tsx";

/** The whole system at this moment. */
export function LiveView() {
  const open = BOXES.find((name) => name === route.value.rest[0]);
  const close = useCallback(() => closeBox(open), [open]);
  return (
    <>
      <main class="view" id="view" tabIndex={-1} aria-label="Live">
        <Tiles />
        <section class="diagram card" aria-label="The system">
          <div class="section-head">
            <h2>The system</h2>
            <p class="muted">
              {picture.value === null
                ? `Each box is a process. Open one to read about it${recording.value ? "" : ", and to kill or freeze it"}.`
                : "The same parts as services of AWS. Nothing here is deployed: sizes and prices are computed."}
            </p>
            <PictureChoice />
            {picture.value === null && (
              <ul class="legend" aria-label="Colours of the moving dots">
                <li>
                  <i class="key" data-by="model" /> decided by the model
                </li>
                <li>
                  <i class="key" data-by="rules" /> decided by rules
                </li>
                <li>
                  <i class="key" data-by="waiting" /> waiting
                </li>
              </ul>
            )}
          </div>
          {picture.value === null ? <Diagram open={open} /> : <AwsDiagram open={open} picture={picture.value} />}
        </section>
        <div class="below">
          <Charts />
          <Timeline />
        </div>
      </main>
      {open && <BoxPanel name={open} onClose={close} />}
    </>
  );
}

function closeBox(name: BoxName | undefined): void {
  go(addressOf("live"), true);
  document.getElementById(`box-${name}`)?.focus();
}
