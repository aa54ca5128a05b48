"""python-socketio's two clients, made to look alike: both are driven by plain calls, and record what they hear."""

import asyncio
import faulthandler
import json
import queue
import sys
import threading
import time

import engineio.payload
import socketio

settings = json.loads(sys.argv[1])

TRANSPORTS = {'polling': ['polling'], 'websocket': ['websocket'], 'upgrade': ['polling', 'websocket']}
PATIENCE = 30

# Nothing here waits without a bound; this one is for the clients' own threads, and says where they stand.
faulthandler.dump_traceback_later(170, exit=True)

# The clients end a connection whose poll brings more packets than this, 16 unless a test says otherwise.
engineio.payload.Payload.max_decode_packets = settings.get('packets', 16)

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def in_order(client):
    """The threaded client starts a thread for each packet, and nothing keeps them in order: here one thread takes all."""
    packets = queue.SimpleQueue()
    start = client.eio.start_background_task

    def started(target, *args, **options):
        if target == client.eio.handlers['message']:
            return packets.put((target, args))
        return start(target, *args, **options)

    def handle():
        while True:
            target, args = packets.get()
            target(*args)

    client.eio.start_background_task = started
    threading.Thread(target=handle, daemon=True).start()


class Client:
    """One client: `sync` or `asyncio`."""

    def __init__(self, kind, transport, namespaces, names, **options):
        self.transports = TRANSPORTS[transport]
        self.is_threaded = kind == 'sync'
        self.own = (socketio.Client if self.is_threaded else socketio.AsyncClient)(randomization_factor=0, **options)
        if self.is_threaded:
            in_order(self.own)
        self.namespaces = namespaces
        self.events = []
        self.answer = lambda *_: None
        self.pings = 0
        self.heard = threading.Condition(threading.RLock())
        for namespace in namespaces:
            for name in ['connect', 'connect_error', 'disconnect', *names]:
                self.own.on(name, self.recorder(namespace, name), namespace=namespace)
        receive = self.own.eio._receive_packet

        def counted(packet):
            self.pings += packet.packet_type == 2
            with self.heard:
                self.heard.notify_all()
            return receive(packet)

        self.own.eio._receive_packet = counted

    def recorder(self, namespace, name):
        def record(*args):
            with self.heard:
                self.events.append((namespace, name, list(args)))
                self.heard.notify_all()
            return self.answer(*args) if name == 'question' else None
        return record

    def do(self, method, *args, **options):
        """Calls the client, and waits for what it says."""
        result = getattr(self.own, method)(*args, **options)
        if self.is_threaded:
            return result
        return asyncio.run_coroutine_threadsafe(result, loop).result(PATIENCE)

    def connect(self, url, auth=None, namespaces=None):
        self.do('connect', url, auth=auth, transports=self.transports, namespaces=namespaces or self.namespaces,
                wait_timeout=PATIENCE)

    def emit(self, namespace, name, *args):
        self.do('emit', name, tuple(args), namespace=namespace)

    def ask(self, namespace, name, *args):
        """The acknowledgement: its only argument, or all of them."""
        return self.do('call', name, tuple(args), namespace=namespace, timeout=PATIENCE)

    def all(self, name, namespace=None):
        """The arguments of all events of a name."""
        with self.heard:
            return [args for where, own, args in self.events if own == name and namespace in (None, where)]

    def until(self, condition, what):
        """Waits until a condition holds, on what was heard or on the client itself, which tells nobody."""
        end = time.monotonic() + PATIENCE
        with self.heard:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    last = repr(self.events[-3:])[:500]
                    raise AssertionError(f'not in time: {what}; {len(self.events)} events came, and last {last}')
                self.heard.wait(min(left, 0.05))

    def nth(self, namespace, name, number):
        """What comes back, awaited by number."""
        self.until(lambda: len(self.all(name, namespace)) > number, f'{name} number {number + 1}')
        return self.all(name, namespace)[number]

    def carrier(self):
        transport = self.own.transport
        return transport() if callable(transport) else transport


def equal(seen, expected, what=''):
    assert seen == expected, f'{what}: expected {repr(expected)[:600]}, saw {repr(seen)[:600]}'
