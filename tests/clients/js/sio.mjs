// An agent over socket.io-client: see ../README.md.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, transport, token] = process.argv.slice(2);
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const transports = transport === "upgrade" ? ["polling", "websocket"] : [transport];
const socket = io(`${url}/agents`, { transports, auth: { token } });

socket.on("connect_error", (error) => {
  print({ is: "refused", message: error.message, code: error.data?.code });
  socket.close();
});

// The change of the transport can come before or after the first event; it is
// told after it, so that the test need not care.
let upgraded = false;
let greeted = false;
const tell = () => {
  if (upgraded && greeted) print({ is: "upgraded" });
};
if (transport === "upgrade") {
  socket.io.on("open", () => {
    socket.io.engine.once("upgrade", () => {
      upgraded = true;
      tell();
    });
  });
}

socket.onAny((name, data) => {
  print({ is: "event", name, data });
  if (!greeted) {
    greeted = true;
    tell();
  }
});

createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line);
  if (order.do === "say") socket.emit(order.name, order.data);
  if (order.do === "ask") socket.emit(order.name, order.data, (data) => print({ is: "answer", data }));
  if (order.do === "close") {
    socket.close();
    process.stdin.destroy();
  }
});
