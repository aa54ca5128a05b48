// One message: who and when (the first of a group), what it answers, its text and everything attached to it.
import type { VNode } from 'preact';
import { timeOf } from '../format';
import { Markdown } from '../markdown/Markdown';
import type { Id, Message } from '../protocol';
import { isNotice } from '../state/rows';
import { Attachments } from './Attachments';
import { Avatar } from './Avatar';
import { Components } from './Components';
import { Embeds } from './Embeds';
import { ForwardedMessage } from './Forwarded';
import { Guard } from './Guard';
import { Icon, type IconName } from './Icon';
import { memo } from './memo';
import { PollView } from './Poll';
import { Reactions } from './Reactions';
import { ReplyPreview, Starter } from './ReplyPreview';
import { Stickers } from './Stickers';
import { EditedMark, Time } from './Time';

/** The first message of a thread. */
const STARTER = 21;

interface Props {
  message: Message;
  head: boolean;
  onJump: (id: Id) => void;
}

export const MessageItem = memo(function MessageItem({ message, head, onJump }: Props): VNode {
  const { author, reply } = message;
  const notice = isNotice(message);
  const time = timeOf(message.timestamp);
  return (
    <article
      class={`message${head ? ' head' : ''}${notice ? ' system' : ''}`}
      data-id={message.id}
      tabIndex={-1}
      aria-label={`${author.displayName}, ${time}`}
    >
      {reply && message.type !== STARTER && (
        <Guard of={reply}>
          <ReplyPreview reply={reply} onJump={onJump} />
        </Guard>
      )}
      <div class="gutter">
        {notice ? (
          <Icon name={iconOf(message)} />
        ) : head ? (
          <HeadAvatar message={message} />
        ) : (
          <Time iso={message.timestamp} />
        )}
      </div>
      <div class="body">
        <Guard of={message}>
          {head && !notice && <Byline message={message} />}
          {notice ? <Notice message={message} /> : <Text message={message} />}
        </Guard>
        <Guard of={message}>
          <Rest message={message} />
        </Guard>
      </div>
    </article>
  );
});

/** The server says in `content` what happened. */
function Notice({ message }: { message: Message }): VNode {
  return (
    <>
      <div class="system-text">
        <Markdown text={message.content || '[A message of the server]'} mentions={message.mentions} />{' '}
        <Time iso={message.timestamp} />
      </div>
      {message.type === STARTER && message.reply && (
        <Starter reply={message.reply} mentions={message.mentions} />
      )}
    </>
  );
}

/** https://docs.discord.com/developers/resources/message#message-object-message-types */
const ICONS: [IconName, number[]][] = [
  ['pin', [6]],
  ['announcement', [12]],
  ['warn', [14, 16, 17, 24, 36, 37, 38, 39]],
  ['thread', [18, STARTER]],
  ['voice', [3, 27, 28, 29, 30, 31]],
];

function iconOf({ type = 0 }: Message): IconName {
  return ICONS.find(([, types]) => types.includes(type))?.[0] ?? 'arrow';
}

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
      {(author.bot || message.webhook) && <span class="tag">{message.webhook ? 'webhook' : 'bot'}</span>}
      {message.crosspost && (
        <span class="tag" title="From a channel that this one follows">
          followed
        </span>
      )}
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

function Text({ message }: { message: Message }): VNode | null {
  if (!message.content && !message.edited) return null;
  return (
    <div class="text">
      <Markdown text={message.content} mentions={message.mentions} jumbo />
      {message.edited && <EditedMark iso={message.editedTimestamp} />}
    </div>
  );
}

/** What hangs below the text. */
function Rest({ message }: { message: Message }): VNode {
  const { content, mentions, forwarded, poll } = message;
  return (
    <>
      {forwarded && <ForwardedMessage forwarded={forwarded} />}
      <Attachments attachments={message.attachments} />
      <Embeds embeds={message.embeds} mentions={mentions} text={content} />
      <Components components={message.components} mentions={mentions} />
      <Stickers stickers={message.stickers} />
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
