// The official clients watch one channel through the load balancer, by every transport, while all connections are cut
// and each client closes its own: whatever its version knows of returning, it ends up with every message, once.
import assert from 'node:assert/strict';
import { memberToken, settings, within } from '../lib.mjs';
import { TRANSPORTS, carriedBy, client, names, record, until } from './clients.mjs';

const { world, page: balancer, channel, count } = settings;
const humans = world.guilds[0].members.filter((one) => !one.bot && !one.roles.includes(settings.role));
/** Fewer than come while a client is away, so that it has to turn pages. */
const PAGE = 10;
const AWAY_MS = 300;
/** When, in messages, the balancer cuts everything, each client closes its transport, and the balancer cuts again. */
const [CUT, CLOSE, CUT_AGAIN] = [count / 10, (4 * count) / 10, (7 * count) / 10];
const number = (message) => Number(/^n=(\d+);/.exec(message.content)?.[1]);

const PAYLOAD = { name: 'a payload', namespace: '/discord', options: (token) => ({ auth: { token } }) };
// Both idioms put the token into the query of the handshake or a header of it, the first also into the CONNECT packet.
const QUERY = { name: 'a query', namespace: '/discord', options: (token) => ({ query: { token } }) };
const header = (token) => ({ extraHeaders: { Authorization: `Bearer ${token}` } });
const HEADER = { name: 'a header', namespace: '/discord', options: header };
const ROOT = { name: 'a header for /', namespace: '/', options: header };

function connect(kind, transport, way, token, more) {
  const url = `${balancer}${way.namespace === '/' ? '' : way.namespace}`;
  return record(kind, kind.io(url, {
    transports: TRANSPORTS[transport], forceNew: true,
    reconnectionDelay: AWAY_MS, reconnectionDelayMax: AWAY_MS, randomizationFactor: 0, ...way.options(token), ...more,
  }));
}

async function refusals(kind, transport, way) {
  const refused = connect(kind, transport, way, 'garbage', { reconnection: false });
  const [, error] = await refused.first('refused');
  if (way === ROOT) {
    // Nobody asked for `/` by name: a header that is no good there is none.
    assert.match(error, /^(Authentication token required|Invalid authentication token)$/);
  } else if (kind.old) {
    assert.equal(error, 'Invalid authentication token');
  } else {
    assert.deepEqual([error.message, error.data], ['Invalid authentication token', { code: 'AUTH_INVALID' }]);
  }
  refused.close();
}

/** One client on its way through the cuts. */
class Watcher {
  constructor(kind, transport, way, index) {
    Object.assign(this, { kind, transport, way, index });
    this.title = `${kind.name} by ${transport} with ${way.name}`;
    this.seen = new Set();
    this.pages = 0;
    this.isSettled = false;
    this.wasClosed = false;
  }

  async join() {
    await refusals(this.kind, this.transport, this.way);
    this.socket = connect(this.kind, this.transport, this.way, memberToken(humans[this.index % humans.length]));
    await this.socket.first('user_info', `${this.title}: connected and greeted`);
    await this.page();
    this.isSettled = true;
    // From now on the second connection and all later ones are returns.
    this.socket.socket.on('connect', async () => {
      await this.onReturn().catch((error) => { this.failure = error; });
      for (const watcher of [...this.socket.watchers]) watcher();
    });
    this.socket.watchers.add(() => this.onEvent());
  }

  /** Joins, and turns pages until it meets what it has. */
  async page() {
    const known = Math.max(0, ...this.seen);
    const bulks = this.socket.all('messages_bulk').length;
    const joined = await this.socket.ask('join_channel', { channelId: channel, limit: PAGE });
    assert.deepEqual(joined, { success: true, channelId: channel });
    const all = this.socket.all('messages_bulk');
    assert.equal(all.length, bulks + 1, 'one page, before the acknowledgement');
    let [page] = all.at(-1);
    for (;;) {
      const numbers = page.messages.map(number);
      for (const one of numbers) if (one) this.seen.add(one);
      if (known === 0 || !page.hasMore || numbers.some((one) => !one || one <= known)) return;
      page = await this.socket.ask('get_messages', { channelId: channel, before: page.nextCursor, limit: PAGE });
      assert.equal(page.success, true, JSON.stringify(page));
      this.pages += 1;
    }
  }

