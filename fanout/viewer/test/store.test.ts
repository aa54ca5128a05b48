// The store: only what concerns the open channel reaches the screen, and what may not be seen leaves it.
import { describe, expect, it } from 'vitest';
import { type Action, initial, reduce, type State } from '../src/state/store';
import { author, channel, message, page, range } from './fixtures';

const run = (...actions: Action[]): State => actions.reduce(reduce, initial);
const opened = (...more: Action[]): State =>
  run(
    { type: 'channels', channels: [channel('1', { name: 'general' }), channel('2')] },
    { type: 'select', id: '1' },
    { type: 'bulk', page: page(range(51, 60)) },
    ...more,
  );

describe('the open channel', () => {
  it('is loading until its page comes', () => {
    expect(run({ type: 'select', id: '1' }).stage.kind).toBe('loading');
    expect(opened().stage.kind).toBe('open');
  });

  it('ignores pages and events of other channels', () => {
    const state = opened(
      { type: 'bulk', page: page(range(1, 5), { channelId: '2' }) },
      { type: 'message', message: message(99, { channelId: '2' }) },
      { type: 'delete', channelId: '2', id: '55' },
      { type: 'viewers', channelId: '2', count: 7 },
    );
    expect(state.window?.messages).toHaveLength(10);
    expect(state.viewers).toBeNull();
  });

  it('empties at once when access is taken away', () => {
    const state = opened({ type: 'left', channelId: '1', reason: 'access_revoked' });
    expect(state.window).toBeNull();
    expect(state.selected).toBeNull();
    expect(state.stage).toEqual({ kind: 'left', reason: 'access_revoked', name: 'general' });
  });

  it('shows nothing of the channel before once another is chosen', () => {
    const state = opened({ type: 'select', id: '2' });
    expect(state.window).toBeNull();
    expect(state.stage.kind).toBe('loading');
  });

  it('drops an older page that arrives after the reader moved on', () => {
    const state = opened(
      { type: 'select', id: '2' },
      { type: 'older', page: page(range(1, 50)), before: '51' },
    );
    expect(state.window).toBeNull();
  });

  it('says why it could not be opened', () => {
    const state = run(
      { type: 'select', id: '1' },
      { type: 'failed', channelId: '1', code: 'FORBIDDEN', text: 'no' },
    );
    expect(state.stage).toEqual({ kind: 'failed', code: 'FORBIDDEN', text: 'no' });
  });
});

describe('typing', () => {
  const typist = { userId: author.id, name: 'Ada', until: 10_000 };

  it('ends with the message', () => {
    const state = opened({ type: 'typing', channelId: '1', typist });
    expect(state.typing).toHaveLength(1);
    expect(reduce(state, { type: 'message', message: message(61) }).typing).toHaveLength(0);
  });

  it('ends by itself', () => {
    const state = opened({ type: 'typing', channelId: '1', typist });
    expect(reduce(state, { type: 'tick', now: 9_999 }).typing).toHaveLength(1);
    expect(reduce(state, { type: 'tick', now: 10_000 }).typing).toHaveLength(0);
  });

  it('is not known without a link', () => {
    const state = opened({ type: 'typing', channelId: '1', typist }, { type: 'link', link: 'reconnecting' });
    expect(state.typing).toHaveLength(0);
  });
});

describe('channels', () => {
  it('a change replaces the channel, a new one is added', () => {
    const state = opened(
      { type: 'channel', channel: channel('2', { name: 'renamed' }) },
      { type: 'channel', channel: channel('3') },
    );
    expect(state.channels?.map((held) => held.name)).toEqual(['general', 'renamed', 'channel-3']);
  });
});

it('shows a bounded number of notices', () => {
  const actions = range(1, 9).map(
    (id): Action => ({ type: 'notice', notice: { id, tone: 'info', text: String(id) } }),
  );
  expect(run(...actions).notices.map((notice) => notice.id)).toEqual([7, 8, 9]);
});
