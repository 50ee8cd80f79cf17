import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import kit from "@bitrix24/b24ui-nuxt/vite";
import vue from "@vitejs/plugin-vue";
import { defineConfig, type Plugin } from "vite";
import { help } from "./help.ts";

/** Where the API answers while pages are worked on: `separator sandbox --port 8080`. */
const server = process.env.SEPARATOR_DEV_SERVER ?? "http://127.0.0.1:8080";

/** Puts each file that is worth it beside itself, compressed: the program hands out what the browser takes. */
function compressed(): Plugin {
  return {
    name: "separator-compressed",
    apply: "build",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        for (const [fileName, file] of Object.entries(bundle)) {
          if (!/\.(js|css)$/.test(fileName)) continue;
          const source = Buffer.from(file.type === "chunk" ? file.code : file.source);
          this.emitFile({ type: "asset", fileName: `${fileName}.gz`, source: gzipSync(source, { level: 9 }) });
          const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: source.length };
          this.emitFile({ type: "asset", fileName: `${fileName}.br`, source: brotliCompressSync(source, { params }) });
        }
      },
    },
  };
}

export default defineConfig({
  resolve: {
    alias: {
      "@": fileURLToPath(new URL("src", import.meta.url)),
      // The kit's own brings a style element, which the policy of the pages does not allow.
      "@bitrix24/b24icons-vue/button-specialized/BtnSpinnerIcon": fileURLToPath(new URL("src/shell/SpinnerIcon.vue", import.meta.url)),
    },
  },
  plugins: [
    help(),
    vue(),
    compressed(),
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
