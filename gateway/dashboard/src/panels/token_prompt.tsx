/** Asks for a token when the server wants one. It is kept for this tab alone, until it is closed. */

import { useState } from "preact/hooks";
import { useModal } from "../parts/modal";
import { setToken } from "../store/farm";
import { putOffToken } from "../store/page";
import { hasToken } from "../store/state";

export function TokenPrompt() {
  const dialog = useModal(putOffToken);
  const [token, setText] = useState("");
  return (
    <dialog ref={dialog} tabIndex={-1} class="dialog dialog-small" aria-labelledby="token-title">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setToken(token.trim());
        }}
      >
        <h2 id="token-title">A token is needed</h2>
        <p>
          {hasToken.value
            ? "The server did not take the token that this page has: it may have been revoked. "
            : "This server answers only those who have one. "}
          Who runs it makes one: <code>autofarm token create --help</code>.
        </p>
        <label class="field">
          <span class="label">Token</span>
          <input
            class="input"
            type="password"
            autocomplete="off"
            required
            value={token}
            placeholder="af_…"
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <p class="note">It is kept for this tab alone, and forgotten when the tab is closed.</p>
        <div class="actions">
          <button type="submit" class="button button-main">
            Use token
          </button>
        </div>
      </form>
    </dialog>
  );
}
