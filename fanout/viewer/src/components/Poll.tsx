// A poll: what is asked, the answers with the votes that are known, and until when. This page can't vote.
import type { VNode } from 'preact';
import { useId } from 'preact/hooks';
import { listOf, type Poll, type PollAnswer } from '../protocol';
import { EmojiView } from './EmojiView';
import { now, Timestamp } from './Timestamp';

/** The width of a bar in CSS pixels; the same number is in poll.css. */
const BAR = 90;

export function PollView({ poll }: { poll: Poll }): VNode {
  const id = useId();
  const answers = listOf(poll.answers);
  const total = answers.reduce((sum, answer) => sum + (answer.votes ?? 0), 0);
  return (
    <section class="poll" aria-labelledby={id}>
      <p class="poll-question" id={id}>
        <span class="unseen">Poll: </span>
        {poll.question || '[A poll without a question]'}
      </p>
      {poll.multiselect && !poll.finalized && <p class="poll-state">Several answers may be chosen</p>}
      {answers.length > 0 && (
        <ul aria-label="Answers">
          {answers.map((answer) => (
            <Answer key={answer.id} answer={answer} total={total} />
          ))}
        </ul>
      )}
      <p class="poll-state">
        <State poll={poll} />
      </p>
    </section>
  );
}

function Answer({ answer, total }: { answer: PollAnswer; total: number }): VNode {
  const { text, emoji, votes } = answer;
  return (
    <li>
      <span class="poll-answer">
        {emoji && <EmojiView emoji={emoji} />} {text}
      </span>
      {typeof votes === 'number' && (
        <>
          <Bar share={votes / Math.max(total, 1)} />
          <span class="poll-votes">
            {votes}
            <span class="unseen"> {votes === 1 ? 'vote' : 'votes'}</span>
          </span>
        </>
      )}
    </li>
  );
}

/** The number beside it says the same. */
function Bar({ share }: { share: number }): VNode {
  return (
    <svg class="poll-bar" viewBox={`0 0 ${BAR} 6`} aria-hidden="true">
      <rect width={Math.round(share * BAR)} height={6} rx={3} />
    </svg>
  );
}

function State({ poll }: { poll: Poll }): VNode {
  if (poll.finalized) return <>Poll ended</>;
  const expires = Date.parse(poll.expiresAt ?? '');
  if (Number.isNaN(expires)) return <>Poll without an end</>;
  // Discord counts for a while after the end, and its last word may not have come.
  if (expires <= now.value) return <>Poll ended, the final votes are not known</>;
  return (
    <>
      Ends <Timestamp seconds={expires / 1000} format="f" />
    </>
  );
}
