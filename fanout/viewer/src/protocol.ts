// The objects and answers of the public contract, as this page reads them.
// Ids are strings throughout: a snowflake does not fit into a number.

export type Id = string;

export type ChannelKind = 'text' | 'announcement' | 'thread' | 'forum' | 'voice';

export interface Channel {
  id: Id;
  name: string;
  type: ChannelKind;
  serverId: Id;
  serverName: string;
  position: number;
  parentId?: Id;
  topic?: string;
  nsfw: boolean;
  isActive: boolean;
  permissions: { canRead: boolean; canWrite: boolean; canManage: boolean };
}

export interface Author {
  id: Id;
  username: string;
  displayName: string;
  avatar: string | null;
  bot: boolean;
}

export interface Attachment {
  id: Id;
  filename: string;
  url: string;
  proxyUrl: string | null;
  size: number;
  contentType: string | null;
  width: number | null;
  height: number | null;
  spoiler?: boolean;
}

export interface Embed {
  title?: string | null;
  description?: string | null;
  url?: string | null;
  color?: number | null;
  thumbnail?: { url: string } | null;
  image?: { url: string } | null;
  author?: { name: string; iconUrl?: string } | null;
  fields?: { name: string; value: string; inline: boolean }[];
}

export interface Reaction {
  emoji: string;
  count: number;
  url?: string;
}

export interface Reply {
  messageId: Id;
  author: Author | null;
  /** Null once the original is deleted. */
  content: string | null;
}

export interface Mentions {
  users?: Record<Id, string>;
  roles?: Record<Id, string>;
  channels?: Record<Id, string>;
}

export interface Message {
  id: Id;
  content: string;
  author: Author;
  timestamp: string;
  channelId: Id;
  serverId: Id;
  attachments: Attachment[];
  embeds: Embed[];
  reactions: Reaction[];
  edited: boolean;
  editedTimestamp: string | null;
  type?: number;
  reply?: Reply;
  mentions?: Mentions;
  threadId?: Id;
  pinned?: boolean;
  webhook?: boolean;
  // Shapes that follow Discord's own objects; read with care by `state/extras.ts`.
  stickers?: unknown;
  poll?: unknown;
  forwarded?: unknown;
  components?: unknown;
}

export interface Page {
  channelId: Id;
  messages: Message[];
  hasMore: boolean;
  nextCursor: Id | null;
}

export interface UserInfo {
  id: Id;
  username: string;
  displayName: string | null;
  avatar: string | null;
}

export interface Refusal {
  success: false;
  error?: string;
  code?: string;
  /** Seconds. */
  retryAfter?: number;
}

export type Answer<T> = ({ success: true } & T) | Refusal;

export interface ServerEvents {
  channels_list(channels: Channel[]): void;
  user_info(user: UserInfo): void;
  messages_bulk(page: Page): void;
  message(message: Message): void;
  message_update(message: Message): void;
  message_delete(gone: { messageId: Id; channelId: Id }): void;
  reaction_update(change: { messageId: Id; channelId: Id; reactions: Reaction[] }): void;
  typing_start(typing: { channelId: Id; userId: Id; username: string }): void;
  channel_update(channel: Channel): void;
  channel_left(left: { channelId: Id; reason: 'access_revoked' | 'channel_deleted' }): void;
  viewers(viewers: { channelId: Id; count: number }): void;
  error(error: { code: string; message: string; severity: 'LOW' | 'MEDIUM' | 'HIGH'; channelId?: Id }): void;
  rate_limited(limit: { message: string; retryAfter: number }): void;
}

/** Snowflakes in order of time: shorter is older, then as text. */
export function compareIds(a: Id, b: Id): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
