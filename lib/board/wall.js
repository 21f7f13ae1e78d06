// The wall: large figures of one queue or a few, for a television. Thresholds may stand in the address: waiting=3,6 wait=30,60 level=80,60.
import { List, el, setAttribute, setHidden, setText } from "./dom.js";
import { NONE, count, duration, share, time } from "./format.js";
import { agentsOf, join } from "./picture.js";

const LIMITS = { waiting: [3, 6], wait: [30, 60], level: [80, 60] };

function limitsOf(asked) {
  const limits = { ...LIMITS };
  for (const name of Object.keys(limits)) {
    const given = (asked.get(name) ?? "").split(",").map(Number);
    if (given.length === 2 && given.every((value) => value > 0)) limits[name] = given;
  }
  return limits;
}

function above(value, [warn, bad]) {
  return value >= bad ? "bad" : value >= warn ? "warn" : undefined;
}

function below(value, [warn, bad]) {
  return value < bad ? "bad" : value < warn ? "warn" : undefined;
}

// A colour is never alone: a word says the same.
const WORDS = { warn: "watch", bad: "act now" };

export class Wall {
  #root; #limits; #queues; #empty; #stale; #clock;

  constructor(root, asked) {
    this.#root = root;
    this.#limits = limitsOf(asked);
    const box = el("div", { class: "wall-queues" });
    this.#empty = el("p", { class: "wall-empty", hidden: true });
    this.#stale = el("p", { class: "wall-stale", role: "alert", hidden: true });
    this.#clock = el("p", { class: "wall-clock" });
    root.append(el("h1", { class: "hidden-text", text: "Wallboard" }), this.#stale, this.#empty, box, this.#clock);
    this.#queues = new List(box, {
      key: (queue) => join(queue.server, queue.name),
      make: () => {
        const section = el("section", {}, el("h2"), el("dl"));
        section.figures = new List(section.lastChild, {
          key: (figure) => figure.name,
          make: (figure) => el("div", { "data-figure": figure.name }, el("dt", {}, el("span", { text: figure.title }), el("b")), el("dd")),
          fill: (tile, figure) => {
            setText(tile.lastChild, figure.text);
            setText(tile.firstChild.lastChild, WORDS[figure.level] ?? "");
            setAttribute(tile, "data-level", figure.level);
            tile.style.setProperty("--characters", String(Math.max(figure.text.length, figure.characters)));
          },
        });
        return section;
      },
      fill: (section, queue) => this.#fill(section, queue),
    });
    document.addEventListener("visibilitychange", () => this.#stayAwake());
    this.#stayAwake();
  }

  about() {}

  state(stale, whole) {
    setHidden(this.#stale, !stale || !whole);
    setText(this.#stale, stale ? `Not live since ${time(stale.since)}` : "");
  }

  draw(picture, now, stale) {
    this.picture = picture;
    this.now = now;
    this.state(stale, true);
    const queues = [...picture.queues.values()].sort((a, b) => a.name.localeCompare(b.name));
    this.#root.style.setProperty("--queues", String(Math.max(1, queues.length)));
    setAttribute(this.#root, "data-queues", queues.length > 1 ? "many" : "one");
    setHidden(this.#empty, queues.length > 0);
    setText(this.#empty, "No queue to show: the server has none of that name, or does not say.");
    this.#queues.show(queues);
    document.title = `${queues.map((queue) => queue.name).join(", ")} – wall`;
    setText(this.#clock, time(Math.floor(now)));
  }

  #fill(section, queue) {
    const waiting = queue.waiting.length;
    const first = Math.min(...queue.waiting.map((caller) => caller.since ?? Infinity));
    const wait = first < Infinity ? this.now - first : undefined;
    const states = agentsOf(this.picture, queue);
    const free = states.free ?? 0, level = queue.service_level_today, server = this.picture.servers.get(queue.server);
    const lost = server?.state !== "ready", known = !server?.unknown?.includes("queues");
    setText(section.firstChild, lost ? `${queue.name} – ${queue.server} is lost` : queue.name);
    section.classList.toggle("doubt", lost);
    section.figures.show([
      { name: "waiting", characters: 2, title: "Waiting", text: count(waiting), level: above(waiting, this.#limits.waiting) },
      { name: "wait", characters: 4, title: "Longest wait", text: wait === undefined ? NONE : duration(wait), level: wait === undefined ? undefined : above(wait, this.#limits.wait) },
      { name: "free", characters: 5, title: "Agents free", text: known ? `${count(free)} / ${count(queue.members.length)}` : NONE, level: known && free === 0 && waiting > 0 ? "bad" : undefined },
      { name: "level", characters: 4, title: "Service level", text: share(level), level: level === undefined ? undefined : below(level * 100, this.#limits.level) },
      { name: "answered", characters: 3, title: "Answered", text: count(queue.answered_today) },
      { name: "abandoned", characters: 3, title: "Abandoned", text: count(queue.abandoned_today) },
    ]);
  }

  // A television must not go dark. Browsers allow this only over TLS and on this machine.
  async #stayAwake() {
    if (document.visibilityState !== "visible" || !navigator.wakeLock) return;
    try {
      await navigator.wakeLock.request("screen");
    } catch {
      // The browser decides; the board works without it.
    }
  }
}
