// The link: which ends are final, which come back, and how long a refused request waits.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Connection, type LinkListener } from '../src/connection';

type Handler = (...args: unknown[]) => void;

/** The official client's socket, as far as the link uses it. */
class FakeSocket {
  handlers = new Map<string, Handler[]>();
  connected = true;
  active = true;
  recovered = false;
  answers: unknown[] = [];
  asked: [string, unknown][] = [];
  connects = 0;

  on(event: string, handler: Handler) {
    this.handlers.set(event, [...(this.handlers.get(event) ?? []), handler]);
  }
  hear(event: string, ...args: unknown[]) {
    for (const handler of this.handlers.get(event) ?? []) handler(...args);
  }
  connect() {
    this.connects += 1;
    return this;
  }
  disconnect() {
    return this;
  }
  timeout() {
    return {
      emitWithAck: async (event: string, payload: unknown) => {
        this.asked.push([event, payload]);
        const answer = this.answers.shift();
        if (answer === undefined) throw new Error('operation has timed out');
        return answer;
      },
    };
  }
}

const fake = vi.hoisted(() => ({ socket: undefined as unknown, options: undefined as unknown }));
vi.mock('socket.io-client', () => ({
  io: (url: string, options: object) => {
    fake.options = { url, ...options };
    return fake.socket;
  },
}));

let socket: FakeSocket;
let heard: string[];
let link: Connection;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  vi.stubGlobal('addEventListener', () => undefined);
  vi.stubGlobal('navigator', { onLine: true });
  socket = new FakeSocket();
  fake.socket = socket;
  heard = [];
  const listener: LinkListener = {
    onLink: (state) => heard.push(state),
    onConnect: (recovered) => heard.push(recovered ? 'recovered' : 'fresh'),
    onEnd: (code) => heard.push(`end ${code}`),
    onLimited: (seconds) => heard.push(`limited ${seconds}`),
  };
  link = new Connection(new URL('https://host.example/stream/'), () => 'token', listener);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe('the link', () => {
  it('goes below the path that the page is mounted at', () => {
    expect(fake.options).toMatchObject({ url: 'https://host.example/discord', path: '/stream/socket.io/' });
  });

  it('sends the token in the CONNECT, asked for anew each time', () => {
    const { auth } = fake.options as { auth: (send: (data: unknown) => void) => void };
    const sent: unknown[] = [];
    auth((data) => sent.push(data));
    expect(sent).toEqual([{ token: 'token' }]);
  });

  it('comes back from a closed transport and ends on a DISCONNECT', () => {
    socket.hear('disconnect', 'transport close');
    socket.hear('disconnect', 'io server disconnect');
    expect(heard).toEqual(['reconnecting', 'end AUTH_REVOKED']);
  });

  it('names the reason that was heard before the end', () => {
    socket.hear('error', { code: 'AUTH_EXPIRED', message: '', severity: 'HIGH' });
    socket.hear('disconnect', 'io server disconnect');
    expect(heard).toEqual(['end AUTH_EXPIRED']);
  });

  it('ends when the token is refused', () => {
    socket.active = false;
    socket.hear('connect_error', Object.assign(new Error('no'), { data: { code: 'AUTH_INVALID' } }));
    vi.advanceTimersByTime(60_000);
    expect(heard).toEqual(['end AUTH_INVALID']);
    expect(socket.connects).toBe(0);
  });

  it('tries again after "too many connections", no earlier than told', () => {
    socket.active = false;
    socket.hear(
      'connect_error',
      Object.assign(new Error('no'), { data: { code: 'RATE_LIMITED', retryAfter: 8 } }),
    );
    vi.advanceTimersByTime(7_999);
    expect(socket.connects).toBe(0);
    vi.advanceTimersByTime(2_001);
    expect(socket.connects).toBe(1);
  });

  it('leaves the return to the client while the client is at it', () => {
    socket.hear('connect_error', new Error('websocket error'));
    vi.advanceTimersByTime(60_000);
    expect(heard).toEqual(['reconnecting']);
    expect(socket.connects).toBe(0);
  });

  it('says whether the server kept the rooms', () => {
    socket.hear('connect');
    socket.recovered = true;
    socket.hear('connect');
    expect(heard).toEqual(['live', 'fresh', 'live', 'recovered']);
  });
});

describe('a request', () => {
  const { signal } = new AbortController();

  it('waits out a limit and tells the reader', async () => {
    socket.answers = [
      { success: false, code: 'RATE_LIMITED', retryAfter: 4 },
      { success: true, messages: [] },
    ];
    const answer = link.ask('get_messages', { channelId: '1' }, signal);
    await vi.advanceTimersByTimeAsync(3_999);
    expect(socket.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1_001);
    await expect(answer).resolves.toMatchObject({ success: true });
    expect(heard).toEqual(['limited 5']);
  });

  it('is repeated after silence, and given up at last', async () => {
    const answer = link.ask('get_messages', {}, signal);
    const refused = expect(answer).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await vi.advanceTimersByTimeAsync(120_000);
    await refused;
    expect(socket.asked).toHaveLength(6);
  });

  it('is refused once where asking again changes nothing', async () => {
    socket.answers = [{ success: false, code: 'FORBIDDEN', error: 'no' }];
    await expect(link.ask('join_channel', {}, signal)).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: 'no',
    });
    expect(socket.asked).toHaveLength(1);
  });

  it('is not sent without a link: it would come after the rejoin that makes it needless', async () => {
    socket.connected = false;
    await expect(link.ask('get_messages', {}, signal)).rejects.toMatchObject({ code: 'DISCONNECTED' });
    expect(socket.asked).toHaveLength(0);
  });

  it('ends when the reader moves on', async () => {
    const work = new AbortController();
    socket.answers = [{ success: false, code: 'RATE_LIMITED', retryAfter: 60 }];
    const answer = link.ask('get_messages', {}, work.signal);
    const refused = expect(answer).rejects.toThrow();
    await vi.advanceTimersByTimeAsync(1_000);
    work.abort();
    await refused;
    expect(socket.asked).toHaveLength(1);
  });
});
