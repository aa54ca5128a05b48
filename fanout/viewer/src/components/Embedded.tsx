// One channel inside a page of another site: its name, its messages, and why there are none. No way elsewhere.
import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { rootOf } from '../route';
import type { Viewer } from '../viewer';
import { Announcer } from './Announcer';
import { ChannelView } from './ChannelView';
import { Notices } from './Notices';

const ENDINGS: Record<string, string> = {
  AUTH_EXPIRED: 'This view has expired.',
  AUTH_REVOKED: 'This view was ended.',
};

export function Embedded({ viewer }: { viewer: Viewer }): VNode {
  const channel = useComputed(
    () => viewer.state.value.channels?.find(({ id }) => id === viewer.embedded) ?? null,
  ).value;
  useEffect(() => {
    document.title = channel ? `#${channel.name} · ${channel.serverName}` : 'Discord Stream';
  }, [channel?.name, channel?.serverName]);
  useEffect(() => {
    document.addEventListener('click', followOutside);
    return () => document.removeEventListener('click', followOutside);
  }, []);
  const { token, ended } = viewer.account;
  if (!token.value) return <Ended code={ended.value} />;
  return (
    <div class="reader embedded">
      <ChannelView viewer={viewer} channel={channel} />
      <Notices viewer={viewer} />
      <Announcer viewer={viewer} />
    </div>
  );
}

function Ended({ code }: { code: string | null }): VNode {
  return (
    <main class="embedded empty">
      <div role="alert">
        <h2>{(code && ENDINGS[code]) ?? 'This view is not valid.'}</h2>
        <p>Whoever runs this page can give it a new token for the channel.</p>
      </div>
    </main>
  );
}

/** Other channels are shown by the page of the stream, beside this one. */
function followOutside(event: MouseEvent): void {
  const link = event.target instanceof Element ? event.target.closest('a[href^="#/"]') : null;
  if (!link) return;
  event.preventDefault();
  open(new URL(link.getAttribute('href') ?? '', rootOf(location)), '_blank', 'noopener');
}
