// The API's documentation: the viewer, shown the description of this daemon.
import "rapidoc";
import { withExampleLists } from "./examples";

interface Viewer extends HTMLElement {
  loadSpec(description: unknown): Promise<void>;
}

const settings: Record<string, string> = {
  "server-url": window.location.origin,
  // Nothing is loaded from elsewhere, fonts neither.
  "load-fonts": "false",
  "regular-font": "system-ui, sans-serif",
  "mono-font": "ui-monospace, monospace",
  "allow-spec-url-load": "false",
  "allow-spec-file-load": "false",
  "allow-server-selection": "false",
  // A token that is typed in is forgotten with the page.
  "persist-auth": "false",
  // Examples show what can be sent; what is sent is what somebody wrote.
  "fill-request-fields-with-example": "false",
  theme: window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
  "primary-color": "#2f6fb2",
  "nav-text-color": "#c8ccd2",
  "render-style": "read",
  "schema-style": "table",
  "schema-description-expanded": "true",
  "sort-endpoints-by": "none",
  "show-header": "false",
  "show-method-in-nav-bar": "as-colored-text",
  "use-path-in-nav-bar": "true",
};

async function show(): Promise<void> {
  const viewer = document.createElement("rapi-doc") as Viewer;
  for (const [name, value] of Object.entries(settings)) {
    viewer.setAttribute(name, value);
  }
  document.body.append(viewer);
  const answer = await fetch("/openapi.json");
  if (!answer.ok) {
    throw new Error(`/openapi.json: ${String(answer.status)}`);
  }
  await viewer.loadSpec(withExampleLists(await answer.json()));
}

show().catch((error: unknown) => {
  document.body.textContent = `The description could not be loaded: ${String(error)}`;
});
