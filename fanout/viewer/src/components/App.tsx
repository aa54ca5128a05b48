// The page as a whole: the login, or the reader's view with its landmarks, and the tab's title.
import { computed, signal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { serversOf } from '../state/channels';
import { unseenCount } from '../state/window';
import type { Viewer } from '../viewer';
import { Announcer } from './Announcer';
import { ChannelView } from './ChannelView';
import { Login } from './Login';
import { Notices } from './Notices';
import { Sidebar } from './Sidebar';

/** The channel list on a narrow screen. */
const drawer = signal(false);

export function App({ viewer }: { viewer: Viewer }): VNode {
  if (!viewer.account.token.value) return <Login ended={viewer.account.ended.value} />;
  return <Reader viewer={viewer} />;
}

function Reader({ viewer }: { viewer: Viewer }): VNode {
  const view = useMemo(() => {
    const { state } = viewer;
    const channels = computed(() => state.value.channels);
    const selected = computed(() => state.value.selected);
    return {
      servers: computed(() => channels.value && serversOf(channels.value)),
      channel: computed(() => channels.value?.find((channel) => channel.id === selected.value) ?? null),
      unseen: computed(() => (state.value.window ? unseenCount(state.value.window) : 0)),
    };
  }, [viewer]);
  const channel = view.channel.value;
  const unseen = view.unseen.value;
  useEffect(() => {
    const place = channel ? `#${channel.name} · ${channel.serverName} — ` : '';
    document.title = `${unseen > 0 ? `(${unseen}) ` : ''}${place}Discord Stream`;
  }, [channel?.name, channel?.serverName, unseen]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === 'Escape') drawer.value = false;
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  return (
    <div class={drawer.value ? 'reader drawer-open' : 'reader'}>
      <button type="button" class="skip" onClick={focusMessages}>
        Skip to messages
      </button>
      <Sidebar viewer={viewer} servers={view.servers} drawer={drawer} />
      <ChannelView viewer={viewer} channel={channel} drawer={drawer} />
      <Notices viewer={viewer} />
      <Announcer viewer={viewer} />
    </div>
  );
}

function focusMessages(): void {
  document.getElementById('messages')?.focus();
}