  async onReturn() {
    const { socket } = this.socket;
    if (this.kind.recovers) assert.equal(socket.recovered, true, 'it is recovered');
    else await this.page();
    this.isSettled = true;
  }

  onEvent() {
    const [name, message] = this.socket.events.at(-1);
    if (name === 'message') this.seen.add(number(message));
    if (name === 'disconnect') this.isSettled = false;
    if (this.isSettled && !this.wasClosed && this.socket.all('connect').length === 2 && this.newest() >= CLOSE) {
      this.wasClosed = true;
      // Not from inside an event: what came in the same poll would be kept by the client beside its offset, and shown
      // twice once it is back.
      setImmediate(() => this.socket.socket.io.engine.close());
    }
  }

  newest() {
    const last = this.socket.all('message').at(-1);
    return last ? number(last[0]) : 0;
  }

  /** It is connected for the so-many-th time, has all up to then, and live messages come. */
  at(connects, newest) {
    const is = () => this.failure
      || (this.isSettled && this.socket.all('connect').length === connects && this.newest() >= newest);
    return until(this.socket, is, `${this.title}: connection ${connects}, message ${newest}`).then(() => {
      if (this.failure) throw this.failure;
    });
  }

  /** It has noticed the end of its connection. */
  isAway(times) {
    return until(this.socket, () => this.socket.all('disconnect').length === times, `${this.title}: end ${times}`);
  }

  async end() {
    await this.at(4, count);
    const expected = Array.from({ length: count }, (_, n) => n + 1);
    const live = this.socket.all('message').map(([message]) => number(message));
    if (this.kind.recovers) {
      assert.deepEqual(live, expected, 'each once, in order, over all connections');
      assert.equal(this.socket.all('messages_bulk').length, 1, 'one join');
    }
    assert.deepEqual([...this.seen].sort((a, b) => a - b), expected, 'nothing is missing');
    this.socket.events.reduce((before, [name, message]) => {
      if (name !== 'message') return this.kind.recovers || name !== 'connect' ? before : 0;
      assert.ok(number(message) > before, `on one connection ${number(message)} comes after ${before}`);
      return number(message);
    }, 0);
    await carriedBy(this.socket.socket.io, this.transport === 'polling' ? 'polling' : 'websocket');
    this.socket.close();
  }
}

const watchers = [];
for (const kind of await Promise.all(names.map(client))) {
  for (const transport of Object.keys(TRANSPORTS)) {
    for (const way of kind.old ? [QUERY, HEADER, ROOT] : [PAYLOAD]) {
      watchers.push(new Watcher(kind, transport, way, watchers.length));
    }
  }
}

const failures = [];
let going = watchers;
/** Does it with all that have not failed yet. */
async function each(step) {
  const done = await Promise.allSettled(going.map(step));
  done.forEach(({ reason }, index) => { if (reason) failures.push(`${going[index].title}: ${reason.stack}`); });
  going = going.filter((_, index) => done[index].status === 'fulfilled');
}

await each((one) => one.join());
console.log('all have joined');
await each((one) => one.at(1, CUT));
console.log('cut 1');
await each((one) => one.isAway(1));
console.log('mend 1');
await each((one) => one.at(3, CUT_AGAIN));
console.log('cut 2');
await each((one) => one.isAway(3));
console.log('mend 2');
await each((one) => one.end());
for (const failure of failures) console.error(failure);
const pages = watchers.reduce((sum, one) => sum + one.pages, 0);
const returns = watchers.reduce((sum, one) => sum + Math.max(0, (one.socket?.all('connect').length ?? 0) - 1), 0);
console.log(JSON.stringify({ watchers: watchers.length, passed: going.length, returns, pages }));
process.exit(failures.length === 0 ? 0 : 1);
