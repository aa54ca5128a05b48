// The bench's broadcast server on Node's socket.io, with its plain `ws`: `node server.js PORT`.
// Every socket is in one room; the event `broadcast` has `count` events `message` emitted to the room in one turn.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { pingInterval: 25_000, pingTimeout: 60_000, serveClient: false });

io.on("connection", (socket) => {
  socket.join("room");
  socket.on("broadcast", ({ count, bytes, first }) => {
    for (let number = first; number < first + count; number += 1) {
      io.to("room").emit("message", String(number).padStart(10, "0").padEnd(bytes, "x"));
    }
  });
});

http.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 1024 });
