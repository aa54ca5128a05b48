// The page's one actor: turns what the reader does and what the server says into actions on the store.
// Pages are asked for here and merged there; nothing here touches the DOM.
import { signal } from '@preact/signals';
import { Account } from './account';
import { Connection, RequestError } from './connection';
import type { Channel, Id, Message, Page } from './protocol';
import { channelOfHash, hashOfChannel } from './route';
import { serversOf } from './state/channels';
import { type Action, initial, reduce, type State } from './state/store';
import type { TokenKeep } from './token';

const JOIN_LIMIT = 50;
const PAGE_LIMIT = 100;
/** Pages asked for after an interruption; what lies beyond is fetched again when the reader scrolls there. */
const RESYNC_PAGES_MAX = 10;
/** Discord shows a typist for ten seconds after each notice. */
const TYPING_MS = 10_000;
const NOTICE_MS = 8_000;
const LAST_KEY = 'discord-stream.channel';

export class Viewer {
  readonly state = signal<State>(initial);
  /** The newest message of the open channel, for the announcer. */
  readonly arrived = signal<Message | null>(null);
  readonly account: Account;
  private readonly connection: Connection;
  /** Ends the requests of a channel when the reader leaves it or the link breaks. */
  private work = new AbortController();
  private notices = 0;

  constructor(
    root: URL,
    keep: TokenKeep,
    /** The one channel that is shown, inside another site. */
    readonly embedded: Id | null = null,
  ) {
    this.account = new Account(root, keep);
    this.connection = new Connection(root, () => this.account.token.value, {
      onLink: (link) => this.dispatch({ type: 'link', link }),
      onConnect: (recovered) => this.onConnect(recovered),
      onEnd: (code) => this.onEnd(code),
      onLimited: (seconds) => this.notify('warn', `Too many requests. Going on in ${seconds} s.`),
    });
    this.account.onRenewed = (token) => void this.connection.renew(token);
    this.account.onElsewhere = (token) => (token ? location.reload() : this.onEnd('LOGGED_OUT'));
    this.listen();
    setInterval(() => this.dispatch({ type: 'tick', now: Date.now() }), 1000);
  }

  start(): void {
    const wanted = this.embedded ?? channelOfHash(location.hash);
    if (wanted) this.dispatch({ type: 'select', id: wanted });
    if (!this.embedded) addEventListener('hashchange', () => this.select(channelOfHash(location.hash)));
    this.account.keepFresh();
    this.connection.open();
  }

  /** Shows a channel; the address follows, so that the browser's back works. */
  open(id: Id): void {
    if (location.hash === hashOfChannel(id)) this.select(id);
    else location.hash = hashOfChannel(id);
  }

  async logout(): Promise<void> {
    this.connection.close();
    const told = await this.account.logout();
    this.dispatch({ type: 'link', link: 'ended' });
    this.account.end(told ? 'LOGGED_OUT' : 'LOGOUT_UNSURE');
  }

  /** One page further back. */
  async loadOlder(): Promise<void> {
    const { window, older, link } = this.state.value;
    if (!window?.hasMore || !window.cursor || older === 'loading' || link !== 'live') return;
    if (window.verifiedFrom !== null) return;
    const before = window.cursor;
    const signal = this.work.signal;
    this.dispatch({ type: 'older-state', older: 'loading' });
    try {
      const page = await this.page(window.channelId, PAGE_LIMIT, before);
      this.dispatch({ type: 'older', page, before });
    } catch (error) {
      const isCut = error instanceof RequestError && error.code === 'DISCONNECTED';
      if (!signal.aborted) this.dispatch({ type: 'older-state', older: isCut ? 'idle' : 'failed' });
    }
  }

  /** Back to the present: loads it where the window does not reach it. */
  async toLatest(): Promise<void> {
    const window = this.state.value.window;
    if (!window) return;
    try {
      if (window.skipped > 0) {
        const page = await this.page(window.channelId, JOIN_LIMIT);
        this.dispatch({ type: 'latest', page });
      }
      this.setFollowing(true);
    } catch {
      this.notify('warn', 'The newest messages could not be loaded.');
    }
  }

  setFollowing(following: boolean): void {
    if (this.state.value.window?.following !== following) this.dispatch({ type: 'following', following });
  }

  retry(): void {
    const id = this.state.value.selected;
    if (!id) return;
    this.dispatch({ type: 'select', id });
    void this.join(id);
  }

  dismiss(id: number): void {
    this.dispatch({ type: 'dismiss', id });
  }

  /** A short message about the page itself. */
  notify(tone: 'info' | 'warn', text: string): void {
    const id = ++this.notices;
    this.dispatch({ type: 'notice', notice: { id, tone, text } });
    setTimeout(() => this.dismiss(id), NOTICE_MS);
  }

  private select(id: Id | null): void {
    const { selected, stage } = this.state.value;
    if (id === selected && stage.kind !== 'failed') return;
    if (selected) this.connection.tell('leave_channel', { channelId: selected });
    this.abandon();
    this.dispatch({ type: 'select', id });
    if (!id) return;
    if (!this.embedded) keep(id);
    void this.join(id);
  }

