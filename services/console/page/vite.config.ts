import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

/** One file, dist/index.html, with script and styles inside: the service sends it, and a replay is a copy of it. */
export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  plugins: [viteSingleFile()],
  build: { target: "es2022", modulePreload: false, cssMinify: true, reportCompressedSize: false },
});
