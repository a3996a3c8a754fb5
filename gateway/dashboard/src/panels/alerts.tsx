/** Alerts over the map, each to be dismissed. */

import { Icon } from "../parts/icons";
import { dismiss } from "../store/page";
import { alertList, alertVersion } from "../store/state";

export function Alerts() {
  // Read so that the list is drawn again when it changes.
  void alertVersion.value;
  return (
    <div class="alerts" role="log" aria-label="Alerts" aria-live="polite">
      {alertList.list.map((alert) => (
        <div key={alert.key} class={`alert alert-${alert.severity}`}>
          <Icon name="warning" />
          <p>
            {alert.text}
            {alert.count > 1 && <span class="badge">{alert.count}×</span>}
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
