// What the clients share: the simulated Discord's REST, tokens, and waiting for events with a bound.
import { createHmac } from 'node:crypto';
import { io } from 'socket.io-client';

export const settings = JSON.parse(process.argv[2]);

const PATIENCE_MS = 30_000;

/** Calls the simulated Discord as Discord is called; the JSON of its answer. */
export async function discord(method, path, body) {
  const answer = await fetch(`${settings.sim}/api/v10${path}`, {
    method,
    headers: { authorization: `Bot ${settings.world.token}`, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

/** An HS256 token of these claims, valid for an hour unless they say otherwise. */
export function token(claims, secret = settings.secret) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ exp, ...claims })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** A token of a member of the simulated Discord. */
export const memberToken = (member) => token({ discord_id: member.id, username: member.username });

/** Resolves with what `promise` does, or fails with `what` when it takes too long. */
export function within(promise, what, ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A socket that records every event it gets, in order, as `[name, ...args]`. */
export class Recorder {
  constructor(url, auth, { namespace = '/discord', connect = io, ...options } = {}) {
    this.events = [];
    this.watchers = new Set();
    this.socket = connect(`${url}${namespace === '/' ? '' : namespace}`, {
      auth, transports: ['websocket'], forceNew: true, reconnection: false, ...options,
    });
    const record = (...event) => {
      this.events.push(event);
      for (const watcher of [...this.watchers]) watcher();
    };
    if (this.socket.onAny) this.socket.onAny(record);
    this.socket.on('connect', () => record('connect'));
    this.socket.on('connect_error', (error) => record('connect_error', error.message, error.data));
    this.socket.on('disconnect', (reason) => record('disconnect', reason));
  }

  /** The first event that fits, from the past or the future. */
  async first(fits, what, ms) {
    const test = typeof fits === 'string' ? ([name]) => name === fits : fits;
    return within(new Promise((resolve) => {
      const look = () => {
        const found = this.events.find(test);
        if (!found) return;
        this.watchers.delete(look);
        resolve(found);
      };
      this.watchers.add(look);
      look();
    }), what ?? String(fits), ms);
  }

  /** The arguments of all events of a name. */
  all(name) {
    return this.events.filter(([own]) => own === name).map(([, ...args]) => args);
  }

  /** Emits and waits for the acknowledgement. */
  ask(name, ...args) {
    return within(new Promise((resolve) => this.socket.emit(name, ...args, resolve)), `${name}'s acknowledgement`);
  }

  close() {
    this.socket.close();
  }
}
