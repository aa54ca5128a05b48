// The build: relative addresses so that a path prefix works, hashed names, nothing inline, no source maps.
import { defineConfig } from 'vite';

export default defineConfig({
  root: 'src',
  base: './',
  cacheDir: '../node_modules/.vite',
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
  build: {
    outDir: process.env.VIEWER_OUT ?? '../dist',
    emptyOutDir: true,
    target: 'es2022',
    sourcemap: false,
    // Data URLs would need `font-src data:` in the policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/socket.io': { target: process.env.STREAM ?? 'http://127.0.0.1:3001', ws: true },
      '/api': process.env.STREAM ?? 'http://127.0.0.1:3001',
    },
  },
});
