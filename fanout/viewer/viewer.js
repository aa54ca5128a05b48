// The first page: Socket.IO by hand on one WebSocket, text as text nodes alone.
const $ = (id) => document.getElementById(id);
const state = { channel: null, socket: null, acks: new Map(), next: 0, delay: 500 };

function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1)).get('token');
  const query = new URLSearchParams(location.search).get('token');
  if (fragment || query) {
    sessionStorage.setItem('token', fragment || query);
    history.replaceState(null, '', location.pathname);
  }
  return sessionStorage.getItem('token');
}

const say = (text) => { $('state').textContent = text; };

function connect() {
  const token = takeToken();
  if (!token) return say('open this page with #token=…');
  const socket = state.socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`);
  socket.onmessage = ({ data }) => onPacket(String(data), token);
  socket.onclose = () => {
    if (state.socket !== socket) return;
    say('connection lost, trying again');
    setTimeout(connect, state.delay * (1 + Math.random()));
    state.delay = Math.min(state.delay * 2, 15000);
  };
}

function onPacket(packet, token) {
  if (packet[0] === '0') state.socket.send(`40/discord,${JSON.stringify({ token })}`);
  else if (packet === '2') state.socket.send('3');
  else if (packet.startsWith('40/discord,')) { state.delay = 500; say('live'); if (state.channel) join(state.channel); }
  else if (packet.startsWith('44/discord,')) refuse(JSON.parse(packet.slice(11)).message);
  else if (packet.startsWith('42/discord,')) onEvent(...JSON.parse(packet.slice(11)));
  else if (packet.startsWith('43/discord,')) onAck(packet.slice(11));
}

function refuse(message) {
  sessionStorage.removeItem('token');
  state.socket.onclose = null;
  state.socket.close();
  say(message);
}

function onAck(text) {
  const at = text.indexOf('[');
  const done = state.acks.get(text.slice(0, at));
  state.acks.delete(text.slice(0, at));
  if (done) done(JSON.parse(text.slice(at))[0]);
}

function ask(name, data, done) {
  const id = String(state.next++);
  state.acks.set(id, done);
  state.socket.send(`42/discord,${id}${JSON.stringify([name, data])}`);
}

function onEvent(name, data) {
  if (name === 'channels_list') showChannels(data);
  else if (name === 'messages_bulk' && data.channelId === state.channel) {
    $('messages').replaceChildren(...data.messages.map(element));
    $('messages').scrollTop = $('messages').scrollHeight;
  } else if (name === 'message' && data.channelId === state.channel) {
    const main = $('messages');
    const atEnd = main.scrollHeight - main.scrollTop - main.clientHeight < 80;
    main.append(element(data));
    if (atEnd) main.scrollTop = main.scrollHeight;
  } else if (name === 'message_update') $(`m${data.id}`)?.replaceWith(element(data));
  else if (name === 'message_delete') $(`m${data.messageId}`)?.remove();
  else if (name === 'channel_left' && data.channelId === state.channel) {
    state.channel = null;
    $('messages').replaceChildren();
  } else if (name === 'error') say(data.message);
}

function showChannels(channels) {
  let server = null;
  const nodes = [];
  for (const channel of channels) {
    if (channel.serverName !== server) nodes.push(make('h2', (server = channel.serverName)));
    const button = make('button', `# ${channel.name}`);
    button.dataset.id = channel.id;
    button.onclick = () => select(channel.id);
    nodes.push(button);
  }
  $('channels').replaceChildren(...nodes);
  mark();
  const first = channels.find((channel) => channel.type === 'text');
  if (!state.channel && first) select(first.id);
}

function select(id) {
  if (id === state.channel) return;
  if (state.channel) ask('leave_channel', { channelId: state.channel }, () => {});
  state.channel = id;
  $('messages').replaceChildren();
  mark();
  join(id);
}

function join(id) {
  ask('join_channel', { channelId: id }, (answer) => { if (!answer.success) say(answer.error); });
}

function mark() {
  for (const button of $('channels').querySelectorAll('button')) {
    button.setAttribute('aria-current', String(button.dataset.id === state.channel));
  }
}

function element(message) {
  const article = make('article');
  article.id = `m${message.id}`;
  const time = make('time', new Date(message.timestamp).toLocaleTimeString());
  time.dateTime = message.timestamp;
  article.append(make('strong', message.author.displayName), time);
  if (message.edited) article.append(make('small', '(edited)'));
  article.append(make('p', message.content));
  for (const file of message.attachments) article.append(make('small', `📎 ${file.filename}`));
  return article;
}

function make(tag, text) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  return node;
}

connect();
