"""The scenario of `echo.mjs` for python-socketio's clients, with what their interface has."""

import json
import sys
import traceback

import socketio
from clients import TRANSPORTS, Client, equal, settings

KIND = settings['client']
PINGS = 3
IN_A_ROW = 200

AUTH = {'token': 'a.b.c', 'é€': '😀\u2028', 'deep': {'list': [1, None]}}
TEXT = 'é € 😀 \u2028 \u2029 "quoted" \\ / \u001e \u007f 42["x"] 👩‍👩‍👧‍👦'
LARGE = f'{TEXT}|' * (100 * 1024 // len(f'{TEXT}|'.encode()) + 1)


def octets(length):
    return bytes(n * 7 % 256 for n in range(length))


PLAIN = [
    [], [1], ['text', 2, True, None], [TEXT, [TEXT], {TEXT: TEXT}], ['', {}, []], [0, -1.5, 2 ** 53 - 1, 1e-7],
    [{'a': {'b': [{'c': []}, 'd']}}, [[['deep']]]], ['_placeholder', {'_placeholder': False, 'num': 0}],
]
BINARY = [
    [octets(5)], [octets(0)], [octets(256), 'text', octets(1)],
    [{'nested': {'list': [octets(3), {'more': octets(4)}]}}, TEXT],
    # An answer has one more: ten, the most that the official parser takes in one packet.
    [[octets(n + 1) for n in range(9)]], [octets(100 * 1024)],
]
ANSWER = ['answer', octets(6)]


def echoes(client, namespace, table):
    for args in table:
        number = len(client.all('message-back', namespace))
        client.emit(namespace, 'message', *args)
        equal(client.nth(namespace, 'message-back', number), args, 'message-back')


def acknowledgements(client, namespace, table):
    for args in table:
        answer = client.ask(namespace, 'message-with-ack', *args)
        seen = [] if not args else [answer] if len(args) == 1 else list(answer)
        equal(seen, args, 'message-with-ack')


def questions(client, namespace, table):
    """The server asks, the client's acknowledgement is the answer, and the server tells what it heard."""
    client.answer = lambda *asked: (*asked, *ANSWER)
    for args in table:
        number = len(client.all('answered', namespace))
        client.emit(namespace, 'ask', *args)
        equal(client.nth(namespace, 'answered', number), [*args, *ANSWER], 'answered')


def in_a_row(client, namespace):
    number = len(client.all('message-back', namespace))
    sent = [[n, octets(n)] if n % 10 == 3 else [n] for n in range(IN_A_ROW)]
    for args in sent:
        client.emit(namespace, 'message', *args)
    client.nth(namespace, 'message-back', number + IN_A_ROW - 1)
    equal(client.all('message-back', namespace)[number:], sent, 'each once, in order')


def everything(client, namespace):
    in_a_row(client, namespace)
    echoes(client, namespace, [*PLAIN, [LARGE], [{'large': LARGE}, LARGE], *BINARY])
    acknowledgements(client, namespace, [*PLAIN, *BINARY, [LARGE]])
    questions(client, namespace, [*PLAIN, *BINARY, [LARGE]])


def greeted(client, times):
    for namespace in ['/', '/custom']:
        client.until(lambda: len(client.all('connect', namespace)) == times, f'{namespace} connected {times} times')
        equal(client.nth(namespace, 'auth', times - 1), [AUTH], 'auth')


def refusal(transport):
    client = Client(KIND, transport, ['/', '/unknown'], [])
    try:
        client.connect(settings['url'], AUTH)
    except socketio.exceptions.ConnectionError as error:
        equal(str(error), 'One or more namespaces failed to connect: /unknown')
    else:
        raise AssertionError('an unknown namespace is refused')
    equal(client.all('connect_error', '/unknown'), [[{'message': 'Invalid namespace'}]], 'connect_error')
    equal(len(client.all('connect', '/')), 1, 'the other namespace is connected')


def comes_back(client, carrier):
    """The client that goes on, and how often it has connected."""
    before = client.own.eio.sid
    client.emit('/', 'drop')
    [reason] = client.nth('/', 'disconnect', 0)
    times = 2
    if reason == 'server disconnect':
        # A CLOSE packet, which only polling knows, is the one end after which this client stays away. Its loops
        # are not over then, so that the same object, connected at once, would send by two of them and in any order.
        equal(carrier, 'polling')
        client, times = fresh(carrier), 1
        client.connect(settings['url'], AUTH)
    greeted(client, times)
    assert client.own.eio.sid != before, 'a new connection'
    equal(client.carrier(), carrier)
    everything(client, '/')
    echoes(client, '/custom', [[TEXT], BINARY[3]])
    return client


def stays_away(client):
    for namespace in ['/custom', '/']:
        number = len(client.all('disconnect', namespace))
        client.emit(namespace, 'bye')
        equal(client.nth(namespace, 'disconnect', number), ['server disconnect'])
        if namespace == '/custom':
            echoes(client, '/', [['after the server sent the other away']])
    client.until(lambda: client.own.eio.state == 'disconnected', 'the end of an empty connection')
    assert client.own._reconnect_task is None, 'it does not come back by itself'
    client.connect(settings['url'], AUTH, ['/'])
    echoes(client, '/', [['asked to come back']])


def fresh(transport):
    return Client(KIND, transport, ['/', '/custom'], ['auth', 'message-back', 'question', 'answered'],
                  reconnection_delay=0.02)


def scenario(transport):
    carrier = 'polling' if transport == 'polling' else 'websocket'
    client = fresh(transport)
    client.connect(settings['url'], AUTH)
    greeted(client, 1)
    equal(client.carrier(), carrier)
    everything(client, '/')
    everything(client, '/custom')
    refusal(transport)
    pings = client.pings
    client.until(lambda: client.pings >= pings + PINGS, f'{PINGS} pings')
    client = comes_back(client, carrier)
    stays_away(client)
    client.do('disconnect')


passed = 0
for transport in TRANSPORTS:
    try:
        scenario(transport)
        passed += 1
    except Exception:
        print(f'{KIND} by {transport}:', file=sys.stderr)
        traceback.print_exc()
print(json.dumps({'client': KIND, 'passed': passed}))
sys.exit(0 if passed == len(TRANSPORTS) else 1)
