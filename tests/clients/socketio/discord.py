"""python-socketio's clients watch one channel through the load balancer while all connections are cut: they join again
and turn pages until they meet what they have, and end up with every message."""

import base64
import hashlib
import hmac
import json
import re
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import socketio
from clients import TRANSPORTS, Client, equal, settings

COUNT = settings['count']
NAMESPACE = '/discord'
# Fewer than come while a client is away, so that it has to turn pages.
PAGE = 10
AWAY = 0.3
CUT, CUT_AGAIN = COUNT // 10, 5 * COUNT // 10


def token(member):
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b'=')
    claims = {'discord_id': member['id'], 'username': member['username'], 'exp': int(time.time()) + 3600}
    signed = b'.'.join(part(json.dumps(one).encode()) for one in [{'alg': 'HS256', 'typ': 'JWT'}, claims])
    return (signed + b'.' + part(hmac.digest(settings['secret'].encode(), signed, hashlib.sha256))).decode()


def number(message):
    found = re.match(r'n=(\d+);', message['content'])
    return int(found[1]) if found else 0


class Watcher:
    """One client on its way through the cuts."""

    def __init__(self, kind, transport, member):
        self.title = f'{kind} by {transport}'
        self.kind, self.transport, self.member = kind, transport, member
        self.seen = set()
        self.pages = 0

    def refusal(self):
        refused = Client(self.kind, self.transport, [NAMESPACE], [])
        try:
            refused.connect(settings['page'], {'token': 'garbage'})
        except socketio.exceptions.ConnectionError:
            equal(refused.all('connect_error'), [[{
                'message': 'Invalid authentication token', 'data': {'code': 'AUTH_INVALID'},
            }]], 'connect_error')
        else:
            raise AssertionError('a bad token is refused')

    def join(self):
        self.refusal()
        self.client = Client(self.kind, self.transport, [NAMESPACE], ['user_info', 'messages_bulk', 'message'],
                             reconnection_delay=AWAY, reconnection_delay_max=AWAY)
        self.client.connect(settings['page'], {'token': token(self.member)})
        self.page()

    def page(self):
        """Joins, and turns pages until it meets what it has."""
        self.seen.update(number(message) for message, _ in self.client.all('message'))
        known = max(self.seen, default=0)
        bulks = len(self.client.all('messages_bulk'))
        joined = self.client.ask(NAMESPACE, 'join_channel', {'channelId': settings['channel'], 'limit': PAGE})
        equal(joined, {'success': True, 'channelId': settings['channel']}, 'join_channel')
        pages = self.client.all('messages_bulk')
        equal(len(pages), bulks + 1, 'one page, before the acknowledgement')
        page = pages[-1][0]
        while True:
            numbers = [number(message) for message in page['messages']]
            self.seen.update(numbers)
            if known == 0 or not page['hasMore'] or min(numbers) <= known:
                return
            page = self.client.ask(NAMESPACE, 'get_messages', {
                'channelId': settings['channel'], 'before': page['nextCursor'], 'limit': PAGE,
            })
            assert page['success'], page
            self.pages += 1

    def newest(self, wanted):
        def is_there():
            messages = self.client.all('message')
            return messages and number(messages[-1][0]) >= wanted
        self.client.until(is_there, f'message {wanted}')

    def comes_back(self, connects, wanted):
        self.client.until(lambda: len(self.client.all('user_info')) == connects, f'connection {connects}')
        self.page()
        self.newest(wanted)

    def is_away(self, times):
        self.client.until(lambda: len(self.client.all('disconnect')) == times, f'end {times}')

    def end(self):
        self.comes_back(3, COUNT)
        before = 0
        for _, name, args in self.client.events:
            if name == 'connect':
                before = 0
            if name == 'message':
                now = number(args[0])
                assert now > before, f'on one connection {now} comes after {before}'
                self.seen.add(now)
                before = now
        equal(sorted(self.seen - {0}), list(range(1, COUNT + 1)), 'nothing is missing')
        equal(self.client.carrier(), 'polling' if self.transport == 'polling' else 'websocket')
        self.client.do('disconnect')


humans = [one for one in settings['world']['guilds'][0]['members'] if not one['bot']]
kinds = [(kind, transport) for kind in ['sync', 'asyncio'] for transport in TRANSPORTS]
watchers = [Watcher(*kind, humans[index % len(humans)]) for index, kind in enumerate(kinds)]
going = watchers
failed = 0
pool = ThreadPoolExecutor(len(watchers))


def each(step):
    """Does it with all that have not failed yet."""
    global going, failed
    passed = []
    for watcher, done in [(one, pool.submit(step, one)) for one in going]:
        try:
            done.result()
            passed.append(watcher)
        except Exception:
            failed += 1
            print(f'{watcher.title}:', file=sys.stderr)
            traceback.print_exc()
    going = passed


each(Watcher.join)
print('all have joined')
each(lambda one: one.newest(CUT))
print('cut 1')
each(lambda one: one.is_away(1))
print('mend 1')
each(lambda one: one.comes_back(2, CUT_AGAIN))
print('cut 2')
each(lambda one: one.is_away(2))
print('mend 2')
each(Watcher.end)
print(json.dumps({
    'watchers': len(watchers), 'passed': len(going), 'returns': 2 * len(going), 'pages': sum(one.pages for one in watchers),
}))
sys.exit(1 if failed else 0)
