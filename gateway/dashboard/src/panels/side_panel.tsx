/** The panel beside the map, below it on a phone, where it can be made higher: four tabs. */

import { useState } from "preact/hooks";
import { capital } from "../parts/format";
import { Icon } from "../parts/icons";
import { TABS, type Tab } from "../store/location";
import { changePlace } from "../store/page";
import { place } from "../store/state";
import { EventsPanel } from "./events_panel";
import { FarmPanel } from "./farm_panel";
import { MachinesPanel } from "./machines_panel";
import { TimePanel } from "./time_panel";

const PANELS: Record<Tab, () => preact.JSX.Element | null> = {
  farm: FarmPanel,
  machines: MachinesPanel,
  events: EventsPanel,
  time: TimePanel,
};

export function SidePanel() {
  const { tab } = place.value;
  const [isTall, setTall] = useState(false);
  const Panel = PANELS[tab];
  const move = (event: KeyboardEvent) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    const next = TABS[(TABS.indexOf(tab) + by + TABS.length) % TABS.length] as Tab;
    changePlace({ tab: next });
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <aside class={isTall ? "side is-tall" : "side"} aria-label="Numbers">
      <div class="side-head">
        <div class="tabs" role="tablist" aria-label="Views" onKeyDown={move}>
          {TABS.map((name) => (
            <button
              key={name}
              type="button"
              id={`tab-${name}`}
              role="tab"
              aria-selected={name === tab}
              aria-controls="panel"
              tabIndex={name === tab ? 0 : -1}
              onClick={() => changePlace({ tab: name })}
            >
              {capital(name)}
            </button>
          ))}
        </div>
        <button type="button" class="icon-button narrow-only" aria-pressed={isTall} aria-label="More room for the numbers" onClick={() => setTall(!isTall)}>
          <Icon name="chevron" />
        </button>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a panel that scrolls is scrolled by keys. */}
      <div class="panel" id="panel" role="tabpanel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        <Panel />
      </div>
    </aside>
  );
}
