// Builds the pages into dist/: an HTML file each and hashed assets, nothing inline, so that it runs under
// `default-src 'self'`. `npm run dev` serves it with /v1 passed on to dev/server.mjs.
import { defineConfig } from "vite";
import manifest from "./package.json" with { type: "json" };

export default defineConfig({
  define: { __APP_VERSION__: JSON.stringify(`dashboard ${manifest.version}`) },
  build: {
    target: ["chrome123", "firefox124", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    // The person's page, and the operator's (`crave flow top --page`).
    rolldownOptions: { input: ["index.html", "flow.html"] },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8787" } },
});
