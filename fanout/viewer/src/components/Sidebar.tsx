// Servers and their channels, the reader's name, theme and logout. A drawer on narrow screens.
import { type ReadonlySignal, type Signal, useComputed, useSignal } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { initialsOf, toneOf } from '../format';
import type { Channel, Id } from '../protocol';
import { hashOfChannel } from '../route';
import type { ChannelNode, Server } from '../state/channels';
import type { Viewer } from '../viewer';
import { AccountBar } from './AccountBar';
import { Icon } from './Icon';
import { moveFocus } from './keys';

interface Props {
  viewer: Viewer;
  servers: ReadonlySignal<Server[] | null>;
  drawer: Signal<boolean>;
}

/** Below this the list is a drawer; the same number is in layout.css. */
const narrow = matchMedia('(max-width: 760px)');

export function Sidebar({ viewer, servers, drawer }: Props): VNode {
  const selected = useComputed(() => viewer.state.value.selected);
  const isNarrow = useSignal(narrow.matches);
  const chosen = useSignal<Id | null>(null);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const onChange = () => {
      isNarrow.value = narrow.matches;
    };
    narrow.addEventListener('change', onChange);
    return () => narrow.removeEventListener('change', onChange);
  }, [isNarrow]);
  useEffect(() => {
    if (drawer.value) box.current?.querySelector<HTMLElement>('[aria-current="page"], a')?.focus();
  }, [drawer.value]);
  const list = servers.value ?? [];
  const home = list.find((server) => holds(server, selected.value));
  // Opening a channel elsewhere brings its server with it.
  useEffect(() => {
    chosen.value = null;
  }, [home?.id, chosen]);
  const server = list.find((server) => server.id === chosen.value) ?? home ?? list[0] ?? null;
  return (
    <>
      <div class="backdrop" onClick={() => (drawer.value = false)} aria-hidden="true" />
      <div class="sidebar" ref={box} inert={isNarrow.value && !drawer.value}>
        <Rail servers={list} current={server} onChoose={(id) => (chosen.value = id)} />
        <div class="side">
          <nav class="channels" aria-label="Channels" onKeyDown={moveFocus}>
            <h2 class="server-name">{server?.name ?? 'Discord Stream'}</h2>
            {servers.value === null && <ChannelSkeleton />}
            {servers.value?.length === 0 && <p class="side-empty">No channels that you can see here.</p>}
            {server && (
              <ChannelList server={server} selected={selected.value} onOpen={() => (drawer.value = false)} />
            )}
          </nav>
          <AccountBar viewer={viewer} />
        </div>
      </div>
    </>
  );
}

function Rail({
  servers,
  current,
  onChoose,
}: {
  servers: Server[];
  current: Server | null;
  onChoose: (id: Id) => void;
}): VNode {
  return (
    <nav class="rail" aria-label="Servers" onKeyDown={moveFocus}>
      {servers.map((server) => (
        <button
          key={server.id}
          type="button"
          class={`server tone-${toneOf(server.id)}`}
          aria-current={server.id === current?.id}
          aria-label={server.name}
          title={server.name}
          tabIndex={server.id === current?.id ? 0 : -1}
          onClick={() => onChoose(server.id)}
        >
          {initialsOf(server.name)}
        </button>
      ))}
    </nav>
  );
}

interface ListProps {
  server: Server;
  selected: Id | null;
  onOpen: () => void;
}

function ChannelList({ server, selected, onOpen }: ListProps): VNode {
  // One stop of the Tab key for the whole list; the arrow keys move within it.
  const stop = holds(server, selected) ? selected : server.first?.id;
  const item = (channel: Channel) => (
    <a
      class={`channel${channel.isActive ? '' : ' archived'}`}
      href={hashOfChannel(channel.id)}
      aria-current={channel.id === selected ? 'page' : undefined}
      tabIndex={channel.id === stop ? 0 : -1}
      data-channel={channel.id}
      onClick={onOpen}
    >
      <Icon name={channel.type} />
      <span class="channel-name">{channel.name}</span>
      {channel.nsfw && <span class="channel-tag">18+</span>}
    </a>
  );
  const node = ({ channel, children }: ChannelNode) => (
    <li key={channel.id}>
      {item(channel)}
      {children.length > 0 && (
        <ul class="threads">
          {children.map((child) => (
            <li key={child.id}>{item(child)}</li>
          ))}
        </ul>
      )}
    </li>
  );
  return (
    <div class="channel-groups">
      {server.groups.map((group) => (
        <ul key={group.key}>{group.channels.map(node)}</ul>
      ))}
    </div>
  );
}

function ChannelSkeleton(): VNode {
  return (
    <div class="skeleton" aria-hidden="true">
      {[70, 52, 61, 44, 66].map((width) => (
        <div key={width} class={`bone w${width}`} />
      ))}
    </div>
  );
}

function holds(server: Server, id: Id | null): boolean {
  const isIt = (channel: Channel) => channel.id === id;
  return server.groups.some((group) =>
    group.channels.some((node) => isIt(node.channel) || node.children.some(isIt)),
  );
}
