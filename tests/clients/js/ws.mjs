// An agent over the package ws: see ../README.md.
import { createInterface } from "node:readline";
import WebSocket from "ws";

const [url, , token] = process.argv.slice(2);
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const socket = new WebSocket(`${url.replace("http", "ws")}/agents/ws`, [`bearer.${token}`]);

socket.on("unexpected-response", (_, response) => print({ is: "refused", status: response.statusCode }));
socket.on("error", () => {});
socket.on("message", (text) => {
  const { event, data } = JSON.parse(text);
  print({ is: "event", name: event, data });
});

createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line);
  if (order.do === "say") socket.send(JSON.stringify({ event: order.name, data: order.data }));
  if (order.do === "close") {
    socket.close();
    process.stdin.destroy();
    setTimeout(() => process.exit(0), 500).unref();
  }
});
