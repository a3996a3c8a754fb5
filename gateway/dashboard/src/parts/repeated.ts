/** Work that is done again and again as long as somebody looks at what it brings. */

import { isTokenNeeded } from "../store/state";

/** A page that is not seen is looked at this often, ms, for whether it is. */
const UNSEEN_MS = 1_000;

/** Does work at once, and again after as many ms as it says; gives what ends that. Never twice at a time, and not unseen. */
export function repeated(work: () => Promise<number>): () => void {
  let isOver = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const again = async () => {
    const isUnseen = document.hidden || isTokenNeeded.value;
    const pauseMs = isUnseen ? UNSEEN_MS : await work();
    if (!isOver) timer = setTimeout(again, pauseMs);
  };
  void again();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
