/** The page: a bar on top, the map, and beside it what is known in numbers. */

import { MapView } from "./map/map_view";
import { Alerts } from "./panels/alerts";
import { Inspector } from "./panels/inspector";
import { Legend } from "./panels/legend";
import { Notice } from "./panels/notice";
import { SidePanel } from "./panels/side_panel";
import { SimulationList } from "./panels/simulation_list";
import { TokenPrompt } from "./panels/token_prompt";
import { TopBar } from "./panels/top_bar";
import { fleet, isListOpen, isTokenAsked, place, simulation, status } from "./store/state";

export function App() {
  // Of a simulation that is not there, there is nothing to be seen but that.
  const isOpen = place.value.simulation !== null && (simulation.value !== null || status.value.phase !== "ended");
  return (
    <div class={isOpen ? "page" : "page page-empty"}>
      <button type="button" class="skip" onClick={skip}>
        Skip to the numbers
      </button>
      <TopBar />
      <main class="stage">
        <section class="map" aria-label="Map">
          <MapView />
          {isOpen && fleet.value !== null && (
            <div class="float float-left">
              <Legend />
            </div>
          )}
          {isOpen && <Inspector />}
          <Alerts />
          <Notice />
        </section>
        {isOpen && <SidePanel />}
      </main>
      {isListOpen.value && <SimulationList />}
      {isTokenAsked.value && <TokenPrompt />}
    </div>
  );
}

/** No link, for the address holds the view. */
function skip(): void {
  document.getElementById("panel")?.focus();
}