  private onConnect(recovered: boolean): void {
    const { selected, stage, window } = this.state.value;
    if (!selected) return;
    const isWhole = recovered && stage.kind === 'open';
    if (isWhole && !window?.verifiedFrom) return;
    this.abandon();
    // The link broke while an earlier interruption was being made up for: go on with that.
    if (isWhole) void this.resynchronise(selected).catch(() => undefined);
    else void this.join(selected);
  }

  private async join(channelId: Id): Promise<void> {
    // A link that is still coming up joins by itself (`onConnect`).
    if (!this.connection.socket.connected) return;
    const signal = this.work.signal;
    try {
      await this.connection.ask('join_channel', { channelId, limit: JOIN_LIMIT }, signal);
      this.dispatch({ type: 'opened', channelId });
      await this.resynchronise(channelId);
    } catch (error) {
      if (signal.aborted || !this.isOpen(channelId)) return;
      const code = error instanceof RequestError ? error.code : 'UNKNOWN';
      if (code === 'DISCONNECTED') return;
      this.dispatch({ type: 'failed', channelId, code, text: error instanceof Error ? error.message : '' });
    }
  }

  /** After an interruption: page by page back until everything on the screen is confirmed. */
  private async resynchronise(channelId: Id): Promise<void> {
    const signal = this.work.signal;
    try {
      for (let pages = 0; pages < RESYNC_PAGES_MAX; pages += 1) {
        const before = this.state.value.window?.verifiedFrom;
        if (!before) return;
        const page = await this.page(channelId, PAGE_LIMIT, before);
        this.dispatch({ type: 'verified', page, before });
      }
    } finally {
      if (!signal.aborted) this.dispatch({ type: 'unverified', channelId });
    }
  }

  private page(channelId: Id, limit: number, before?: Id): Promise<Page> {
    const payload = before ? { channelId, limit, before } : { channelId, limit };
    return this.connection.ask<Page>('get_messages', payload, this.work.signal);
  }

  private onEnd(code: string): void {
    // A refusal on the way up may be about a token that another tab has renewed meanwhile.
    this.abandon();
    this.connection.close();
    this.dispatch({ type: 'link', link: 'ended' });
    this.account.end(code);
  }

  private abandon(): void {
    this.work.abort();
    this.work = new AbortController();
    if (this.state.value.older === 'loading') this.dispatch({ type: 'older-state', older: 'idle' });
  }

  private isOpen(channelId: Id): boolean {
    return this.state.value.selected === channelId;
  }

  private listen(): void {
    const socket = this.connection.socket;
    socket.on('channels_list', (channels) => this.onChannels(channels));
    socket.on('channel_update', (channel) => this.dispatch({ type: 'channel', channel }));
    socket.on('channel_left', ({ channelId, reason }) => this.onLeft(channelId, reason));
    socket.on('user_info', (user) => this.dispatch({ type: 'user', user }));
    socket.on('messages_bulk', (page) => this.dispatch({ type: 'bulk', page }));
    socket.on('message', (message) => this.onMessage(message));
    socket.on('message_update', (message) => this.dispatch({ type: 'update', message }));
    socket.on('message_delete', ({ messageId: id, channelId }) =>
      this.dispatch({ type: 'delete', channelId, id }),
    );
    socket.on('reaction_update', ({ messageId: id, channelId, reactions }) =>
      this.dispatch({ type: 'reactions', channelId, id, reactions }),
    );
    socket.on('typing_start', ({ channelId, userId, username: name }) =>
      this.dispatch({ type: 'typing', channelId, typist: { userId, name, until: Date.now() + TYPING_MS } }),
    );
    socket.on('viewers', ({ channelId, count }) => this.dispatch({ type: 'viewers', channelId, count }));
    socket.on('error', ({ code, message, severity }) => {
      if (code === 'AUTH_EXPIRED') void this.account.renew();
      else if (severity !== 'LOW' && code !== 'RATE_LIMITED') this.notify('warn', message);
    });
  }

  private onChannels(channels: Channel[]): void {
    this.dispatch({ type: 'channels', channels });
    const { selected, stage } = this.state.value;
    if (this.embedded) {
      // It was taken away, or hidden for a while, and is there again.
      const isBack = stage.kind === 'left' || stage.kind === 'failed';
      if (isBack && channels.some(({ id }) => id === this.embedded)) this.select(this.embedded);
      return;
    }
    if (selected || stage.kind !== 'none') return;
    const last = channels.find((channel) => channel.id === kept());
    const first = last ?? serversOf(channels)[0]?.first;
    if (!first) return;
    history.replaceState(null, '', hashOfChannel(first.id));
    this.select(first.id);
  }

  private onLeft(channelId: Id, reason: 'access_revoked' | 'channel_deleted'): void {
    if (!this.isOpen(channelId)) return;
    this.abandon();
    this.dispatch({ type: 'left', channelId, reason });
    history.replaceState(null, '', location.pathname + location.search);
  }

  private onMessage(message: Message): void {
    this.dispatch({ type: 'message', message });
    if (this.isOpen(message.channelId)) this.arrived.value = message;
  }

  private dispatch(action: Action): void {
    this.state.value = reduce(this.state.value, action);
  }
}

/** The channel that was read last, to open the page where it was left. */
function keep(id: Id): void {
  try {
    localStorage.setItem(LAST_KEY, id);
  } catch {
    // Without storage the page opens on the first channel.
  }
}

function kept(): Id | null {
  try {
    return localStorage.getItem(LAST_KEY);
  } catch {
    return null;
  }
}
