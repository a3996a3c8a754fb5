/** Dialogs that stand before everything else. */

import { useEffect, useRef } from "preact/hooks";

/**
 * Opens a dialog as a modal one while it is there, and gives the focus back afterwards. `onClosed` is told where the visitor
 * closes it; not where it goes because the page took it away, which the browser tells late: by then another may stand there.
 */
export function useModal(onClosed: () => void) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current;
    if (shown === null) return;
    shown.addEventListener("close", onClosed);
    if (!shown.open) shown.showModal();
    // What has to be filled in is gone to, and never the first button, which may be the one that closes it.
    (shown.querySelector<HTMLElement>("input[required]") ?? shown).focus();
    return () => {
      shown.removeEventListener("close", onClosed);
      shown.close();
    };
  }, [onClosed]);
  return dialog;
}
