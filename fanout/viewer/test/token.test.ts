// The token: from the address into its keep, the login's shared by all tabs, an embedded channel's its own.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { embeddedChannel, rootOf } from '../src/route';
import { TokenKeep, takeToken } from '../src/token';

class Shelf {
  readonly items = new Map<string, string>();
  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
  removeItem(key: string): void {
    this.items.delete(key);
  }
}

const at = (url: string) => new URL(url) as unknown as Location;

/** Takes the token of an address into a keep; the address that is left. */
function take(url: string, keep: TokenKeep): string | null {
  let left: string | null = null;
  const history = { replaceState: (_: unknown, __: string, to: string) => (left = to) };
  takeToken(at(url), history as unknown as History, keep);
  return left;
}

let local: Shelf;
let session: Shelf;

beforeEach(() => {
  local = new Shelf();
  session = new Shelf();
  vi.stubGlobal('localStorage', local);
  vi.stubGlobal('sessionStorage', session);
});

describe('the login', () => {
  it('takes the token out of the fragment or the query and keeps it for all tabs', () => {
    expect(take('https://a.example/#token=t', TokenKeep.login())).toBe('/');
    expect(TokenKeep.login().load()).toBe('t');
    expect(take('https://a.example/?x=1&token=u', TokenKeep.login())).toBe('/?x=1');
    expect(TokenKeep.login().load()).toBe('u');
    expect(take('https://a.example/#/channel/1', TokenKeep.login())).toBeNull();
    expect(session.items.size).toBe(0);
  });
});

describe('an embedded channel', () => {
  it('takes its token out of the fragment alone and logs nobody in', () => {
    expect(take('https://a.example/embed/7#token=t', TokenKeep.embed('7'))).toBe('/embed/7');
    expect(TokenKeep.embed('7').load()).toBe('t');
    expect(TokenKeep.login().load()).toBeNull();
    expect(TokenKeep.embed('8').load()).toBeNull();
    expect(local.items.size).toBe(0);
    expect(take('https://a.example/embed/8?token=t', TokenKeep.embed('8'))).toBeNull();
    expect(TokenKeep.embed('8').load()).toBeNull();
  });

  it('is shown nothing that a login left', () => {
    TokenKeep.login().save('login');
    expect(TokenKeep.embed('7').load()).toBeNull();
  });

  it('goes on without storage', () => {
    vi.stubGlobal('sessionStorage', undefined);
    const keep = TokenKeep.embed('7');
    keep.save('t');
    expect(keep.load()).toBe('t');
    keep.drop();
    expect(keep.load()).toBeNull();
  });
});

describe('the address', () => {
  it('says which channel is embedded, and where the page is mounted', () => {
    const embed = at('https://a.example/stream/embed/7');
    expect(embeddedChannel(embed)).toBe('7');
    expect(rootOf(embed).href).toBe('https://a.example/stream/');
    for (const other of ['https://a.example/stream/', 'https://a.example/stream/login']) {
      expect(embeddedChannel(at(other))).toBeNull();
      expect(rootOf(at(other)).href).toBe('https://a.example/stream/');
    }
    expect(embeddedChannel(at('https://a.example/embed/x'))).toBeNull();
  });
});
