/** Dialogs that stand before everything else. */

import { useEffect, useRef } from "preact/hooks";

/** Opens a dialog as a modal one while it is there, and gives the focus back afterwards. */
export function useModal() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current;
    if (shown !== null && !shown.open) shown.showModal();
    return () => shown?.close();
  }, []);
  return dialog;
}
