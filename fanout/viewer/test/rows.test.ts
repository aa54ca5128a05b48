// Days, groups, the mark of what is new; the channel tree; times and sizes.
import { describe, expect, it } from 'vitest';
import { retryDelay } from '../src/connection';
import { dayKey, durationOf, formatMoment, formatRelative, initialsOf, sizeOf } from '../src/format';
import { channelOfHash } from '../src/route';
import { postsOf, serversOf } from '../src/state/channels';
import { rowsOf } from '../src/state/rows';
import { addMessage, openWindow, setFollowing } from '../src/state/window';
import { isDueForRefresh, lifetimeOf } from '../src/token';
import { author, channel, message, page } from './fixtures';

const rows = (...messages: ReturnType<typeof message>[]) =>
  rowsOf(openWindow(page([], { messages })), dayKey).map((row) =>
    row.kind === 'message' ? row.head : row.kind,
  );

describe('rows', () => {
  it('groups messages of one author within minutes', () => {
    expect(rows(message(1), message(2), message(500))).toEqual(['day', true, false, true]);
  });

  it('begins a group with another author, a reply, a notice and after one', () => {
    const other = { ...author, id: '10' };
    const reply = { messageId: '1', author, content: 'x' };
    expect(rows(message(1), message(2, { author: other }), message(3, { author: other, reply }))).toEqual([
      'day',
      true,
      true,
      true,
    ]);
    expect(rows(message(1), message(2, { type: 7 }), message(3))).toEqual(['day', true, true, true]);
  });

  it('begins a group with what has a mark in its heading', () => {
    expect(rows(message(1), message(2, { pinned: true }), message(3))).toEqual(['day', true, true, false]);
    expect(rows(message(1), message(2, { crosspost: true }))).toEqual(['day', true, true]);
  });

  it('separates days', () => {
    const late = message(2, { timestamp: '2026-01-02T00:00:01.000Z' });
    expect(rows(message(1), late)).toEqual(['day', true, 'day', true]);
  });

  it('marks the first message that arrived while the reader was away', () => {
    const away = setFollowing(openWindow(page([1, 2])), false);
    const kinds = rowsOf(addMessage(away, message(3)), dayKey).map((row) => row.kind);
    expect(kinds).toEqual(['day', 'message', 'message', 'new', 'message']);
  });
});

describe('the channel tree', () => {
  const channels = [
    channel('4', { type: 'voice', position: 0 }),
    channel('2', { position: 2, parentId: '77' }),
    channel('1', { position: 1 }),
    channel('8', { type: 'forum', position: 3, parentId: '77' }),
    channel('10', { type: 'thread', parentId: '8' }),
    channel('11', { type: 'thread', parentId: '8' }),
    channel('12', { type: 'thread', parentId: '404' }),
    channel('30', { serverId: '6', serverName: 'Other' }),
  ];

  it('has servers, groups by category, threads under their parent, and loses no channel', () => {
    const [server, other] = serversOf(channels);
    expect(server?.groups.map((group) => group.channels.map((node) => node.channel.id))).toEqual([
      ['1', '4'],
      ['2', '8'],
      ['12'],
    ]);
    expect(server?.groups[1]?.channels[1]?.children.map((child) => child.id)).toEqual(['11', '10']);
    expect(server?.first?.id).toBe('1');
    expect(other?.name).toBe('Other');
  });

  it('lists the posts of a forum, newest first', () => {
    expect(postsOf(channels, '8').map((post) => post.id)).toEqual(['11', '10']);
  });
});

describe('words and numbers', () => {
  it('tells sizes, initials and relative times', () => {
    expect([0, 999, 1500, 25_400_000].map(sizeOf)).toEqual(['0 B', '999 B', '1.5 kB', '25 MB']);
    expect(['Ada Lovelace', "Farid's den", '…', '東京'].map(initialsOf)).toEqual(['AL', 'FD', '?', '東']);
    expect(formatRelative(new Date(3_600_000), 0)).toBe('in 1 hour');
    expect(formatRelative(new Date(0), 120_000)).toBe('2 minutes ago');
    expect([3.4, 75, 3_725, -1].map(durationOf)).toEqual(['0:03', '1:15', '1:02:05', '0:00']);
    expect(formatMoment(new Date('x'), 'f')).toBe('unknown time');
  });

  it('takes a channel from the address and nothing else', () => {
    expect(channelOfHash('#/channel/123')).toBe('123');
    for (const hash of ['', '#token=x', '#/channel/', '#/channel/1x', '#/channel/1/../2']) {
      expect(channelOfHash(hash)).toBeNull();
    }
  });

  it('refreshes a token in the last tenth of its life', () => {
    const claims = btoa(JSON.stringify({ iat: 1000, exp: 2000 }));
    const life = lifetimeOf(`h.${claims}.s`);
    expect(life).toEqual({ issued: 1_000_000, expires: 2_000_000 });
    expect(life && isDueForRefresh(life, 1_899_999)).toBe(false);
    expect(life && isDueForRefresh(life, 1_900_001)).toBe(true);
    expect(['', 'a.b.c', `h.${btoa('null')}.s`, 'h..s'].map(lifetimeOf)).toEqual([null, null, null, null]);
  });

  it('asks again no earlier than a limit says, and not at all where it changes nothing', () => {
    const wait = retryDelay('RATE_LIMITED', 3, 0) ?? 0;
    expect(wait).toBeGreaterThanOrEqual(3000);
    expect(wait).toBeLessThanOrEqual(3750);
    expect(retryDelay('UNAVAILABLE', undefined, 0)).toBeLessThanOrEqual(1250);
    expect(retryDelay('UNAVAILABLE', undefined, 5)).toBeNull();
    expect(retryDelay('FORBIDDEN', undefined, 0)).toBeNull();
  });
});
