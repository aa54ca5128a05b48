// The open channel: its heading with the state of the link, then its messages or why there are none.
import { type Signal, useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import type { Channel } from '../protocol';
import type { LinkState } from '../state/store';
import type { Viewer } from '../viewer';
import { Empty } from './Empty';
import { Icon } from './Icon';
import { Timeline } from './Timeline';
import { Typing } from './Typing';

interface Props {
  viewer: Viewer;
  channel: Channel | null;
  /** The channel list on a narrow screen, where there is one. */
  drawer?: Signal<boolean> | undefined;
}

export function ChannelView({ viewer, channel, drawer }: Props): VNode {
  const window = useComputed(() => viewer.state.value.window).value;
  const older = useComputed(() => viewer.state.value.older).value;
  return (
    <main class="channel-view">
      <Header viewer={viewer} channel={channel} drawer={drawer} />
      {window && (window.messages.length > 0 || window.hasMore) ? (
        <Timeline
          key={window.channelId}
          viewer={viewer}
          window={window}
          older={older}
          name={channel?.name ?? 'thread'}
        />
      ) : (
        <Empty viewer={viewer} channel={channel} />
      )}
      <Typing viewer={viewer} />
    </main>
  );
}

function Header({ viewer, channel, drawer }: Props): VNode {
  const viewers = useComputed(() => viewer.state.value.viewers).value;
  const selected = useComputed(() => viewer.state.value.selected).value;
  return (
    <header class="channel-header">
      {drawer && (
        <button
          type="button"
          class="icon-button menu"
          aria-label="Channels"
          aria-expanded={drawer.value}
          onClick={() => (drawer.value = !drawer.value)}
        >
          <Icon name="menu" />
        </button>
      )}
      {channel && <Icon name={channel.type} />}
      <h1>{channel?.name ?? (selected ? 'Channel' : 'Discord Stream')}</h1>
      {channel?.topic && (
        <p class="topic" title={channel.topic}>
          {channel.topic}
        </p>
      )}
      <span class="header-space" />
      {viewers !== null && viewers > 0 && (
        <span class="viewers" title={`${viewers} watching here`}>
          <Icon name="eye" />
          <span>{viewers}</span>
          <span class="unseen"> watching</span>
        </span>
      )}
      <Link viewer={viewer} />
    </header>
  );
}

const LINKS: Record<LinkState, string> = {
  connecting: 'Connecting',
  live: 'Live',
  reconnecting: 'Reconnecting',
  offline: 'Offline',
  ended: 'Ended',
};

function Link({ viewer }: { viewer: Viewer }): VNode {
  const link = useComputed(() => viewer.state.value.link).value;
  const isCatchingUp = useComputed(() => viewer.state.value.window?.verifiedFrom != null).value;
  const text = link === 'live' && isCatchingUp ? 'Catching up' : LINKS[link];
  return (
    <span class={`link ${link}`} role="status" data-link={link}>
      <span class="link-dot" />
      {text}
    </span>
  );
}
