// Addresses within the page: `#/channel/<id>`. Everything else means no choice was made.
import type { Id } from './protocol';

export function channelOfHash(hash: string): Id | null {
  return /^#\/channel\/(\d{1,20})$/.exec(hash)?.[1] ?? null;
}

export function hashOfChannel(id: Id): string {
  return `#/channel/${id}`;
}

/** `/embed/<id>`: that one channel inside a page of another site. */
export function embeddedChannel(location: Location): Id | null {
  return /\/embed\/(\d{1,20})$/.exec(location.pathname)?.[1] ?? null;
}

/** Where the page is mounted: its own folder, so that a path prefix works. `/login` lies beside `/`. */
export function rootOf(location: Location): URL {
  const folder = embeddedChannel(location) === null ? '.' : '..';
  return new URL(folder, location.origin + location.pathname);
}

export function isLoginPage(location: Location): boolean {
  return /\/login\/?$/.test(location.pathname);
}

const RETURN_KEY = 'discord-stream.return';

/** Login leaves the page; the channel that was asked for is found again after it. */
export function rememberRoute(hash: string): void {
  if (channelOfHash(hash) === null) return;
  try {
    sessionStorage.setItem(RETURN_KEY, hash);
  } catch {
    // Without storage the reader lands on the first channel.
  }
}

export function recallRoute(): string | null {
  try {
    const hash = sessionStorage.getItem(RETURN_KEY);
    sessionStorage.removeItem(RETURN_KEY);
    return hash;
  } catch {
    return null;
  }
}
