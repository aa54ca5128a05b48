// The objects and answers of the public contract, as this page reads them.
// Ids are strings throughout: a snowflake does not fit into a number. Of what hangs below a message's text hardly a
// field is taken for granted, so that a server of another version leaves out a part and never breaks the page.

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
  proxyUrl?: string | null;
  size?: number;
  contentType?: string | null;
  width?: number | null;
  height?: number | null;
  spoiler?: boolean;
  /** The name that its author gave it, where `filename` was made harmless. */
  title?: string;
  /** What a picture shows, in words. */
  description?: string;
  /** Seconds. */
  duration?: number;
  /** Loudness over time: base64, a byte a sample. */
  waveform?: string;
}

export interface Embed {
  title?: string | null;
  description?: string | null;
  url?: string | null;
  color?: number | null;
  thumbnail?: { url: string } | null;
  image?: { url: string } | null;
  video?: { url: string };
  provider?: { name: string };
  author?: { name: string; iconUrl?: string } | null;
  fields?: { name: string; value: string; inline?: boolean }[];
  footer?: { text: string; iconUrl?: string };
  timestamp?: string;
}

export interface Sticker {
  id: Id;
  name: string;
  format: 'png' | 'apng' | 'lottie' | 'gif' | 'unknown';
  /** Absent where the format is no picture. */
  url?: string;
}

/** A character by its name, or a server's own emoji with its picture. */
export interface Emoji {
  name: string;
  id?: Id;
  url?: string;
  animated?: boolean;
}

export interface Poll {
  question: string;
  answers?: PollAnswer[];
  expiresAt?: string | null;
  multiselect?: boolean;
  /** The votes are counted for good. */
  finalized?: boolean;
}

export interface PollAnswer {
  id: number;
  text: string;
  emoji?: Emoji;
  /** Null where Discord did not say. */
  votes?: number | null;
}

/** A copy of a message, without its author and place. */
export interface Forwarded {
  content: string;
  timestamp?: string | null;
  edited?: boolean;
  editedTimestamp?: string | null;
  attachments?: Attachment[];
  embeds?: Embed[];
  stickers?: Sticker[];
  components?: MessageComponent[];
  mentions?: Mentions;
}

export type MessageComponent =
  | { type: 'text'; content: string }
  | ({ type: 'media' | 'file' } & ComponentMedia)
  | { type: 'button'; label: string; emoji?: Emoji; url?: string; disabled?: boolean }
  | { type: 'select'; placeholder: string; options?: string[] }
  | { type: 'separator'; divider?: boolean }
  | ({ type: 'row' | 'section' | 'gallery' | 'container' } & ComponentGroup)
  | { type: 'unknown'; content: string };

export interface ComponentMedia {
  url: string;
  proxyUrl?: string;
  name?: string;
  size?: number;
  description?: string;
  spoiler?: boolean;
  contentType?: string | null;
  width?: number | null;
  height?: number | null;
}

export interface ComponentGroup {
  components?: MessageComponent[];
  accentColor?: number;
  spoiler?: boolean;
}

export interface Reaction {
  emoji: string;
  count: number;
  url?: string;
}

export interface Reply {
  messageId: Id;
  author: Author | null;
  /** Null once the original is deleted, and where it is not known. */
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
  /** It came from a channel that this one follows. */
  crosspost?: boolean;
  stickers?: Sticker[];
  poll?: Poll;
  forwarded?: Forwarded;
  components?: MessageComponent[];
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

/** The objects of a list of the wire; none where there is none. */
export function listOf<T extends object>(list: readonly T[] | null | undefined): T[] {
  if (!Array.isArray(list)) return [];
  return list.filter((entry) => typeof entry === 'object' && entry !== null);
}
