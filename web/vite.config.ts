import { fileURLToPath } from "node:url";
import kit from "@bitrix24/b24ui-nuxt/vite";
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";
import { help } from "./help.ts";

/** Where the API answers while pages are worked on: `separator sandbox --port 8080`. */
const server = process.env.SEPARATOR_DEV_SERVER ?? "http://127.0.0.1:8080";

export default defineConfig({
  resolve: { alias: { "@": fileURLToPath(new URL("src", import.meta.url)) } },
  plugins: [
    help(),
    vue(),
    kit({
      autoImport: false,
      components: false,
      experimental: { componentDetection: true },
      // colours.ts does it.
      colorMode: false,
    }),
  ],
  build: {
    target: "es2022",
    // Everything that the pages need is in this folder; the program embeds it.
    outDir: "dist",
    emptyOutDir: true,
    // A data: address is not allowed by the policy of the pages.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { host: "127.0.0.1", proxy: { "/api": server, "/media": server } },
});
