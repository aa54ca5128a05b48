// Unit tests: pure modules, and components rendered to a string.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  test: { include: ['test/**/*.test.{ts,tsx}'], env: { TZ: 'UTC' } },
});
