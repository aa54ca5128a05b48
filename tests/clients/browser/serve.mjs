// The built page before a fanout, for looking at a build without building Rust: `node serve.mjs <fanout's origin> [port]`
// serves fanout/viewer/dist with the strict policy that the fanout sends, and hands /api and /socket.io on.
import { createReadStream, existsSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = process.env.VIEWER_DIST ?? fileURLToPath(new URL('../../../fanout/viewer/dist', import.meta.url));
const target = new URL(process.argv[2]);
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };
const policy = `default-src 'self'; img-src * data:; media-src *; object-src 'none'; base-uri 'none'; frame-ancestors 'self'`;

const server = createServer((incoming, outgoing) => {
  const { pathname } = new URL(incoming.url, target);
  if (pathname.startsWith('/api/') || pathname.startsWith('/socket.io/')) return hand(incoming, outgoing);
  const file = join(dist, pathname === '/' || pathname === '/login' ? 'index.html' : pathname);
  if (pathname.includes('..') || !existsSync(file)) return outgoing.writeHead(404).end();
  outgoing.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'text/plain', 'Content-Security-Policy': policy, 'X-Content-Type-Options': 'nosniff' });
  createReadStream(file).pipe(outgoing);
});

function hand(incoming, outgoing) {
  const onward = request(new URL(incoming.url, target), { method: incoming.method, headers: { ...incoming.headers, host: target.host } }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  onward.on('error', () => outgoing.writeHead(502).end());
  incoming.pipe(onward);
}

server.on('upgrade', (incoming, socket, head) => {
  const onward = connect(Number(target.port), target.hostname, () => {
    const headers = Object.entries({ ...incoming.headers, host: target.host, origin: target.origin });
    onward.write(`GET ${incoming.url} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n`);
    onward.write(head);
    onward.pipe(socket).pipe(onward);
  });
  for (const end of [onward, socket]) end.on('error', () => { onward.destroy(); socket.destroy(); });
});

server.listen(Number(process.argv[3] ?? 0), '127.0.0.1', () => console.log(`the page is at http://127.0.0.1:${server.address().port}`));
