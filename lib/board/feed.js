// The page's end of the stream: its picture, the engine's clock, and whether what it shows is fresh.
import { Hub } from "./hub.js";
import { Picture } from "./picture.js";

// The engine sends something every 5 s, which the worker passes on.
const SILENCE = 6000, CHECK = 250, HERE = 20000;

function openPort() {
  if (!("SharedWorker" in window)) return null;
  let url = new URL("worker.js", import.meta.url).href;
  // The only script that this page starts by its address.
  if (window.trustedTypes) url = trustedTypes.createPolicy("board-worker", { createScriptURL: (given) => given }).createScriptURL(url);
  return new SharedWorker(url, { type: "module", name: "board" }).port;
}

export class Feed {
  picture = new Picture();
  whole = false;      // a snapshot has come
  stale = null;       // { since, text }: what is shown is not the present
  #offset = 0; #heard = Date.now(); #lost = null; #leave; #check; #here; #on;

  // `on`: { changed(), state(), refused({ status, text }) }; state() when `stale` changed.
  constructor(token, query, on) {
    this.#on = on;
    const take = (message) => this.#take(message);
    const port = openPort();
    if (port) {
      const join = () => port.postMessage({ type: "join", token, query });
      port.onmessage = ({ data }) => take(data);
      join();
      this.#here = setInterval(() => port.postMessage({ type: "here" }), HERE);
      const bye = () => port.postMessage({ type: "leave" });
      const back = (event) => { if (event.persisted) join(); };
      addEventListener("pagehide", bye);
      addEventListener("pageshow", back);
      this.#leave = () => {
        removeEventListener("pagehide", bye);
        removeEventListener("pageshow", back);
        bye();
        port.close();
      };
    } else {
      const hub = new Hub(token, query);
      // As through the worker: never before the constructor has returned.
      queueMicrotask(() => hub.join(take));
      this.#leave = () => hub.end();
    }
    this.#check = setInterval(() => this.#judge(), CHECK);
  }

  end() {
    clearInterval(this.#check);
    clearInterval(this.#here);
    this.#leave();
  }

  // The engine's time; it stands still while nothing is heard.
  now() {
    return this.#offset + (this.stale ? this.stale.since : Date.now() / 1000);
  }

  #take(message) {
    if (message.type === "lost") {
      this.#lost = message;
      this.#judge();
      if (message.status >= 400 && message.status < 500 && message.status !== 429) this.#on.refused(message);
      return;
    }
    this.#heard = Date.now();
    this.#lost = null;
    if (message.now) this.#offset = message.now - Date.now() / 1000;
    if (message.type === "picture") {
      this.picture.load(message.dump);
      this.whole = true;
    } else if (message.type === "changes") {
      for (const { event, data } of message.frames) this.picture.apply(event, data);
    }
    this.#judge();
    if (message.type !== "alive") this.#on.changed();
  }

  #judge() {
    const silent = Date.now() - this.#heard > SILENCE;
    if (!this.#lost && !silent) {
      if (!this.stale) return;
      this.stale = null;
      this.#on.state();
      return;
    }
    const text = this.#lost?.text ?? "the engine is silent";
    if (this.stale?.text === text) return;
    this.stale = { since: this.stale?.since ?? this.#heard / 1000, text };
    this.#on.state();
  }
}
