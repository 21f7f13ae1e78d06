// One stream and its picture for any number of pages: a page that comes later gets the picture as it is, then the changes.
import { Picture } from "./picture.js";
import { Stream } from "./stream.js";

export class Hub {
  #pages = new Set(); #picture = new Picture(); #stream; #whole = false; #lost = null;

  constructor(token, query) {
    this.#stream = new Stream(token, query, {
      frames: (frames) => this.#frames(frames),
      alive: () => this.#send({ type: "alive" }),
      lost: (lost) => {
        this.#lost = lost;
        this.#send({ type: "lost", ...lost });
      },
    });
  }

  // `page` is a function that takes messages: { type: "picture", now, dump }, { type: "changes", frames }, { type: "alive" },
  // { type: "lost", status, text, wait }.
  join(page) {
    this.#pages.add(page);
    if (this.#whole) page({ type: "picture", dump: this.#picture.dump() });
    if (this.#lost) {
      page({ type: "lost", ...this.#lost });
      this.#stream.hurry();
    }
  }

  leave(page) {
    this.#pages.delete(page);
    return this.#pages.size;
  }

  end() {
    this.#stream.end();
  }

  #send(message) {
    for (const page of this.#pages) page(message);
  }

  #frames(frames) {
    this.#lost = null;
    let changes = [], now;
    for (const { event, data } of frames) {
      now = data.now ?? now;
      const shown = this.#picture.apply(event, data);
      if (event !== "snapshot") {
        changes.push({ event, data });
      } else if (shown) {
        this.#whole = true;
        this.#send({ type: "picture", now, dump: this.#picture.dump() });
        changes = [];
      }
    }
    // While a snapshot is under way the pages keep what they have; the changes behind it come with it.
    if (this.#whole && changes.length > 0) this.#send({ type: "changes", now, frames: changes });
    else this.#send({ type: "alive" });
  }
}
