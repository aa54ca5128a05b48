// Stickers, polls, forwards, components and system messages, in the shapes that may come.
import { describe, expect, it } from 'vitest';
import { announcementOf } from '../src/components/Announcer';
import { typingText } from '../src/components/Typing';
import { componentsOf, forwardedOf, pollOf, stickersOf, systemText } from '../src/state/extras';
import { message } from './fixtures';

describe('polls', () => {
  it("are read in Discord's shape", () => {
    const poll = pollOf(
      message(1, {
        poll: {
          question: { text: 'Soup?' },
          answers: [{ answer_id: 1, poll_media: { text: 'Yes', emoji: { name: '🥣' } } }],
          results: { is_finalized: true, answer_counts: [{ id: 1, count: 4 }] },
        },
      }),
    );
    expect(poll).toEqual({
      question: 'Soup?',
      answers: [{ text: 'Yes', emoji: '🥣', votes: 4 }],
      finished: true,
    });
  });

  it('are read in a plain shape', () => {
    const poll = pollOf(message(1, { poll: { question: 'Soup?', answers: [{ text: 'Yes', count: 2 }] } }));
    expect(poll?.answers).toEqual([{ text: 'Yes', emoji: '', votes: 2 }]);
  });
});

it('components become lines, never nothing', () => {
  const lines = componentsOf([
    {
      type: 17,
      components: [
        { type: 10, content: 'Words' },
        {
          type: 9,
          components: [{ type: 10, content: 'Aside' }],
          accessory: { type: 11, media: { url: 'https://x/y.png' } },
        },
        { type: 12, items: [{ media: { url: 'https://x/z.png' }, description: 'A boat' }] },
        {
          type: 1,
          components: [
            { type: 2, label: 'Go', url: 'https://x' },
            { type: 3, placeholder: 'Pick' },
          ],
        },
      ],
    },
    'plain',
  ]);
  expect(lines.map((line) => [line.kind, line.text])).toEqual([
    ['text', 'Words'],
    ['text', 'Aside'],
    ['media', 'https://x/y.png'],
    ['media', 'A boat'],
    ['control', 'Go'],
    ['control', 'Pick'],
    ['text', 'plain'],
  ]);
});

it.each([null, undefined, 1, 'x', [], {}, [null], [[[[]]]], { components: { components: 1 } }])(
  'odd shapes (%j) do no harm',
  (odd) => {
    const strange = message(1, { poll: odd, stickers: odd, forwarded: odd, components: odd });
    expect(() => [
      pollOf(strange),
      stickersOf(strange),
      forwardedOf(strange),
      componentsOf(odd),
    ]).not.toThrow();
  },
);

it('endless nesting of components ends', () => {
  const loop: Record<string, unknown> = {};
  loop.components = [loop];
  expect(componentsOf(loop)).toEqual([]);
});

it('forwards are read from a snapshot', () => {
  const forwarded = {
    message: { content: 'words', attachments: [{ id: '1', filename: 'a.png', url: 'https://x/a.png' }] },
  };
  expect(forwardedOf(message(1, { forwarded: [forwarded] }))?.attachments[0]?.filename).toBe('a.png');
  expect(forwardedOf(message(1, { forwarded: forwarded.message }))?.content).toBe('words');
});

it('system messages are sentences', () => {
  expect(systemText(message(1, { type: 7 }))).toBe('Ada joined the server.');
  expect(systemText(message(1))).toBeNull();
});

it('announces one message with its words, more with their number, and no spoiler', () => {
  expect(announcementOf([message(1, { content: 'the end: ||he dies||' })])).toBe('Ada: the end: spoiler');
  expect(announcementOf([message(1), message(2)])).toBe('2 new messages');
});

it('says who types', () => {
  const typist = (name: string) => ({ userId: name, name, until: 0 });
  expect(typingText([typist('Ada')])).toBe('Ada is typing…');
  expect(typingText([typist('Ada'), typist('Bo')])).toBe('Ada and Bo are typing…');
  expect(typingText(['a', 'b', 'c'].map(typist))).toBe('3 people are typing…');
});
