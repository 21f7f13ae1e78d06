// The board for a supervisor: queues, calls, agents, servers, what has ended, what is wrong.
import { aboutAgent, aboutCall, newCall } from "./actions.js";
import { List, el, setAttribute, setHidden, setText } from "./dom.js";
import { NONE, count, delay, duration, party, phone, share, time, words } from "./format.js";
import { agentsOf, join, problemsOf } from "./picture.js";
import { Table } from "./table.js";

const CALLERS_SHOWN = 12;
const AGENT_STATES = ["free", "ringing", "busy", "wrapup", "paused", "away", "unknown"];
const CALL_STATES = ["new", "ringing", "queued", "up", "held", "parked", "conference"];
const ENDS_WELL = new Set(["answered"]), ENDS_BADLY = new Set(["abandoned", "failed", "congestion", "unreachable", "unseen"]);

const page = (id) => document.getElementById(id);

// A word with a mark: the mark's form and colour say the same as the word.
function setState(cell, state, text = words(state)) {
  const mark = cell.firstElementChild ?? cell.appendChild(el("span", { class: "mark" }));
  setAttribute(mark, "data-state", state);
  setText(mark, text);
}

// Name and number of one end of a call; the whole of it stands in the title, for where it is cut off.
function setParty(element, number, name) {
  if (!element.firstChild) element.append(el("span"), " ", el("span", { class: "quiet" }));
  const [first, last] = element.children;
  const both = name && number && name !== number;
  setText(first, name || number || NONE);
  setText(last, both ? number : "");
  setAttribute(element, "title", both ? party(number, name) : first.textContent);
}

// Who has the call; a phone that is no agent's by its number.
function agentOf(call) {
  return call.agent_name ?? phone(call.agent ?? call.answered_by) ?? NONE;
}

function setAction(cell, label, act) {
  const button = cell.firstElementChild ?? cell.appendChild(el("button", { type: "button", class: "more", text: "⋯", "aria-haspopup": "dialog" }));
  setAttribute(button, "aria-label", label);
  button.onclick = act;
}

export class Supervisor {
  #picture = null; #now = 0; #may = false; #mayCall = false; #known = null; #tables; #summary; #problems; #sick = new Set(); #offered = null; #byPhone = new Map();

