import { existsSync, readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

const TOUR = "src/generated/tour.json";

/** The texts of the tour are a file of their own: the service sends them when the tour is opened, and a replay holds them. */
const tour: Plugin = {
  name: "tour",
  generateBundle() {
    if (!existsSync(TOUR)) return;
    const source = JSON.stringify(JSON.parse(readFileSync(TOUR, "utf8")));
    this.emitFile({ type: "asset", fileName: "tour.json", source });
  },
};

/** One file, dist/index.html, with script and styles inside: the service sends it, and a replay is a copy of it. */
export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [viteSingleFile(), tour],
  build: { target: "es2022", modulePreload: false, cssMinify: true, reportCompressedSize: false },
});
