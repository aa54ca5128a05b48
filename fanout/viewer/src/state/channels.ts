// The channel list as the page shows it: servers, in each the channels by category, under each its threads and posts.
import { type Channel, compareIds, type Id } from '../protocol';

export interface Server {
  id: Id;
  name: string;
  groups: ChannelGroup[];
  first: Channel | null;
}

/** Channels of one category. The contract names no categories, so that a group has no title. */
export interface ChannelGroup {
  key: string;
  channels: ChannelNode[];
}

export interface ChannelNode {
  channel: Channel;
  children: Channel[];
}

/** Servers in the order in which the list names them first. */
export function serversOf(channels: readonly Channel[]): Server[] {
  const byServer = new Map<Id, Channel[]>();
  for (const channel of channels) {
    const list = byServer.get(channel.serverId) ?? [];
    list.push(channel);
    byServer.set(channel.serverId, list);
  }
  return [...byServer].map(([id, list]) => serverOf(id, list));
}

function serverOf(id: Id, channels: Channel[]): Server {
  const known = new Set(channels.map((channel) => channel.id));
  const isChild = (channel: Channel) =>
    channel.type === 'thread' && channel.parentId !== undefined && known.has(channel.parentId);
  const tops = channels.filter((channel) => !isChild(channel)).sort(byPosition);
  const groups = new Map<string, ChannelNode[]>();
  for (const channel of tops) {
    const key = channel.parentId ?? '';
    const children = channels.filter((child) => isChild(child) && child.parentId === channel.id).sort(byAge);
    groups.set(key, [...(groups.get(key) ?? []), { channel, children }]);
  }
  // Channels outside of any category come first, as in Discord.
  const order = [...groups].sort(([a], [b]) => Number(a !== '') - Number(b !== ''));
  const first = tops.find((channel) => channel.type === 'text') ?? tops[0] ?? null;
  return {
    id,
    name: channels[0]?.serverName ?? '',
    groups: order.map(([key, nodes]) => ({ key, channels: nodes })),
    first,
  };
}

/** Text before voice, then by position, then by age: Discord's order. */
function byPosition(a: Channel, b: Channel): number {
  const voice = Number(a.type === 'voice') - Number(b.type === 'voice');
  return voice || a.position - b.position || compareIds(a.id, b.id);
}

export function postsOf(channels: readonly Channel[], forum: Id): Channel[] {
  return channels.filter((channel) => channel.parentId === forum).sort(byAge);
}

/** Threads and posts: those that go on before the archived, then the newest first. */
function byAge(a: Channel, b: Channel): number {
  return Number(b.isActive) - Number(a.isActive) || compareIds(b.id, a.id);
}
