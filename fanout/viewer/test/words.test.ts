// What the page says aside from the list: announcements, and who types.
import { expect, it } from 'vitest';
import { announcementOf } from '../src/components/Announcer';
import { typingText } from '../src/components/Typing';
import type { Message } from '../src/protocol';
import { message } from './fixtures';

it('announces one message with its words, more with their number, and no spoiler', () => {
  expect(announcementOf([message(1, { content: 'the end: ||he dies||' })])).toBe('Ada: the end: spoiler');
  expect(announcementOf([message(1), message(2)])).toBe('2 new messages');
});

it('announces what a message has instead of a text, and a notice without its author', () => {
  const said = (fields: Partial<Message>) => announcementOf([message(1, { content: '', ...fields })]);
  expect(said({ poll: { question: 'Soup?' } })).toBe('Ada: a poll: Soup?');
  expect(said({ stickers: [{ id: '1', name: 'Wave', format: 'png' }] })).toBe('Ada: a sticker: Wave');
  expect(said({ forwarded: { content: 'x' } })).toBe('Ada: a forwarded message');
  expect(said({ embeds: [{ title: 'x' }] })).toBe('Ada: an embed');
  expect(said({ type: 7, content: 'Ada just showed up!' })).toBe('Ada just showed up!');
});

it('says who types', () => {
  const typist = (name: string) => ({ userId: name, name, until: 0 });
  expect(typingText([typist('Ada')])).toBe('Ada is typing…');
  expect(typingText([typist('Ada'), typist('Bo')])).toBe('Ada and Bo are typing…');
  expect(typingText(['a', 'b', 'c'].map(typist))).toBe('3 people are typing…');
});
