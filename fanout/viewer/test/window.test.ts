// The window on a channel's history: no doubles, no gaps, nothing deleted comes back.
import { describe, expect, it } from 'vitest';
import { compareIds } from '../src/protocol';
import * as win from '../src/state/window';
import { message, page, range } from './fixtures';

const ids = (window: win.MessageWindow) => window.messages.map((held) => Number(held.id));

describe('paging back', () => {
  it('puts an older page before what is held and moves the cursor', () => {
    const window = win.mergePage(win.openWindow(page(range(51, 100))), page(range(1, 50)), '51');
    expect(ids(window)).toEqual(range(1, 100));
    expect(window.hasMore).toBe(false);
    expect(window.cursor).toBeNull();
  });

  it('holds each message once when pages overlap', () => {
    const window = win.mergePage(win.openWindow(page(range(51, 100))), page(range(40, 60)), '61');
    expect(ids(window)).toEqual(range(40, 100));
    expect(window.cursor).toBe('40');
  });

  it('does not bring back what was deleted while the page was on its way', () => {
    const deleted = win.deleteMessage(win.openWindow(page(range(51, 100))), '30');
    expect(ids(win.mergePage(deleted, page(range(1, 50)), '51'))).not.toContain(30);
  });

  it('keeps the later edit of a message that a page shows in an older state', () => {
    const edited = message(50, { content: 'new', edited: true, editedTimestamp: '2026-01-02T00:00:00.000Z' });
    const open = win.updateMessage(win.openWindow(page(range(40, 60))), edited);
    const merged = win.mergePage(open, page(range(45, 55)), '56');
    expect(merged.messages.find((held) => held.id === '50')?.content).toBe('new');
  });
});

describe('after an interruption', () => {
  const before = win.openWindow(page(range(1, 100)));

  it('is whole at once when the newest page meets what is held, and drops what was deleted meanwhile', () => {
    const newest = page([...range(1, 50), ...range(52, 120)]);
    const window = win.resumeWindow(before, newest);
    expect(ids(window)).toEqual([...range(1, 50), ...range(52, 120)]);
    expect(window.verifiedFrom).toBeNull();
  });

  it('asks on until everything held is confirmed', () => {
    let window = win.resumeWindow(before, page(range(151, 200)));
    expect(window.verifiedFrom).toBe('151');
    window = win.mergeVerified(window, page(range(51, 150)), '151');
    expect(window.verifiedFrom).toBe('51');
    window = win.mergeVerified(window, page(range(2, 50), { hasMore: false, nextCursor: null }), '51');
    expect(ids(window)).toEqual(range(2, 200));
    expect(window.verifiedFrom).toBeNull();
    expect(window.hasMore).toBe(false);
  });

  it('leaves no gap when it gives up: what is unconfirmed goes and can be paged to', () => {
    const window = win.dropUnverified(win.resumeWindow(before, page(range(151, 200))));
    expect(ids(window)).toEqual(range(151, 200));
    expect(window.hasMore).toBe(true);
    expect(window.cursor).toBe('151');
  });

  it('keeps live messages that arrive between the pages', () => {
    let window = win.resumeWindow(before, page(range(151, 200)));
    window = win.addMessage(window, message(201));
    window = win.mergeVerified(window, page(range(51, 150)), '151');
    expect(ids(window).slice(-2)).toEqual([200, 201]);
  });
});

describe('live events', () => {
  const open = win.openWindow(page(range(10, 20)));

  it('appends a message once, however often it comes', () => {
    const window = win.addMessage(win.addMessage(open, message(21)), message(21));
    expect(ids(window)).toEqual(range(10, 21));
  });

  it('puts a late message where its id belongs', () => {
    const window = win.addMessage(win.deleteMessage(open, '12'), message(9));
    expect(ids(window)[0]).toBe(9);
  });

  it('empties the previews of replies to a deleted message', () => {
    const reply = message(21, { reply: { messageId: '15', author: null, content: 'secret' } });
    const window = win.deleteMessage(win.addMessage(open, reply), '15');
    expect(window.messages.at(-1)?.reply?.content).toBeNull();
    expect(JSON.stringify(window.messages)).not.toContain('secret');
  });

  it('ignores updates of messages that it does not hold', () => {
    expect(win.updateMessage(open, message(99))).toBe(open);
  });

  it('does not show a message whose deletion came first', () => {
    expect(ids(win.addMessage(win.deleteMessage(open, '21'), message(21)))).toEqual(range(10, 20));
  });

  it('replaces the reactions of a message', () => {
    const window = win.setReactions(open, '12', [{ emoji: 'x', count: 3 }]);
    expect(window.messages[2]?.reactions).toEqual([{ emoji: 'x', count: 3 }]);
  });
});

describe('the reader away from the end', () => {
  it('counts what arrives, and not what a page adds above', () => {
    let window = win.setFollowing(win.openWindow(page(range(51, 60))), false);
    window = win.addMessage(win.addMessage(window, message(61)), message(62));
    window = win.mergePage(window, page(range(1, 50)), '51');
    expect(win.unseenCount(window)).toBe(2);
    expect(win.unseenCount(win.setFollowing(window, true))).toBe(0);
  });

  it('is bounded: beyond the limit messages are counted and not held', () => {
    let window = win.setFollowing(win.openWindow(page(range(1, 3000))), false);
    for (const id of range(3001, 3005)) window = win.addMessage(window, message(id));
    expect(window.messages).toHaveLength(3000);
    expect(win.unseenCount(window)).toBe(5);
  });

  it('is bounded while following too: the oldest go and can be paged to', () => {
    let window = win.openWindow(page(range(1, 600)));
    window = win.addMessage(window, message(601));
    expect(window.messages).toHaveLength(400);
    expect(window.hasMore).toBe(true);
    expect(window.cursor).toBe('202');
  });
});

it('orders ids of different length by age', () => {
  expect(['100', '99', '1000', '98'].sort(compareIds)).toEqual(['98', '99', '100', '1000']);
});
