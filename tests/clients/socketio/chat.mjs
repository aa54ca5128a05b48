// Two people in the chat of the package's page: both hear both, each word is acknowledged, and a stranger stays out.
import assert from 'node:assert/strict';
import { Recorder, settings } from '../lib.mjs';

const enter = (auth) => new Recorder(settings.url, auth, { namespace: '/' });
const stranger = enter({});
const [, message] = await stranger.first('connect_error');
assert.equal(message, 'who are you?');

const names = ['Ada', 'Grace'];
const people = names.map((name) => enter({ name }));
for (const person of people) await person.first('connect');
for (const [n, person] of people.entries()) {
  assert.equal(await person.ask('say', `word ${n}`), true);
  for (const other of people) {
    await other.first(([event, name, text]) => event === 'said' && name === names[n] && text === `word ${n}`, 'the word');
  }
}
const heard = people.map((person) => person.all('said').map(([name]) => name));
assert.deepEqual(heard[0], heard[1]);
for (const one of [stranger, ...people]) one.close();
console.log(JSON.stringify({ heard: heard[0] }));
