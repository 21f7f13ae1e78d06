// What the stream of /api/live has said so far: maps of plain objects, and short lists of what has ended and gone wrong. No DOM, no clock of
// its own: the engine's time comes with the frames.

const ENDED_MAX = 300, EVENTS_MAX = 30;
// A gap or an overflow counts as a problem for so many seconds.
export const EVENT_LIFE = 900;

const KINDS = {
  servers: (item) => item.name,
  queues: (item) => join(item.server, item.name),
  agents: (item) => join(item.server, item.interface),
  calls: (item) => join(item.server, item.id),
  endpoints: (item) => join(item.server, item.name),
  rules: (item) => item.name,
};

export function join(...parts) {
  return parts.join("\u0000");
}

function emptyMaps() {
  const maps = {};
  for (const kind of Object.keys(KINDS)) maps[kind] = new Map();
  return maps;
}

// Who is called first: the higher priority, then who came first.
function inOrder(a, b) {
  return (b.priority ?? 0) - (a.priority ?? 0) || (a.since ?? 0) - (b.since ?? 0);
}

export class Picture {
  constructor() {
    Object.assign(this, emptyMaps());
    this.about = null;   // the first frame of the snapshot: version, label, scopes, queues, servers
    this.ended = [];     // calls, the last one first
    this.events = [];    // { at, server, text }, the last one first
    this.coming = null;  // the maps of a snapshot that is not whole yet
  }

  // A frame of the stream. True: what it says is complete, so it may be shown.
  apply(event, data) {
    if (event === "snapshot") return this.#snapshot(data);
    const at = data.at;
    if (event.startsWith("call.")) this.#call(event, data);
    else if (event === "queue.changed") this.#queue(data);
    else if (event === "queue.joined" || event === "queue.left") this.#caller(event, data);
    else if (event === "queue.member") this.#member(data);
    else if (event === "agent.changed") this.#put("agents", data);
    else if (event === "endpoint.changed") this.#put("endpoints", data);
    else if (event === "server") this.#put("servers", data);
    else if (event === "rule") this.#put("rules", data);
    else if (event === "server.removed") this.#forget(data.name);
    else if (event === "rule.removed") this.rules.delete(data.name);
    else if (event === "server.gap") this.#note(at, data.server, `${data.count ?? "some"} events were missed`);
    else if (event === "live.overflow") this.#note(at, data.server, `more ${data.kind ?? "objects"} than the picture may hold; some are missing here`);
    return !this.coming;
  }

  // All of it as one plain object, for a page that comes later; and its opposite.
  dump() {
    const { about, ended, events } = this;
    const dump = { about, ended: [...ended], events: [...events] };
    for (const kind of Object.keys(KINDS)) dump[kind] = [...this[kind].values()];
    return dump;
  }

  load(dump) {
    const { about, ended, events } = dump;
    Object.assign(this, { about, ended, events }, emptyMaps());
    for (const [kind, key] of Object.entries(KINDS)) for (const item of dump[kind]) this[kind].set(key(item), item);
  }

