/** A view in the two forms in which the gateway takes it. */

import type { View } from "./channel";

/** As query of a stream that is opened. */
export function viewQuery(view: View): Record<string, string> {
  const query: Record<string, string> = {
    max_entities: String(view.maxEntities),
    rate_hz: String(view.rateHz),
    events: view.events,
  };
  if (view.boundsM !== null) query["bounds_m"] = view.boundsM.map(rounded).join(",");
  return query;
}

/** As message on an open stream. */
export function viewMessage(view: View): string {
  return JSON.stringify({
    type: "view",
    bounds_m: view.boundsM === null ? null : view.boundsM.map(rounded),
    max_entities: view.maxEntities,
    rate_hz: view.rateHz,
    events: view.events,
  });
}

const rounded = (m: number) => Math.round(m * 10) / 10;
