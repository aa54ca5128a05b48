// The login token: taken from the address once and removed from history, kept in localStorage.
// localStorage, not sessionStorage: a second tab, or a restart of the browser, needs no second login, and
// logging out in one tab ends them all (`storage` events). The page runs no foreign script and puts no foreign
// text into HTML, which is what protects either; a logout revokes the token on the server.
// The token of an embedded channel is no login: it is kept for that channel, in this tab, and nowhere else.
import type { Id } from './protocol';

const KEY = 'discord-stream.token';
const EMBED_KEY = 'discord-stream.embed.';

/** `#token=…` of the login or of an embedded page, for the login also `?token=…` of older front ends. */
export function takeToken(location: Location, history: History, keep: TokenKeep): void {
  const fragment = new URLSearchParams(location.hash.replace(/^#/, ''));
  const query = new URLSearchParams(location.search);
  const token = fragment.get('token') ?? (keep.isLogin ? query.get('token') : null);
  if (token === null) return;
  fragment.delete('token');
  query.delete('token');
  const search = query.size > 0 ? `?${query}` : '';
  const rest = location.hash.startsWith('#/') ? location.hash : '';
  history.replaceState(null, '', location.pathname + search + rest);
  if (token) keep.save(token);
}

/** Where a token lives. Storage may be refused (private modes, blocked site data): then as long as the page. */
export class TokenKeep {
  private fallback: string | null = null;

  private constructor(
    readonly isLogin: boolean,
    private readonly key: string,
    private readonly storage: () => Storage,
  ) {}

  static login(): TokenKeep {
    return new TokenKeep(true, KEY, () => localStorage);
  }

  static embed(channel: Id): TokenKeep {
    return new TokenKeep(false, EMBED_KEY + channel, () => sessionStorage);
  }

  load(): string | null {
    try {
      return this.storage().getItem(this.key) ?? this.fallback;
    } catch {
      return this.fallback;
    }
  }

  save(token: string): void {
    this.fallback = token;
    try {
      this.storage().setItem(this.key, token);
    } catch {
      // See above.
    }
  }

  drop(): void {
    this.fallback = null;
    try {
      this.storage().removeItem(this.key);
    } catch {
      // See above.
    }
  }

  /** Another tab logged in, refreshed or logged out. */
  onElsewhere(changed: (token: string | null) => void): void {
    if (!this.isLogin) return;
    addEventListener('storage', (event) => {
      if (event.key !== this.key) return;
      this.fallback = event.newValue;
      changed(event.newValue);
    });
  }
}

export interface Lifetime {
  /** Milliseconds since the epoch. */
  issued: number | null;
  expires: number;
}

/** What the token says of its life; the server alone judges it. */
export function lifetimeOf(token: string): Lifetime | null {
  const { exp, iat } = claimsOf(token);
  if (typeof exp !== 'number') return null;
  return { issued: typeof iat === 'number' ? iat * 1000 : null, expires: exp * 1000 };
}

export function subjectOf(token: string): unknown {
  return claimsOf(token).discord_id;
}

function claimsOf(token: string): Record<string, unknown> {
  try {
    const part = token.split('.')[1] ?? '';
    const claims: unknown = JSON.parse(atob(part.replaceAll('-', '+').replaceAll('_', '/')));
    return typeof claims === 'object' && claims !== null ? { ...claims } : {};
  } catch {
    return {};
  }
}

/** A tenth of the life before the end, or five minutes where its start is not told. */
export function isDueForRefresh(life: Lifetime, now: number): boolean {
  const ahead = life.issued === null ? 5 * 60_000 : (life.expires - life.issued) / 10;
  return now > life.expires - ahead;
}
