import { defineConfig } from "vitest/config";

// apart from vite.config.ts: a build installs no test tools
export default defineConfig({
  test: { include: ["src/**/*.test.{ts,tsx}"], restoreMocks: true, unstubGlobals: true },
});
