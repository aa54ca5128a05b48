// The build: relative addresses so that a path prefix works, hashed names, nothing inline, no source maps,
// and beside the bundle the licences of what is in it.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig, type Plugin } from 'vite';

const stream = process.env.STREAM ?? 'http://127.0.0.1:3001';

/** The font is reached through CSS, which has no modules. */
const FONT = '@fontsource-variable/inter';

function licences(): Plugin {
  return {
    name: 'licences',
    generateBundle() {
      const ids = [...this.getModuleIds()].map(
        (id) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1],
      );
      const names = new Set(ids.filter((name) => name !== undefined)).add(FONT);
      const texts = [...names].sort().map((name) => `${name}\n\n${licenceOf(name)}`);
      this.emitFile({
        type: 'asset',
        name: 'licences.txt',
        source: texts.join(`\n\n${'-'.repeat(72)}\n\n`),
      });
    },
  };
}

function licenceOf(name: string): string {
  const folder = join(import.meta.dirname, 'node_modules', name);
  const file = ['LICENSE', 'LICENSE.md', 'LICENCE', 'license.md'].find((each) =>
    existsSync(join(folder, each)),
  );
  if (file) return readFileSync(join(folder, file), 'utf8').trim();
  const { license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return `${license}, ${typeof author === 'object' ? author?.name : author}`;
}

export default defineConfig({
  root: 'src',
  base: './',
  cacheDir: '../node_modules/.vite',
  plugins: [licences()],
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
  // The fanout lets its own origin in and no other.
  server: {
    proxy: {
      '/socket.io': { target: stream, ws: true, changeOrigin: true, rewriteWsOrigin: true },
      '/api': { target: stream, changeOrigin: true, headers: { origin: stream } },
    },
  },
});
