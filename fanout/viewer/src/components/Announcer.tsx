// Reads new messages out, politely and not one by one in a rush. The list itself is silent (`aria-live="off"`),
// because older messages that are loaded into it are no news.
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Message } from '../protocol';
import { isNotice } from '../state/rows';
import type { Viewer } from '../viewer';

/** What arrives within this is one announcement. */
const GATHER_MS = 1_500;
const TEXT_MAX = 300;

export function Announcer({ viewer }: { viewer: Viewer }): VNode {
  const [text, setText] = useState('');
  useEffect(() => {
    let waiting: Message[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = viewer.arrived.subscribe((message) => {
      if (!message) return;
      waiting.push(message);
      timer ??= setTimeout(() => {
        setText(announcementOf(waiting));
        waiting = [];
        timer = undefined;
      }, GATHER_MS);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [viewer]);
  return (
    <div class="unseen" aria-live="polite">
      {text}
    </div>
  );
}

export function announcementOf(messages: readonly Message[]): string {
  const [only] = messages;
  if (!only) return '';
  if (messages.length > 1) return `${messages.length} new messages`;
  // A spoiler is not read out before it is opened.
  const words = only.content.replaceAll(/\|\|[^|]*\|\|/g, 'spoiler').slice(0, TEXT_MAX);
  if (words && isNotice(only)) return words;
  return `${only.author.displayName}: ${words || partOf(only)}`;
}

/** What a message has instead of a text. */
function partOf({ poll, stickers, forwarded, components, embeds }: Message): string {
  if (poll) return `a poll: ${poll.question}`;
  if (stickers?.[0]) return `a sticker: ${stickers[0].name}`;
  if (forwarded) return 'a forwarded message';
  if (components?.length) return 'a message with components';
  return embeds?.length ? 'an embed' : 'an attachment';
}
