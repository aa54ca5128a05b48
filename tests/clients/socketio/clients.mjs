// The official clients by version, made to look alike where their interfaces differ.
import { Recorder, within } from '../lib.mjs';

export const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] };

/** `recovers`: it knows of connection state recovery; `old`: Engine.IO 3, whose namespaces take no payload. */
const KINDS = {
  v2: { old: true, recovers: false },
  v3: { old: false, recovers: false },
  'v4.5': { old: false, recovers: false },
  'v4.6': { old: false, recovers: true },
  v4: { old: false, recovers: true },
};

/** A client by its name: its functions `io` and `Manager`, and what it is. */
export async function client(name) {
  const module = await import(`socket.io-client-${name}`);
  const io = module.io ?? module.default;
  return { name, io, Manager: io.Manager ?? module.Manager, ...KINDS[name] };
}

export const names = Object.keys(KINDS);

/** Records a socket: its events, `connect`, `disconnect` and `refused` (with the error, whichever way it is told). */
export function record(kind, socket) {
  if (kind.old) {
    socket.onAny = (listener) => {
      const { onevent } = socket;
      socket.onevent = (packet) => {
        listener(...packet.data);
        onevent.call(socket, packet);
      };
    };
  }
  const recorder = new Recorder('', undefined, { connect: () => socket });
  socket.on(kind.old ? 'error' : 'connect_error', (error) => {
    recorder.events.push(['refused', error]);
    for (const watcher of [...recorder.watchers]) watcher();
  });
  return recorder;
}

/** Waits until a condition on what a recorder has heard holds. */
export function until(recorder, condition, what) {
  return within(new Promise((resolve) => {
    const look = () => {
      if (!condition()) return;
      recorder.watchers.delete(look);
      resolve();
    };
    recorder.watchers.add(look);
    look();
  }), what).catch((error) => {
    const last = JSON.stringify(recorder.events.slice(-3)).slice(0, 500);
    throw new Error(`${error.message}; ${recorder.events.length} events came, and last ${last}`);
  });
}

/** Waits until the manager's connection is on this transport. */
export function carriedBy(manager, wanted) {
  const { engine } = manager;
  return within(new Promise((resolve) => {
    const look = () => { if (engine.transport.name === wanted) resolve(); };
    engine.on('upgrade', look);
    look();
  }), `the transport ${wanted}, not ${engine.transport.name}`);
}