  constructor(signOut) {
    page("signout").addEventListener("click", () => signOut());
    page("originate").addEventListener("click", () => newCall(this.#picture));
    for (const state of CALL_STATES) page("call-state").append(el("option", { value: state, text: words(state) }));
    page("call-filter").addEventListener("input", () => this.#drawCalls());
    page("call-filter").addEventListener("submit", (event) => event.preventDefault());
    this.#tables = { queues: this.#queueTable(), calls: this.#callTable(), agents: this.#agentTable(), servers: this.#serverTable(), ended: this.#endedTable() };
    this.#summary = new List(page("summary"), {
      key: (item) => item.name,
      make: (item) => el("div", {}, el("dt", { text: item.name }), el("dd")),
      fill: (element, item) => {
        setText(element.lastElementChild, item.text);
        setAttribute(element, "data-level", item.level);
      },
    });
    this.#problems = new List(page("problem-list"), {
      key: (problem) => problem.key,
      make: (problem) => el("li", { "data-level": problem.level }, el("span", { class: "what" }), el("time", { class: "quiet" })),
      fill: (element, problem) => {
        setText(element.firstElementChild, problem.text);
        setText(element.lastElementChild, problem.since ? `since ${time(problem.since)}` : "");
      },
    });
  }

  about({ label, scopes, version, queues, servers }) {
    this.#may = scopes.includes("act");
    // One that is limited to queues acts on their calls and members, and begins none.
    this.#mayCall = this.#may && !queues;
    document.body.classList.toggle("may-act", this.#may);
    setHidden(page("originate"), !this.#mayCall);
    const limits = [...(queues ?? []), ...(servers ?? [])];
    setText(page("about"), `hookswitch ${version} · token ${label}${limits.length > 0 ? `, limited to ${limits.join(", ")}` : ""}`);
  }

  state(stale, whole) {
    setText(page("status"), stale ? "Not live" : whole ? "Live" : "Connecting");
    setAttribute(page("status"), "data-level", stale ? "bad" : whole ? "good" : null);
  }

  draw(picture, now, stale) {
    this.#picture = picture;
    this.#now = now;
    this.state(stale, true);
    document.body.classList.toggle("one-server", picture.servers.size < 2);
    this.#drawProblems();
    this.#drawSummary();
    this.#byPhone.clear();
    for (const call of picture.calls.values()) if (call.answered_by) this.#byPhone.set(join(call.server, call.answered_by), call);
    this.#sick.clear();
    for (const server of picture.servers.values()) if (server.state !== "ready") this.#sick.add(server.name);
    this.#tables.queues.show([...picture.queues.values()], this.#empty("queues", "No queues. They appear when the server has some."));
    this.#drawCalls();
    this.#tables.agents.show([...picture.agents.values()], this.#empty("queues", "No agents. They appear when a queue has members."));
    this.#tables.servers.show([...picture.servers.values()], "No servers that this token may see.");
    this.#tables.ended.show(picture.ended, "Nothing yet. Calls that end while the board is open are listed here.");
    setText(page("calls-title"), `Current calls ${count(picture.calls.size)}`);
    setText(page("agents-title"), `Agents ${count(picture.agents.size)}`);
  }

  // What is unknown is not empty.
  #empty(part, text) {
    const silent = [...this.#picture.servers.values()].filter((server) => server.state !== "ready" || server.live === "none" || server.live === "syncing" || server.unknown?.includes(part));
    return silent.length > 0 ? `Not known: ${silent.map((server) => server.name).join(", ")} ${silent.length > 1 ? "do" : "does"} not say.` : text;
  }

  #drawProblems() {
    const problems = problemsOf(this.#picture, this.#now);
    this.#problems.show(problems);
    setAttribute(page("problems"), "data-count", String(problems.length));
    setHidden(page("problems"), problems.length === 0);
    const keys = new Set(problems.map((problem) => problem.key));
    if (this.#known) {
      const fresh = problems.filter((problem) => !this.#known.has(problem.key));
      if (fresh.length > 0) setText(page("announce"), fresh.map((problem) => problem.text).join(" "));
    }
    this.#known = keys;
  }

  #drawSummary() {
    const { queues, agents, calls } = this.#picture;
    let waiting = 0, first = Infinity, inTime = 0, offered = 0, abandoned = 0, free = 0;
    for (const queue of queues.values()) {
      waiting += queue.waiting.length;
      for (const caller of queue.waiting) first = Math.min(first, caller.since ?? Infinity);
      inTime += queue.in_time_today ?? 0;
      offered += (queue.answered_today ?? 0) + (queue.abandoned_today ?? 0);
      abandoned += queue.abandoned_today ?? 0;
    }
    for (const agent of agents.values()) if (agent.state === "free") free++;
    this.#summary.show([
      { name: "Waiting", text: count(waiting), level: waiting > 0 && free === 0 ? "bad" : undefined },
      { name: "Longest wait", text: waiting > 0 && first < Infinity ? duration(this.#now - first) : NONE },
      { name: "Agents free", text: `${count(free)} of ${count(agents.size)}` },
      { name: "Calls", text: count(calls.size) },
      { name: "Service level today", text: share(offered > 0 ? inTime / offered : undefined) },
      { name: "Abandoned today", text: count(abandoned) },
    ]);
  }

  // ---- queues ----

  #queueTable() {
    const since = (queue) => (queue.waiting.length > 0 ? Math.min(...queue.waiting.map((caller) => caller.since ?? Infinity)) : undefined);
    return new Table(page("queue-table"), [
      { name: "name", title: "Queue", class: "queue party", head: true, sort: (queue) => queue.name, fill: (cell, queue) => setParty(cell, this.#picture.servers.size > 1 ? queue.server : undefined, queue.name) },
      { name: "waiting", title: "Waiting", class: "number big", sort: (queue) => queue.waiting.length, text: (queue) => count(queue.waiting.length) },
      { name: "longest", title: "Longest", class: "number", sort: (queue) => -(since(queue) ?? Infinity), text: (queue) => (since(queue) < Infinity ? duration(this.#now - since(queue)) : NONE) },
      { name: "level", title: "Service level", class: "number level wideish", sort: (queue) => queue.service_level_today, text: (queue) => share(queue.service_level_today), hint: (queue) => `Last hour ${share(queue.service_level)}` },
      { name: "answered", title: "Answered", class: "number wide", sort: (queue) => queue.answered_today, text: (queue) => count(queue.answered_today), hint: (queue) => `Last hour ${count(queue.answered)}` },
      { name: "abandoned", title: "Abandoned", class: "number wide", sort: (queue) => queue.abandoned_today, text: (queue) => count(queue.abandoned_today), hint: (queue) => `Last hour ${count(queue.abandoned)}` },
      { name: "speed", title: "Avg. wait", class: "number widest", sort: (queue) => queue.speed_of_answer_today, text: (queue) => duration(queue.speed_of_answer_today) },
      { name: "agents", title: "Agents", class: "states", sort: (queue) => queue.members.length, fill: (cell, queue) => this.#queueAgents(cell, queue) },
    ], { key: (queue) => join(queue.server, queue.name), order: ["name", 1], row: (row, queue) => this.#doubt(row, queue.server), detail: (cell, queue) => this.#callers(cell, queue) });
  }

  #doubt(row, server) {
    row.classList.toggle("doubt", this.#sick.has(server));
  }

  // Below a queue: who waits there.
  #callers(cell, queue) {
    if (!cell.firstChild) {
      cell.append(el("ol", { class: "callers", "aria-label": "Waiting callers" }), el("span", { class: "quiet" }));
      cell.callers = new List(cell.firstChild, {
        key: (caller) => caller.uniqueid,
        make: () => el("li", {}, el("span", { class: "party" }), el("span", { class: "timer" })),
        fill: (element, caller) => {
          setParty(element.firstChild, caller.number, caller.name);
          setText(element.lastChild, duration(this.#now - caller.since));
        },
      });
    }
    const more = queue.waiting.length - CALLERS_SHOWN;
    cell.callers.show(queue.waiting.slice(0, CALLERS_SHOWN));
    setText(cell.lastChild, more > 0 ? `and ${count(more)} more` : "");
    return queue.waiting.length > 0;
  }

  #queueAgents(cell, queue) {
    cell.counted = agentsOf(this.#picture, queue);
    cell.states ??= new List(cell.appendChild(el("ul", { class: "counts" })), {
      key: (state) => state,
      make: (state) => el("li", {}, el("span", { class: "mark", "data-state": state })),
      fill: (element, state) => setText(element.firstChild, `${count(cell.counted[state])} ${words(state)}`),
    });
    cell.states.show(AGENT_STATES.filter((state) => cell.counted[state]));
  }

  // ---- calls ----

  #callTable() {
    return new Table(page("call-table"), [
      { name: "duration", title: "Time", class: "number time", sort: (call) => -(call.started ?? Infinity), text: (call) => (call.started ? duration(this.#now - call.started) : NONE), hint: (call) => `Since ${time(call.started)}` },
      { name: "from", title: "From", class: "who party", head: true, sort: (call) => party(call.from, call.from_name), fill: (cell, call) => setParty(cell, call.from, call.from_name) },
      { name: "to", title: "To", class: "who to party", sort: (call) => party(call.to, call.to_name), fill: (cell, call) => setParty(cell, call.to, call.to_name) },
      { name: "state", title: "State", class: "state", sort: (call) => CALL_STATES.indexOf(call.state), fill: (cell, call) => setState(cell, call.state, call.state === "up" && !call.connected ? "answered" : words(call.state)) },
      { name: "queue", title: "Queue", class: "wide", text: (call) => call.queue ?? NONE, sort: (call) => call.queue },
      { name: "agent", title: "Agent", class: "wide", text: agentOf, hint: (call) => call.agent ?? call.answered_by ?? "" },
      { name: "talk", title: "Talk", class: "number wide", sort: (call) => this.#talk(call), text: (call) => duration(this.#talk(call)) },
      { name: "direction", title: "Direction", class: "widest", text: (call) => words(call.direction), sort: (call) => call.direction },
      { name: "server", title: "Server", class: "server widest", text: (call) => call.server },
      { name: "act", title: "Actions", class: "act", fill: (cell, call) => { if (this.#may) setAction(cell, `Actions for the call from ${party(call.from, call.from_name)}`, () => aboutCall(this.#picture, call, this.#now, this.#mayCall)); } },
    ], { key: (call) => join(call.server, call.id), order: ["duration", -1], row: (row, call) => this.#doubt(row, call.server) });
  }

  // `talk` is as of the change that told it; nobody talks while the call is held or parked.
  #talk(call) {
    if (!call.connected) return call.talk || undefined;
    return (call.talk ?? 0) + (call.state === "up" && call.at ? Math.max(0, this.#now - call.at) : 0);
  }

  #drawCalls() {
    if (!this.#picture) return;
    const text = page("call-search").value.trim().toLocaleLowerCase(), state = page("call-state").value, queue = page("call-queue").value;
    this.#offerQueues(queue);
    let calls = [...this.#picture.calls.values()];
    const all = calls.length;
    if (state) calls = calls.filter((call) => call.state === state);
    if (queue) calls = calls.filter((call) => call.queue === queue);
    if (text) {
      calls = calls.filter((call) => [call.from, call.from_name, call.to, call.to_name, call.queue, call.agent_name, call.agent, call.answered_by, call.account, call.caller, call.peer, call.id, call.server, call.trunk]
        .some((value) => value && value.toLocaleLowerCase().includes(text)));
    }
    this.#tables.calls.show(calls, all > 0 ? "No call fits the filter." : this.#empty("calls", "No calls now."));
  }

  #offerQueues(chosen) {
    const names = [...new Set([...this.#picture.queues.values()].map((queue) => queue.name))].sort();
    if (chosen && !names.includes(chosen)) names.push(chosen);
    this.#offered ??= new List(page("call-queue"), { key: (name) => name, make: (name) => el("option", { value: name, text: name || "All queues" }), fill: () => {} });
    this.#offered.show(["", ...names]);
  }

  // ---- agents ----

  #callOf(agent) {
    return (agent.call && this.#picture.calls.get(join(agent.server, agent.call))) || this.#byPhone.get(join(agent.server, agent.interface));
  }

  #agentTable() {
    const other = (agent) => {
      if (agent.state === "paused") return [agent.paused_reason];
      const call = agent.state === "busy" || agent.state === "ringing" ? this.#callOf(agent) : undefined;
      return call ? [call.from, call.from_name] : [];
    };
    return new Table(page("agent-table"), [
      { name: "name", title: "Agent", class: "who", head: true, text: (agent) => agent.name ?? agent.interface, hint: (agent) => agent.interface },
      { name: "state", title: "State", class: "state", sort: (agent) => AGENT_STATES.indexOf(agent.state), fill: (cell, agent) => setState(cell, agent.state) },
      { name: "since", title: "For", class: "number time", sort: (agent) => -(agent.since ?? Infinity), text: (agent) => (agent.since ? duration(this.#now - agent.since) : NONE) },
      { name: "doing", title: "Details", class: "who party", sort: (agent) => party(...other(agent)), fill: (cell, agent) => setParty(cell, ...other(agent)) },
      { name: "calls", title: "Calls", class: "number time wide", text: (agent) => count(agent.calls), sort: (agent) => agent.calls },
      { name: "missed", title: "Missed", class: "number time widest", text: (agent) => count(agent.missed), sort: (agent) => agent.missed },
      { name: "queues", title: "Queues", class: "widest", text: (agent) => agent.queues.join(", "), hint: (agent) => agent.queues.join(", ") },
      { name: "server", title: "Server", class: "server wide", text: (agent) => agent.server },
      { name: "act", title: "Actions", class: "act", fill: (cell, agent) => { if (this.#may) setAction(cell, `Pause or unpause ${agent.name ?? agent.interface}`, () => aboutAgent(this.#picture, agent)); } },
    ], { key: (agent) => join(agent.server, agent.interface), order: ["name", 1], row: (row, agent) => this.#doubt(row, agent.server) });
  }

  // ---- servers, and what has ended ----

  #serverTable() {
    return new Table(page("server-table"), [
      { name: "name", title: "Server", class: "who", head: true, text: (server) => server.name },
      { name: "state", title: "State", class: "state", sort: (server) => server.state, fill: (cell, server) => setState(cell, server.state === "ready" ? "ready" : "lost", words(server.state)) },
      { name: "since", title: "Since", class: "number clock", text: (server) => time(server.since), sort: (server) => server.since },
      { name: "delay", title: "Delay", class: "number", text: (server) => delay(server.heartbeat_rtt), sort: (server) => server.heartbeat_rtt },
      { name: "live", title: "Picture", class: "wide", text: (server) => words(server.live) },
      { name: "last", title: "Last loss", class: "wide", text: (server) => server.last_text || words(server.last_reason || undefined), hint: (server) => server.last_text ?? "" },
    ], { key: (server) => server.name, order: ["name", 1] });
  }

  #endedTable() {
    return new Table(page("ended-table"), [
      { name: "ended", title: "At", class: "number clock", text: (call) => time(call.ended ?? call.at), sort: (call) => call.ended ?? call.at },
      { name: "from", title: "From", class: "who party", head: true, sort: (call) => party(call.from, call.from_name), fill: (cell, call) => setParty(cell, call.from, call.from_name) },
      { name: "to", title: "To", class: "who to party", sort: (call) => party(call.to, call.to_name), fill: (cell, call) => setParty(cell, call.to, call.to_name) },
      { name: "result", title: "Result", class: "state", sort: (call) => call.result, fill: (cell, call) => setState(cell, ENDS_WELL.has(call.result) ? "good" : ENDS_BADLY.has(call.result) ? "bad" : "none", words(call.result)) },
      { name: "queue", title: "Queue", class: "widest", text: (call) => call.queue ?? NONE },
      { name: "agent", title: "Agent", class: "wide", text: agentOf, hint: (call) => call.agent ?? call.answered_by ?? "" },
      { name: "wait", title: "Wait", class: "number time widest", text: (call) => duration(call.wait), sort: (call) => call.wait },
      { name: "talk", title: "Talk", class: "number time wide", text: (call) => duration(call.talk), sort: (call) => call.talk },
      { name: "server", title: "Server", class: "server widest", text: (call) => call.server },
    ], { key: (call) => join(call.server, call.id), order: ["ended", -1] });
  }
}
