// Who is logged in: the token, its renewal before it ends, logout, and why a session ended.
import { signal } from '@preact/signals';
import { isDueForRefresh, lifetimeOf, subjectOf, type TokenKeep } from './token';

/** How often the token's age is looked at; timers beyond 24 days do not exist, and a laptop sleeps. */
const CHECK_MS = 30_000;
const REQUEST_TIMEOUT_MS = 10_000;

export class Account {
  readonly token = signal<string | null>(null);
  /** Why the login page is shown: a code of the contract or `LOGGED_OUT`, `LOGOUT_UNSURE`. */
  readonly ended = signal<string | null>(null);
  onRenewed: (token: string) => void = () => undefined;
  onElsewhere: (token: string | null) => void = () => undefined;
  /** How long an embedded channel is shown is for whoever made its token to say. */
  private renewable: boolean;

  constructor(
    private readonly root: URL,
    private readonly keep: TokenKeep,
  ) {
    this.token.value = keep.load();
    this.renewable = keep.isLogin;
    keep.onElsewhere((token) => this.adopt(token));
  }

  keepFresh(): void {
    const check = () => {
      const life = this.token.value ? lifetimeOf(this.token.value) : null;
      if (life && this.renewable && isDueForRefresh(life, Date.now())) void this.renew();
    };
    setInterval(check, CHECK_MS);
    check();
  }

  /** A new token for the old; a refusal is final, an outage is tried again at the next look. */
  async renew(): Promise<void> {
    if (!this.renewable) return;
    try {
      const response = await this.post('api/auth/refresh');
      if (response.status === 429 || response.status >= 502) return;
      if (!response.ok) {
        this.renewable = false;
        return;
      }
      const body: unknown = await response.json();
      if (typeof body !== 'object' || body === null || !('token' in body)) return;
      if (typeof body.token !== 'string' || !this.token.value) return;
      this.token.value = body.token;
      this.keep.save(body.token);
      this.onRenewed(body.token);
    } catch {
      // No answer: the next look tries again.
    }
  }

  /** Whether the server confirmed that the token is worth nothing now. */
  async logout(): Promise<boolean> {
    try {
      const response = await this.post('api/auth/logout');
      return response.ok || response.status === 401;
    } catch {
      return false;
    }
  }

  end(code: string): void {
    this.keep.drop();
    this.token.value = null;
    this.ended.value = code;
  }

  private adopt(token: string | null): void {
    const before = this.token.value;
    if (token === before) return;
    this.token.value = token;
    // A renewal in another tab is the same person: the open socket takes it over.
    if (token && before && subjectOf(token) === subjectOf(before)) this.onRenewed(token);
    else this.onElsewhere(token);
  }

  private post(path: string): Promise<Response> {
    return fetch(new URL(path, this.root), {
      method: 'POST',
      headers: { Authorization: `Bearer ${this.token.value ?? ''}` },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
  }
}
