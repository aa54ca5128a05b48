// The link to the server: the official client, its states told honestly, and requests that wait out limits.
// It knows the protocol's refusals; it knows nothing of what is on the screen.
import { io, type Socket } from 'socket.io-client';
import type { Answer, ServerEvents } from './protocol';
import type { LinkState } from './state/store';

/** Longer than any answer the server still owes: it gives up on a dependency after two seconds. */
const ACK_TIMEOUT_MS = 15_000;
/** Between two tries after UNAVAILABLE or silence: doubled from the first, up to the last. */
const RETRY_FIRST_MS = 1_000;
const RETRY_LAST_MS = 15_000;
const TRIES_MAX = 6;
/** A server that names no time for "too many" is asked again after this. */
const RETRY_AFTER_DEFAULT_S = 5;
const RECONNECT_FIRST_MS = 500;
const RECONNECT_LAST_MS = 15_000;

export class RequestError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface LinkListener {
  onLink(link: LinkState): void;
  /** Connected; `recovered`: the server kept the rooms and sent what was missed. */
  onConnect(recovered: boolean): void;
  /** The server ended the session: no reconnection will help, a new token may. */
  onEnd(code: string): void;
  onLimited(seconds: number): void;
}

type ClientEvents = Record<string, (payload: unknown, ack: (answer: Answer<object>) => void) => void>;

export class Connection {
  readonly socket: Socket<ServerEvents, ClientEvents>;
  private endCode: string | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    root: URL,
    token: () => string | null,
    private readonly listener: LinkListener,
  ) {
    this.socket = io(`${root.origin}/discord`, {
      path: new URL('socket.io/', root).pathname,
      transports: ['websocket', 'polling'],
      tryAllTransports: true,
      auth: (send) => send({ token: token() }),
      reconnectionDelay: RECONNECT_FIRST_MS,
      reconnectionDelayMax: RECONNECT_LAST_MS,
      autoConnect: false,
    });
    this.socket.on('connect', () => this.onConnect());
    this.socket.on('disconnect', (reason) => this.onDisconnect(reason));
    this.socket.on('connect_error', (error) => this.onConnectError(error));
    this.socket.on('error', ({ code }) => {
      if (code.startsWith('AUTH_')) this.endCode = code;
    });
    addEventListener('offline', () => listener.onLink('offline'));
    addEventListener('online', () => this.retryNow());
  }

  open(): void {
    this.listener.onLink('connecting');
    this.socket.connect();
  }

  close(): void {
    clearTimeout(this.timer);
    this.socket.disconnect();
  }

  /** Asks until there is an answer: waits as long as a limit says, backs off from what is unavailable. */
  async ask<T extends object>(event: string, payload: object, signal: AbortSignal): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.askOnce<T>(event, payload);
      signal.throwIfAborted();
      if (answer.success) return answer;
      const code = answer.code ?? 'UNKNOWN';
      const wait = retryDelay(code, answer.retryAfter, attempt);
      if (wait === null) throw new RequestError(code, answer.error ?? 'The server refused the request');
      if (code === 'RATE_LIMITED') this.listener.onLimited(Math.ceil(wait / 1000));
      await sleep(wait, signal);
    }
  }

  /** Sends without caring for the answer: what the server will find out by itself as well. */
  tell(event: string, payload: object): void {
    if (this.socket.connected) this.socket.emit(event, payload, () => undefined);
  }

  /** Gives an open socket the token that replaces its own. */
  async renew(token: string): Promise<void> {
    const answer = await this.askOnce('refresh_token', { token });
    if (answer.success) this.endCode = null;
  }

  private async askOnce<T extends object>(event: string, payload: object): Promise<Answer<T>> {
    // Not connected: the request would wait in the client and come late, after the rejoin it belongs to.
    if (!this.socket.connected) return { success: false, code: 'DISCONNECTED', error: 'Not connected' };
    try {
      const answer: unknown = await this.socket.timeout(ACK_TIMEOUT_MS).emitWithAck(event, payload);
      return answer as Answer<T>;
    } catch {
      return { success: false, code: 'UNAVAILABLE', error: 'The server did not answer' };
    }
  }

  private onConnect(): void {
    this.endCode = null;
    this.listener.onLink('live');
    this.listener.onConnect(this.socket.recovered);
  }

  private onDisconnect(reason: Socket.DisconnectReason): void {
    if (reason === 'io client disconnect') return;
    if (reason === 'io server disconnect') {
      this.listener.onEnd(this.endCode ?? 'AUTH_REVOKED');
      return;
    }
    this.listener.onLink(navigator.onLine ? 'reconnecting' : 'offline');
  }

  private onConnectError(error: Error & { data?: { code?: string; retryAfter?: number } }): void {
    const code = error.data?.code;
    if (code?.startsWith('AUTH_')) {
      this.listener.onEnd(code);
      return;
    }
    this.listener.onLink(navigator.onLine ? 'reconnecting' : 'offline');
    // A refused CONNECT is final for the client, which then does not try again by itself.
    if (!this.socket.active) {
      const seconds = error.data?.retryAfter ?? RETRY_AFTER_DEFAULT_S;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.socket.connect(), jittered(seconds * 1000));
    }
  }

  private retryNow(): void {
    if (this.socket.connected) {
      this.listener.onLink('live');
      return;
    }
    this.listener.onLink('reconnecting');
    this.socket.disconnect().connect();
  }
}

/** Milliseconds until the next try; null: asking again changes nothing. */
export function retryDelay(code: string, retryAfter: number | undefined, attempt: number): number | null {
  if (attempt + 1 >= TRIES_MAX) return null;
  if (code === 'RATE_LIMITED') return jittered((retryAfter ?? RETRY_AFTER_DEFAULT_S) * 1000);
  if (code === 'UNAVAILABLE') return jittered(Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** attempt));
  return null;
}

/** Up to a quarter later, never earlier: a crowd that was refused together does not return together. */
function jittered(milliseconds: number): number {
  return milliseconds * (1 + Math.random() / 4);
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
