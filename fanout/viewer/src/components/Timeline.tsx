// The messages of a channel, oldest first. It keeps the reader's place: at the end it follows what arrives, and
// elsewhere the first visible message stays where it is, whatever is added, removed or loaded around it.
import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { dayKey, dayName } from '../format';
import { ChannelNames } from '../markdown/Markdown';
import type { Id } from '../protocol';
import { type Row, rowsOf } from '../state/rows';
import type { State } from '../state/store';
import { type MessageWindow, unseenCount } from '../state/window';
import type { Viewer } from '../viewer';
import { Icon } from './Icon';
import { MessageItem } from './MessageItem';
import { anchorOf, isAtEnd, type Place, restore } from './place';

/** Older messages are asked for this far (in pixels) before the reader reaches the top. */
const AHEAD = 900;

interface Props {
  viewer: Viewer;
  window: MessageWindow;
  older: State['older'];
  name: string;
}

export function Timeline({ viewer, window: held, older, name }: Props): VNode {
  const box = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const place = useRef<Place>({ atEnd: true });
  const lastTop = useRef(0);
  const settle = useCallback(() => {
    if (box.current) restore(box.current, place.current);
  }, []);
  useLayoutEffect(settle);
  useEffect(() => watchSize(box.current, inner.current, settle), [settle]);
  useEffect(() => watchAttention(viewer, () => place.current.atEnd), [viewer]);

  const onScroll = () => {
    const log = box.current;
    if (!log) return;
    const movedUp = log.scrollTop < lastTop.current - 1;
    lastTop.current = log.scrollTop;
    // What grew below a reader at the end (a picture came) is no movement of theirs.
    if (place.current.atEnd && !movedUp) settle();
    else place.current = isAtEnd(log) ? { atEnd: true } : anchorOf(log);
    if (!document.hidden) viewer.setFollowing(place.current.atEnd && held.skipped === 0);
    if (log.scrollTop < AHEAD && older === 'idle') void viewer.loadOlder();
  };
  const toEnd = async () => {
    await viewer.toLatest();
    place.current = { atEnd: true };
    settle();
    box.current?.focus({ preventScroll: true });
  };
  // Short pages leave nothing to scroll: fill the view first.
  useEffect(() => {
    const log = box.current;
    if (log && log.scrollHeight <= log.clientHeight && older === 'idle') void viewer.loadOlder();
  }, [viewer, older, held.messages.length]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'End' && event.key !== 'Escape') return;
    event.preventDefault();
    void toEnd();
  };
  const onJump = useCallback(
    (id: Id) => {
      if (!jumpTo(box.current, id))
        viewer.notify('info', 'That message is further back than what is loaded.');
    },
    [viewer],
  );
  const rows = useMemo(() => rowsOf(held, dayKey), [held.messages, held.seen]);
  const channels = useComputed(() => viewer.state.value.channels);
  const names = useComputed(() => new Map(channels.value?.map((channel) => [channel.id, channel.name])));
  return (
    <div class="timeline">
      <div
        ref={box}
        class="log"
        id="messages"
        role="log"
        aria-live="off"
        aria-label={`Messages in ${name}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reachable by keyboard
        tabIndex={0}
        onScroll={onScroll}
        onKeyDown={onKeyDown}
      >
        <div ref={inner} class="log-inner">
          <Beginning viewer={viewer} hasMore={held.hasMore} older={older} name={name} />
          <ChannelNames.Provider value={names}>
            {rows.map((row) => rowElement(row, onJump))}
          </ChannelNames.Provider>
        </div>
      </div>
      {!held.following && <ToLatest unseen={unseenCount(held)} onClick={() => void toEnd()} />}
    </div>
  );
}

function rowElement(row: Row, onJump: (id: Id) => void): VNode {
  switch (row.kind) {
    case 'day':
      return (
        <div key={row.key} class="day">
          <time dateTime={row.day.slice(0, 10)}>{dayName(row.day, new Date())}</time>
        </div>
      );
    case 'new':
      return (
        <div key={row.key} class="day new">
          <span>New</span>
        </div>
      );
    case 'message':
      return <MessageItem key={row.key} message={row.message} head={row.head} onJump={onJump} />;
  }
}

interface BeginningProps {
  viewer: Viewer;
  hasMore: boolean;
  older: State['older'];
  name: string;
}

function Beginning({ viewer, hasMore, older, name }: BeginningProps): VNode {
  if (!hasMore) {
    return (
      <div class="beginning">
        <h2>#{name}</h2>
        <p>This is as far back as this channel is kept here.</p>
      </div>
    );
  }
  // One button through all states, so that the focus stays on it.
  const words = {
    idle: 'Load older messages',
    loading: 'Loading older messages…',
    failed: 'Loading failed. Try again',
  };
  return (
    <div class="beginning more">
      <button
        type="button"
        class="button quiet"
        aria-disabled={older === 'loading'}
        onClick={() => void viewer.loadOlder()}
      >
        {words[older]}
      </button>
    </div>
  );
}

function ToLatest({ unseen, onClick }: { unseen: number; onClick: () => void }): VNode {
  const news = unseen === 1 ? '1 new message' : `${unseen} new messages`;
  return (
    <button type="button" class={unseen > 0 ? 'to-latest news' : 'to-latest'} onClick={onClick}>
      {unseen > 0 ? news : 'Jump to latest'}
      <Icon name="down" />
    </button>
  );
}

/** Pictures that arrive and windows that change size move the text: put the reader back. */
function watchSize(box: Element | null, inner: Element | null, settle: () => void): () => void {
  const observer = new ResizeObserver(settle);
  if (box) observer.observe(box);
  if (inner) observer.observe(inner);
  return () => observer.disconnect();
}

/** What arrives in a hidden tab is not seen, even at the end. */
function watchAttention(viewer: Viewer, isAtEndNow: () => boolean): () => void {
  const onChange = () => viewer.setFollowing(!document.hidden && isAtEndNow());
  document.addEventListener('visibilitychange', onChange);
  return () => document.removeEventListener('visibilitychange', onChange);
}

const MARK_MS = 1_600;

function jumpTo(box: HTMLElement | null, id: Id): boolean {
  const target = box?.querySelector<HTMLElement>(`[data-id="${CSS.escape(id)}"]`);
  if (!target) return false;
  target.scrollIntoView({ block: 'center' });
  target.focus({ preventScroll: true });
  target.classList.add('marked');
  setTimeout(() => target.classList.remove('marked'), MARK_MS);
  return true;
}