  #snapshot(data) {
    if (data.part === "begin") {
      this.coming = { about: data, maps: emptyMaps() };
    } else if (this.coming && data.part === "items") {
      const key = KINDS[data.kind];
      if (!key) return false;
      for (const item of data.items) {
        item.at ??= this.coming.about.now;
        this.coming.maps[data.kind].set(key(item), item);
      }
    } else if (this.coming && data.part === "end") {
      Object.assign(this, this.coming.maps, { about: this.coming.about, coming: null });
      return true;
    }
    return false;
  }

  #put(kind, item) {
    this[kind].set(KINDS[kind](item), item);
  }

  #queue(data) {
    // A change comes without the lists.
    const { waiting = [], members = [] } = this.queues.get(KINDS.queues(data)) ?? {};
    this.#put("queues", { ...data, waiting, members });
  }

  #queueOf(data) {
    const key = join(data.server, data.queue);
    let queue = this.queues.get(key);
    if (!queue) this.queues.set(key, queue = { server: data.server, name: data.queue, waiting: [], members: [] });
    return queue;
  }

  #caller(event, caller) {
    const queue = this.#queueOf(caller);
    queue.waiting = queue.waiting.filter((other) => other.uniqueid !== caller.uniqueid);
    if (event === "queue.joined") queue.waiting = [...queue.waiting, caller].sort(inOrder);
  }

  #member(member) {
    const queue = this.#queueOf(member);
    const others = queue.members.filter((other) => other.interface !== member.interface);
    queue.members = member.change === "removed" ? others : [...others, member];
    if (member.change === "removed" && member.agent && !this.#serves(member)) this.agents.delete(join(member.server, member.agent));
  }

  #serves(member) {
    for (const queue of this.queues.values()) {
      if (queue.server === member.server && queue.members.some((other) => other.agent === member.agent)) return true;
    }
    return false;
  }

  #call(event, call) {
    const key = KINDS.calls(call);
    if (event !== "call.ended") {
      // The end of what was merged follows by itself; it must not come back in between.
      if (event !== "call.merged") this.calls.set(key, call);
      return;
    }
    this.calls.delete(key);
    if (call.result === "merged" || this.ended.some((other) => other.id === call.id && other.server === call.server)) return;
    this.ended.unshift(call);
    if (this.ended.length > ENDED_MAX) this.ended.length = ENDED_MAX;
  }

  #forget(server) {
    this.servers.delete(server);
    for (const kind of ["queues", "agents", "calls", "endpoints"]) {
      for (const [key, item] of this[kind]) if (item.server === server) this[kind].delete(key);
    }
  }

  #note(at, server, text) {
    this.events.unshift({ at, server, text });
    if (this.events.length > EVENTS_MAX) this.events.length = EVENTS_MAX;
  }
}

// What an agent does counts before a pause, which then holds from the end of the call.
const AT_WORK = new Set(["ringing", "busy", "wrapup"]);

// Agents of a queue, counted by state.
export function agentsOf(picture, queue) {
  const states = {};
  for (const member of queue.members) {
    const agent = picture.agents.get(join(member.server ?? queue.server, member.agent ?? member.interface));
    const state = member.paused && !AT_WORK.has(agent?.state) ? "paused" : agent?.state ?? "unknown";
    states[state] = (states[state] ?? 0) + 1;
  }
  return states;
}

// What is wrong now, the gravest first: { key, level: "bad" or "warn", text, since }.
export function problemsOf(picture, now) {
  const problems = [];
  for (const server of picture.servers.values()) {
    if (server.state !== "ready") {
      const why = server.last_text || server.last_reason;
      problems.push({ key: `server ${server.name} ${server.state}`, level: "bad", since: server.since, text: `${server.name}: ${server.state}${why ? `, ${why}` : ""}. What is shown of it may be out of date.` });
    } else if (server.live !== "full") {
      const unknown = server.unknown?.length > 0 ? `: ${server.unknown.join(", ")} unknown` : "";
      problems.push({ key: `picture ${server.name} ${server.live}`, level: "warn", since: server.since, text: `${server.name}: the picture is ${server.live === "none" ? "off" : server.live}${unknown}` });
    }
  }
  for (const rule of picture.rules.values()) {
    if (rule.state === "runs" || rule.state === "disabled") continue;
    problems.push({ key: `rule ${rule.name} ${rule.state}`, level: "bad", since: rule.since, text: `Rule ${rule.name}: ${rule.state}${rule.last_error ? `. ${rule.last_error}` : ""}` });
  }
  for (const event of picture.events) {
    if (now - event.at < EVENT_LIFE) problems.push({ key: `event ${event.at} ${event.server}`, level: "warn", since: event.at, text: `${event.server}: ${event.text}` });
  }
  return problems;
}
