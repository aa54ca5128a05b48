// The reference: the official server with the contract of `fanout/socketio`'s example server, started with its arguments.
// What the scenario expects is what this server does; so a client's failure on the example is the example's.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { Server } from 'socket.io';

const text = (value) => ({ type: 'string', default: value });
const { values } = parseArgs({
  options: {
    port: text('3000'),
    mode: text('socket'),
    'ping-interval': text('300'),
    'ping-timeout': text('200'),
    'connect-timeout': text('1000'),
    'max-payload': text('1000000'),
    eio3: { type: 'boolean', default: false },
  },
});
if (values.mode !== 'socket') throw new Error(`no mode ${values.mode}: the scenario needs Socket.IO`);

const server = createServer();
const io = new Server(server, {
  allowEIO3: values.eio3,
  pingInterval: Number(values['ping-interval']),
  pingTimeout: Number(values['ping-timeout']),
  connectTimeout: Number(values['connect-timeout']),
  maxHttpBufferSize: Number(values['max-payload']),
});

function serve(socket) {
  socket.emit('auth', socket.handshake.auth);
  socket.on('message', (...args) => socket.emit('message-back', ...args));
  socket.on('message-with-ack', (...args) => args.pop()(...args));
  socket.on('ask', (...args) => {
    socket.emit('question', ...args, (...answer) => socket.emit('answered', ...answer));
  });
  socket.on('bye', () => socket.disconnect());
  socket.on('drop', () => socket.conn.close());
}

io.on('connection', serve);
io.of('/custom').on('connection', serve);
server.listen(Number(values.port), '127.0.0.1');
