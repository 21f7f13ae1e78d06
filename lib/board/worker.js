// The shared worker: one stream for all pages of this browser that have the same token and the same query.
import { Hub } from "./hub.js";

// A page says every so often that it is there; one that crashed does not.
const GONE = 200000, CHECK = 30000;

const hubs = new Map();
const ports = new Map();

function leave(port) {
  const entry = ports.get(port);
  if (!entry) return;
  ports.delete(port);
  if (entry.hub.leave(entry.page) > 0) return;
  entry.hub.end();
  hubs.delete(entry.name);
}

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data.type === "join") {
      const name = JSON.stringify([data.token, data.query]);
      const hub = hubs.get(name) ?? new Hub(data.token, data.query);
      hubs.set(name, hub);
      const entry = { hub, name, heard: Date.now(), page: (message) => port.postMessage(message) };
      ports.set(port, entry);
      hub.join(entry.page);
    } else if (data.type === "leave") {
      leave(port);
    } else if (ports.has(port)) {
      ports.get(port).heard = Date.now();
    }
  };
};

setInterval(() => {
  for (const [port, entry] of ports) if (Date.now() - entry.heard > GONE) leave(port);
}, CHECK);
