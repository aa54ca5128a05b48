// The login token: taken from the address once and removed from history, kept in localStorage.
// localStorage, not sessionStorage: a second tab, or a restart of the browser, needs no second login, and
// logging out in one tab ends them all (`storage` events). The page runs no foreign script and puts no foreign
// text into HTML, which is what protects either; a logout revokes the token on the server.

const KEY = 'discord-stream.token';

/** `#token=…` of the login, `?token=…` of older front ends. */
export function takeToken(location: Location, history: History): void {
  const fragment = new URLSearchParams(location.hash.replace(/^#/, ''));
  const query = new URLSearchParams(location.search);
  const token = fragment.get('token') ?? query.get('token');
  if (token === null) return;
  fragment.delete('token');
  query.delete('token');
  const search = query.size > 0 ? `?${query}` : '';
  const rest = location.hash.startsWith('#/') ? location.hash : '';
  history.replaceState(null, '', location.pathname + search + rest);
  if (token) saveToken(token);
}

// Storage may be refused (private modes, blocked site data): the token then lives as long as the page.
let fallback: string | null = null;

export function loadToken(): string | null {
  try {
    return localStorage.getItem(KEY) ?? fallback;
  } catch {
    return fallback;
  }
}

export function saveToken(token: string): void {
  fallback = token;
  try {
    localStorage.setItem(KEY, token);
  } catch {
    // See above.
  }
}

export function dropToken(): void {
  fallback = null;
  try {
    localStorage.removeItem(KEY);
  } catch {
    // See above.
  }
}

/** Another tab logged in, refreshed or logged out. */
export function onTokenElsewhere(changed: (token: string | null) => void): void {
  addEventListener('storage', (event) => {
    if (event.key !== KEY) return;
    fallback = event.newValue;
    changed(event.newValue);
  });
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
