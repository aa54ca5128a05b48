// Why there are no messages to see: still loading, a forum, nothing there, no longer allowed, or a failure.
import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import type { Channel } from '../protocol';
import { hashOfChannel } from '../route';
import { postsOf } from '../state/channels';
import type { Stage } from '../state/store';
import type { Viewer } from '../viewer';
import { Icon } from './Icon';

export function Empty({ viewer, channel }: { viewer: Viewer; channel: Channel | null }): VNode {
  const stage = useComputed(() => viewer.state.value.stage).value;
  const channels = useComputed(() => viewer.state.value.channels).value;
  if (stage.kind === 'open' && channel?.type === 'forum') {
    return <Posts forum={channel} posts={postsOf(channels ?? [], channel.id)} />;
  }
  if (stage.kind === 'loading') return <Loading />;
  const { title, text } = wordsOf(stage, channels?.length === 0);
  return (
    <div class="empty" id="messages" tabIndex={-1}>
      <h2>{title}</h2>
      <p>{text}</p>
      {stage.kind === 'failed' && stage.code !== 'FORBIDDEN' && (
        <button type="button" class="button" onClick={() => viewer.retry()}>
          Try again
        </button>
      )}
    </div>
  );
}

function wordsOf(stage: Stage, isNothingVisible: boolean): { title: string; text: string } {
  if (stage.kind === 'open')
    return { title: 'No messages yet', text: 'What is written here will appear at once.' };
  if (stage.kind === 'left') {
    return stage.reason === 'channel_deleted'
      ? { title: 'This channel was deleted', text: `#${stage.name} no longer exists in Discord.` }
      : {
          title: 'You no longer have access',
          text: `Your access to #${stage.name} was taken away in Discord.`,
        };
  }
  if (stage.kind === 'failed') {
    return stage.code === 'FORBIDDEN'
      ? { title: 'Not available', text: 'This channel does not exist, or you may not see it.' }
      : { title: 'The channel could not be opened', text: stage.text || 'Please try again in a moment.' };
  }
  if (isNothingVisible) {
    return {
      title: 'Nothing to read here',
      text: 'None of the servers shown here has a channel that you can see.',
    };
  }
  return { title: 'Choose a channel', text: 'The list on the left has the channels that you can see.' };
}

function Posts({ forum, posts }: { forum: Channel; posts: Channel[] }): VNode {
  return (
    <section class="posts" id="messages" tabIndex={-1} aria-label={`Posts in ${forum.name}`}>
      {posts.length === 0 && <p>No posts yet.</p>}
      <ul>
        {posts.map((post) => (
          <li key={post.id}>
            <a class="post" href={hashOfChannel(post.id)}>
              <Icon name="thread" />
              <span>{post.name}</span>
              {!post.isActive && <span class="channel-tag">archived</span>}
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Loading(): VNode {
  return (
    <div class="loading" id="messages" tabIndex={-1} role="status" aria-label="Loading messages">
      {[66, 44, 70, 52, 61].map((width) => (
        <div key={width} class="ghost" aria-hidden="true">
          <div class="bone square" />
          <div class="bone w44" />
          <div class={`bone w${width}`} />
        </div>
      ))}
    </div>
  );
}
