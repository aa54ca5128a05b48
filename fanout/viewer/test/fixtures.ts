// Messages and pages as the server sends them.
import type { Channel, Message, Page } from '../src/protocol';

export const author = { id: '9', username: 'ada', displayName: 'Ada', avatar: null, bot: false };

export function message(id: number | string, fields: Partial<Message> = {}): Message {
  return {
    id: String(id),
    content: `text ${id}`,
    author,
    timestamp: new Date(Date.UTC(2026, 0, 1) + Number(id) * 1000).toISOString(),
    channelId: '1',
    serverId: '5',
    attachments: [],
    embeds: [],
    reactions: [],
    edited: false,
    editedTimestamp: null,
    ...fields,
  };
}

/** A page of these ids; `hasMore` unless the first is 1. */
export function page(ids: number[], fields: Partial<Page> = {}): Page {
  const first = ids[0];
  const hasMore = first !== undefined && first > 1;
  return {
    channelId: '1',
    messages: ids.map((id) => message(id)),
    hasMore,
    nextCursor: hasMore ? String(first) : null,
    ...fields,
  };
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

export function channel(id: string, fields: Partial<Channel> = {}): Channel {
  return {
    id,
    name: `channel-${id}`,
    type: 'text',
    serverId: '5',
    serverName: 'Server',
    position: Number(id),
    nsfw: false,
    isActive: true,
    permissions: { canRead: true, canWrite: false, canManage: false },
    ...fields,
  };
}
