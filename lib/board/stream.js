// One stream of /api/live that lasts: it reconnects by itself, goes on where it was when the engine still knows, and ends a connection that is silent.

// The engine sends something every 5 s.
const SILENCE = 5900, CHECK = 250;
const RETRY_FIRST = 500, RETRY_MAX = 8000, RETRY_DENIED = 60000;

// Reads one frame: { event, id, data }, or null for a comment.
function frameOf(text) {
  const frame = {};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) frame[line.slice(0, colon)] = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
  }
  return frame.event && frame.data ? frame : null;
}

export class Stream {
  #token; #query; #on; #id = null; #retry = RETRY_FIRST; #timer = null; #abort = null; #heard = 0; #ended = false;

  // `on`: { frames([{ event, data }]), alive(), lost({ status, text, wait }) }; wait is in ms. Begins at once.
  constructor(token, query, on) {
    this.#token = token;
    this.#query = query;
    this.#on = on;
    this.#connect();
  }

  end() {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#abort?.abort();
  }

  // Does not wait for the next try.
  hurry() {
    if (this.#timer === null || this.#ended) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  async #connect() {
    this.#timer = null;
    const abort = this.#abort = new AbortController();
    this.#heard = Date.now();
    const watch = setInterval(() => { if (Date.now() - this.#heard > SILENCE) abort.abort(); }, CHECK);
    let problem;
    try {
      const headers = { Authorization: `Bearer ${this.#token}` };
      if (this.#id) headers["Last-Event-ID"] = this.#id;
      const answer = await fetch(`/api/live${this.#query}`, { headers, signal: abort.signal, cache: "no-store", credentials: "omit" });
      if (answer.ok) await this.#read(answer.body.getReader());
      else problem = await this.#refused(answer);
    } catch {
      // The network's words differ from browser to browser, and say little.
    }
    clearInterval(watch);
    abort.abort();
    if (this.#ended) return;
    const wait = problem?.wait ?? this.#retry * (0.75 + Math.random() / 2);
    this.#retry = Math.min(this.#retry * 2, RETRY_MAX);
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#on.lost({ status: problem?.status ?? 0, text: problem?.text ?? "no connection to the engine", wait });
  }

  async #refused(answer) {
    let text = `the engine answers ${answer.status}`;
    try {
      text = (await answer.json()).error ?? text;
    } catch {
      // Not the engine but a proxy before it.
    }
    const after = Number(answer.headers.get("Retry-After")) * 1000;
    return { status: answer.status, text, wait: after || (answer.status < 500 && answer.status !== 429 ? RETRY_DENIED : undefined) };
  }

  async #read(reader) {
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.#heard = Date.now();
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = parts.pop();
      const frames = [];
      for (const part of parts) {
        const frame = frameOf(part);
        if (!frame) continue;
        if (frame.id) this.#id = frame.id;
        frames.push({ event: frame.event, data: JSON.parse(frame.data) });
        this.#retry = RETRY_FIRST;
      }
      if (frames.length > 0) this.#on.frames(frames);
      else this.#on.alive();
    }
  }
}
