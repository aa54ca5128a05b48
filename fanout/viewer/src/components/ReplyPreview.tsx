// The line above a reply: whom and what it answers; leads there while that message is on the page.
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { Markdown } from '../markdown/Markdown';
import { parse, plain } from '../markdown/parse';
import type { Id, Mentions, Reply } from '../protocol';
import { Avatar } from './Avatar';
import { Icon } from './Icon';

const PREVIEW_MAX = 160;

/** Discord tells the one like the other. */
const GONE = 'The original message was deleted or is not known';

export function ReplyPreview({ reply, onJump }: { reply: Reply; onJump: (id: Id) => void }): VNode {
  const { author } = reply;
  const content = reply.content ?? null;
  const text = useMemo(
    () => (content === null ? null : plain(parse(content)).slice(0, PREVIEW_MAX)),
    [content],
  );
  return (
    <div class="reply">
      <span class="reply-mark">
        <Icon name="reply" />
      </span>
      {text === null ? (
        <span class="reply-gone">{GONE}</span>
      ) : (
        <button type="button" class="reply-link" onClick={() => onJump(reply.messageId)}>
          <span class="unseen">In reply to </span>
          {author && <Avatar id={author.id} name={author.displayName} url={author.avatar} small />}
          <span class="reply-author">{author?.displayName ?? 'Someone'}</span>
          <span class="reply-text">{text || 'a message without text'}</span>
        </button>
      )}
    </div>
  );
}

/** The message from which a thread was started: whole, because it stands in another channel. */
export function Starter({ reply, mentions }: { reply: Reply; mentions: Mentions | undefined }): VNode {
  const { author, content } = reply;
  return (
    <blockquote class="starter">
      {author && (
        <div class="starter-author">
          <Avatar id={author.id} name={author.displayName} url={author.avatar} small />
          {author.displayName}
        </div>
      )}
      {content == null ? <p class="reply-gone">{GONE}</p> : <Markdown text={content} mentions={mentions} />}
    </blockquote>
  );
}
