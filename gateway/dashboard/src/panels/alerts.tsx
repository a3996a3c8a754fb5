/** Alerts over the map, each to be dismissed. */

import { Icon } from "../parts/icons";
import { dismiss } from "../store/page";
import { alertList, alertVersion } from "../store/state";
import { clock } from "./farm_panel";

export function Alerts() {
  // Read so that the list is drawn again when it changes.
  void alertVersion.value;
  const { list } = alertList;
  return (
    <div class="alerts" role="log" aria-label="Alerts" aria-live="polite">
      {list.map((alert, n) => (
        <div key={alert.key} class={`alert alert-${alert.severity}`}>
          <Icon name="warning" />
          <p>
            {alert.text}{" "}
            <small>
              {clock(alert.happenedMs / 1000)}
              {alert.count > 1 && ` · ${alert.count}×`}
              {n === 0 && list.length > 1 && <b class="narrow-only">{`\u00a0· ${list.length - 1} more`}</b>}
            </small>
          </p>
          {alert.action !== null && (
            <button type="button" class="button" onClick={alert.action.run}>
              {alert.action.label}
            </button>
          )}
          <button type="button" class="icon-button" aria-label="Dismiss" onClick={() => dismiss(alert.key)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
