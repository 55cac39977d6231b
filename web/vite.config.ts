import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const gateway = "http://127.0.0.1:8400";

export default defineConfig({
  plugins: [react()],
  base: "./", // the page may be served under any path
  build: {
    // the gateway's content security policy allows no data: URL but for pictures, and no inline script
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: { "/v1": { target: gateway, ws: true }, "/i": gateway, "/healthz": gateway },
  },
});
