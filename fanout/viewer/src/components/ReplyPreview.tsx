// The line above a reply: whom and what it answers; leads there while that message is on the page.
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import type { Node } from '../markdown/parse';
import { parse } from '../markdown/parse';
import type { Id, Reply } from '../protocol';
import { Avatar } from './Avatar';
import { Icon } from './Icon';

const PREVIEW_MAX = 160;

export function ReplyPreview({ reply, onJump }: { reply: Reply; onJump: (id: Id) => void }): VNode {
  const { author, content } = reply;
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
        <span class="reply-gone">The original message was deleted</span>
      ) : (
        <button type="button" class="reply-link" onClick={() => onJump(reply.messageId)}>
          <span class="unseen">In reply to </span>
          {author && <Avatar id={author.id} name={author.displayName} url={author.avatar} small />}
          <span class="reply-author">{author?.displayName ?? 'Someone'}</span>
          <span class="reply-text">{text || 'an attachment'}</span>
        </button>
      )}
    </div>
  );
}

/** Words alone: a spoiler stays covered, a mention shows that somebody is meant. */
function plain(nodes: Node['content']): string {
  if (typeof nodes === 'string') return nodes;
  return (nodes ?? [])
    .map((node) => {
      if (node.type === 'spoiler') return '▇▇▇';
      if (node.type === 'br') return ' ';
      if (node.type === 'emoji') return `:${node.name}:`;
      if (node.type === 'twemoji') return String(node.name);
      if (node.type === 'user' || node.type === 'role') return '@…';
      if (node.type === 'channel') return '#…';
      return plain(node.content);
    })
    .join('')
    .replace(/\s+/g, ' ');
}
