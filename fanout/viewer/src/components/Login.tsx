// The way in: one button to Discord's consent page, and why the last session ended.
import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { rememberRoute, rootOf } from '../route';
import { Icon } from './Icon';

const ERRORS: Record<string, string> = {
  invalid_state: 'That login took too long or was started elsewhere. Please try again.',
  oauth_failed: 'Discord did not confirm the login. Please try again.',
};

const ENDINGS: Record<string, string> = {
  AUTH_EXPIRED: 'Your session has expired. Please log in again.',
  AUTH_REVOKED: 'Your session was ended. Please log in again.',
  AUTH_INVALID: 'This login is not valid here. Please log in again.',
  AUTH_PAYLOAD: 'This login is not valid here. Please log in again.',
  AUTH_REQUIRED: 'Please log in.',
  LOGGED_OUT: 'You are logged out.',
  LOGOUT_UNSURE:
    'You are logged out in this browser, but the server could not confirm it. Other sessions may go on until they expire.',
};

export function Login({ ended }: { ended: string | null }): VNode {
  useEffect(() => {
    document.title = 'Log in — Discord Stream';
  }, []);
  const error = new URLSearchParams(location.search).get('error');
  const message = error
    ? (ERRORS[error] ?? 'The login failed. Please try again.')
    : ended && (ENDINGS[ended] ?? ENDINGS.AUTH_REVOKED);
  const isTrouble = Boolean(error) || (ended !== null && ended !== 'LOGGED_OUT');
  return (
    <main class="login">
      <div class="login-card">
        <img
          class="login-mark"
          src={new URL('../icon.svg', import.meta.url).href}
          alt=""
          width="56"
          height="56"
        />
        <h1>Discord Stream</h1>
        <p class="login-lead">Read your servers' channels live, in the browser.</p>
        {message && (
          <p
            class={isTrouble ? 'login-message trouble' : 'login-message'}
            role={isTrouble ? 'alert' : 'status'}
          >
            {message}
          </p>
        )}
        <a
          class="login-button"
          href={new URL('api/auth/discord/login', rootOf(location)).href}
          onClick={() => rememberRoute(location.hash)}
        >
          Log in with Discord
          <Icon name="arrow" />
        </a>
        <p class="login-fine">
          You will see the channels that you can see in Discord, and can't post from here.
        </p>
      </div>
    </main>
  );
}
