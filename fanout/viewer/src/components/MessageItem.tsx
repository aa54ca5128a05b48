// One message: who and when (the first of a group), what it answers, its text and everything attached to it.
import type { VNode } from 'preact';
import { momentOf, timeOf } from '../format';
import { Markdown } from '../markdown/Markdown';
import type { Id, Message } from '../protocol';
import { componentsOf, forwardedOf, pollOf, stickersOf, systemText } from '../state/extras';
import { isNotice } from '../state/rows';
import { Attachments } from './Attachments';
import { Avatar } from './Avatar';
import { Embeds } from './Embeds';
import { Components, ForwardedMessage, PollView, Stickers } from './Extras';
import { Icon } from './Icon';
import { memo } from './memo';
import { Reactions } from './Reactions';
import { ReplyPreview } from './ReplyPreview';

interface Props {
  message: Message;
  head: boolean;
  onJump: (id: Id) => void;
}

export const MessageItem = memo(function MessageItem({ message, head, onJump }: Props): VNode {
  const { author } = message;
  const notice = isNotice(message) ? systemText(message) : null;
  const time = timeOf(message.timestamp);
  return (
    <article
      class={`message${head ? ' head' : ''}${notice ? ' system' : ''}`}
      data-id={message.id}
      tabIndex={-1}
      aria-label={`${author.displayName}, ${time}`}
    >
      {message.reply && <ReplyPreview reply={message.reply} onJump={onJump} />}
      <div class="gutter">
        {notice ? (
          <Icon name="arrow" />
        ) : head ? (
          <HeadAvatar message={message} />
        ) : (
          <Time iso={message.timestamp} />
        )}
      </div>
      <div class="body">
        {head && !notice && <Byline message={message} />}
        {notice ? (
          <p class="system-text">
            {notice} <Time iso={message.timestamp} />
          </p>
        ) : (
          <Text message={message} />
        )}
        <Rest message={message} />
      </div>
    </article>
  );
});

function HeadAvatar({ message: { author } }: { message: Message }): VNode {
  return <Avatar id={author.id} name={author.displayName} url={author.avatar} />;
}

function Byline({ message }: { message: Message }): VNode {
  const { author } = message;
  return (
    <div class="byline">
      <span class="author" title={`@${author.username}`}>
        {author.displayName}
      </span>
      {(author.bot || message.webhook) && <span class="tag">{message.webhook ? 'hook' : 'bot'}</span>}
      <Time iso={message.timestamp} />
      {message.pinned && (
        <span class="pinned" title="Pinned">
          <Icon name="pin" />
          <span class="unseen">pinned</span>
        </span>
      )}
    </div>
  );
}

function Time({ iso }: { iso: string }): VNode {
  return (
    <time class="time" dateTime={iso} title={momentOf(iso)}>
      {timeOf(iso)}
    </time>
  );
}

function Text({ message }: { message: Message }): VNode | null {
  if (!message.content && !message.edited) return null;
  return (
    <div class="text">
      <Markdown text={message.content} mentions={message.mentions} jumbo />
      {message.edited && (
        <time
          class="edited"
          dateTime={message.editedTimestamp ?? undefined}
          title={message.editedTimestamp ? `Edited ${momentOf(message.editedTimestamp)}` : undefined}
        >
          {message.editedTimestamp ? `edited ${timeOf(message.editedTimestamp)}` : 'edited'}
        </time>
      )}
    </div>
  );
}

/** What hangs below the text. */
function Rest({ message }: { message: Message }): VNode {
  const forwarded = forwardedOf(message);
  const poll = pollOf(message);
  return (
    <>
      {forwarded && <ForwardedMessage forwarded={forwarded} />}
      <Attachments attachments={message.attachments} />
      <Embeds embeds={message.embeds} mentions={message.mentions} />
      <Components
        lines={message.components ? componentsOf(message.components) : []}
        mentions={message.mentions}
      />
      <Stickers stickers={stickersOf(message)} />
      {poll && <PollView poll={poll} />}
      {message.threadId && (
        <a class="thread-link" href={`#/channel/${message.threadId}`}>
          <Icon name="thread" />
          Open the thread
        </a>
      )}
      <Reactions reactions={message.reactions} />
    </>
  );
}
