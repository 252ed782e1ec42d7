// The dashboard.
import { render } from "preact";
import { App } from "./app.tsx";
import { applyTheme } from "./live/theme.ts";

applyTheme();
const root = document.getElementById("app");
if (root !== null) {
  render(<App />, root);
}
