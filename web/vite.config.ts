import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

// The viewer is one file of many libraries, whose licences come beside it.
const viewerLicenses: Plugin = {
  name: "viewer-licenses",
  generateBundle() {
    this.emitFile({
      type: "asset",
      fileName: "assets/docs-licenses.txt",
      source: readFileSync("node_modules/rapidoc/dist/rapidoc-min.js.LICENSE.txt"),
    });
  },
};

// Every page is a folder with an index.html, and is served under its name. What
// pages load is in /assets, under names that change with the content.
export default defineConfig({
  appType: "mpa",
  plugins: [viewerLicenses],
  build: {
    target: "es2022",
    outDir: "dist",
    // A data: URL would need the policy to allow more than it does.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // The viewer is one file that is made already.
    chunkSizeWarningLimit: 1000,
    license: { fileName: "assets/licenses.md" },
    rolldownOptions: {
      input: { dashboard: "index.html", docs: "docs/index.html" },
    },
  },
});
