// Everything the page knows, as one value, and the actions that change it. Pure: no clock, no network, no DOM.
import type { Channel, Id, Message, Page, Reaction, UserInfo } from '../protocol';
import * as win from './window';

/** `ended`: the server closed this session for good, and only a login opens another. */
export type LinkState = 'connecting' | 'live' | 'reconnecting' | 'offline' | 'ended';

export type Stage =
  | { kind: 'none' }
  | { kind: 'loading' }
  | { kind: 'open' }
  | { kind: 'failed'; code: string; text: string }
  | { kind: 'left'; reason: string; name: string };

export interface Typist {
  userId: Id;
  name: string;
  /** Milliseconds since the epoch. */
  until: number;
}

export interface Notice {
  id: number;
  tone: 'info' | 'warn';
  text: string;
}

export interface State {
  link: LinkState;
  user: UserInfo | null;
  /** Null until the first list. */
  channels: Channel[] | null;
  selected: Id | null;
  stage: Stage;
  window: win.MessageWindow | null;
  older: 'idle' | 'loading' | 'failed';
  viewers: number | null;
  typing: Typist[];
  notices: Notice[];
}

export const initial: State = {
  link: 'connecting',
  user: null,
  channels: null,
  selected: null,
  stage: { kind: 'none' },
  window: null,
  older: 'idle',
  viewers: null,
  typing: [],
  notices: [],
};

export type Action =
  | { type: 'link'; link: LinkState }
  | { type: 'user'; user: UserInfo }
  | { type: 'channels'; channels: Channel[] }
  | { type: 'channel'; channel: Channel }
  | { type: 'select'; id: Id | null }
  | { type: 'failed'; channelId: Id; code: string; text: string }
  | { type: 'left'; channelId: Id; reason: string }
  | { type: 'bulk'; page: Page }
  | { type: 'opened'; channelId: Id }
  | { type: 'older'; page: Page; before: Id }
  | { type: 'verified'; page: Page; before: Id }
  | { type: 'unverified'; channelId: Id }
  | { type: 'latest'; page: Page }
  | { type: 'older-state'; older: State['older'] }
  | { type: 'message'; message: Message }
  | { type: 'update'; message: Message }
  | { type: 'delete'; channelId: Id; id: Id }
  | { type: 'reactions'; channelId: Id; id: Id; reactions: Reaction[] }
  | { type: 'following'; following: boolean }
  | { type: 'typing'; channelId: Id; typist: Typist }
  | { type: 'tick'; now: number }
  | { type: 'viewers'; channelId: Id; count: number }
  | { type: 'notice'; notice: Notice }
  | { type: 'dismiss'; id: number };

/** Notices shown at once; older ones give way. */
const NOTICES_MAX = 3;

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case 'link':
      return onLink(state, action.link);
    case 'user':
      return { ...state, user: action.user };
    case 'channels':
      return { ...state, channels: action.channels };
    case 'channel':
      return onChannel(state, action.channel);
    case 'select':
      return select(state, action.id);
    case 'failed':
    case 'left':
    case 'opened':
    case 'viewers':
    case 'typing':
      return action.channelId === state.selected ? onSelected(state, action) : state;
    case 'older-state':
      return { ...state, older: action.older };
    case 'tick':
      return expire(state, action.now);
    case 'notice':
      return { ...state, notices: [...state.notices, action.notice].slice(-NOTICES_MAX) };
    case 'dismiss':
      return { ...state, notices: state.notices.filter((notice) => notice.id !== action.id) };
    default:
      return onMessages(state, action);
  }
}

type SelectedAction = Extract<Action, { type: 'failed' | 'left' | 'opened' | 'viewers' | 'typing' }>;

function onSelected(state: State, action: SelectedAction): State {
  switch (action.type) {
    case 'failed':
      return { ...closed(state), stage: { kind: 'failed', code: action.code, text: action.text } };
    case 'left': {
      const name = state.channels?.find((channel) => channel.id === action.channelId)?.name ?? 'the channel';
      return { ...closed(state), selected: null, stage: { kind: 'left', reason: action.reason, name } };
    }
    case 'opened':
      return { ...state, stage: { kind: 'open' } };
    case 'viewers':
      return { ...state, viewers: action.count };
    case 'typing': {
      const others = state.typing.filter((typist) => typist.userId !== action.typist.userId);
      return { ...state, typing: [...others, action.typist] };
    }
  }
}

type MessagesAction = Extract<
  Action,
  {
    type:
      | 'bulk'
      | 'older'
      | 'verified'
      | 'unverified'
      | 'latest'
      | 'message'
      | 'update'
      | 'delete'
      | 'reactions'
      | 'following';
  }
>;

function onMessages(state: State, action: MessagesAction): State {
  if (action.type === 'bulk') return onBulk(state, action.page);
  const window = state.window;
  if (!window || channelOf(action, window) !== state.selected) return state;
  switch (action.type) {
    case 'older':
      return { ...state, window: win.mergePage(window, action.page, action.before), older: 'idle' };
    case 'verified':
      return { ...state, window: win.mergeVerified(window, action.page, action.before) };
    case 'unverified':
      return { ...state, window: win.dropUnverified(window) };
    case 'latest':
      return { ...state, window: { ...win.openWindow(action.page), gone: window.gone }, older: 'idle' };
    case 'message':
      return {
        ...state,
        window: win.addMessage(window, action.message),
        typing: stopped(state, action.message),
      };
    case 'update':
      return { ...state, window: win.updateMessage(window, action.message) };
    case 'delete':
      return { ...state, window: win.deleteMessage(window, action.id) };
    case 'reactions':
      return { ...state, window: win.setReactions(window, action.id, action.reactions) };
    case 'following':
      return { ...state, window: win.setFollowing(window, action.following) };
  }
}

function channelOf(action: Exclude<MessagesAction, { type: 'bulk' }>, window: win.MessageWindow): Id {
  if ('page' in action) return action.page.channelId;
  if ('message' in action) return action.message.channelId;
  return 'channelId' in action ? action.channelId : window.channelId;
}

function onBulk(state: State, page: Page): State {
  if (page.channelId !== state.selected) return state;
  const window = state.window ? win.resumeWindow(state.window, page) : win.openWindow(page);
  return { ...state, window, stage: { kind: 'open' } };
}

function onLink(state: State, link: LinkState): State {
  // Typing and viewer counts are state of the moment: without a link they are not known.
  return link === 'live' ? { ...state, link } : { ...state, link, typing: [], viewers: null };
}

function onChannel(state: State, channel: Channel): State {
  const channels = state.channels ?? [];
  const known = channels.some((held) => held.id === channel.id);
  return {
    ...state,
    channels: known
      ? channels.map((held) => (held.id === channel.id ? channel : held))
      : [...channels, channel],
  };
}

function select(state: State, id: Id | null): State {
  if (id === state.selected && state.stage.kind !== 'failed') return state;
  return { ...closed(state), selected: id, stage: { kind: id === null ? 'none' : 'loading' } };
}

function closed(state: State): State {
  return { ...state, window: null, older: 'idle', viewers: null, typing: [] };
}

function expire(state: State, now: number): State {
  const typing = state.typing.filter((typist) => typist.until > now);
  return typing.length === state.typing.length ? state : { ...state, typing };
}

function stopped(state: State, message: Message): Typist[] {
  return state.typing.some((typist) => typist.userId === message.author.id)
    ? state.typing.filter((typist) => typist.userId !== message.author.id)
    : state.typing;
}
