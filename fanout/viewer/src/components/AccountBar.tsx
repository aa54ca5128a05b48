// Who reads here, the theme, the way out.
import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { nextTheme, theme } from '../theme';
import type { Viewer } from '../viewer';
import { Avatar } from './Avatar';
import { Icon } from './Icon';

const THEMES = {
  system: { icon: 'auto', label: 'Theme: as the system. Switch to light' },
  light: { icon: 'sun', label: 'Theme: light. Switch to dark' },
  dark: { icon: 'moon', label: 'Theme: dark. Switch to the system’s' },
} as const;

export function AccountBar({ viewer }: { viewer: Viewer }): VNode {
  const user = useComputed(() => viewer.state.value.user).value;
  const name = user?.displayName ?? user?.username ?? '';
  const { icon, label } = THEMES[theme.value];
  return (
    <section class="account" aria-label="Account">
      {user && <Avatar id={user.id} name={name} url={user.avatar} small />}
      <span class="account-name" title={user?.username}>
        {name}
      </span>
      <button type="button" class="icon-button" aria-label={label} title={label} onClick={nextTheme}>
        <Icon name={icon} />
      </button>
      <button
        type="button"
        class="icon-button"
        aria-label="Log out"
        title="Log out"
        onClick={() => void viewer.logout()}
      >
        <Icon name="logout" />
      </button>
    </section>
  );
}
