/** Where the page begins. */

import { render } from "preact";
import { App } from "./app";
import { start } from "./store/farm";

const root = document.getElementById("app");
if (root === null) throw new Error("the page has no element #app");
start();
render(<App />, root);
