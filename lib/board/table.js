// A table that writes only the cells that changed and, where it scrolls, only the rows in sight, however many there are.
import { arrange, el, setAttribute, setHidden, setText } from "./dom.js";

const OVERSCAN = 6, ROW = 34;

export function compare(a, b) {
  if (a === undefined || a === null) return b === undefined || b === null ? 0 : 1;
  if (b === undefined || b === null) return -1;
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}

export class Table {
  #body = el("tbody"); #above = spacer(); #below = spacer(); #rows = new Map(); #items = []; #heads = []; #order = null; #height = ROW; #width = "1";
  #box; #empty; #table;

  // columns: { name, title, class, text(item), sort(item), fill(cell, item), hint(item), head }. `head`: the cell that names its row. Options: key(item), order
  // ([column's name, 1 or -1]), row(tr, item), detail(cell, item): fills a row below, and is false where there is none (not where it scrolls).
  constructor(table, columns, options) {
    Object.assign(this, { columns, options });
    this.#table = table;
    this.#box = table.parentElement;
    this.#empty = this.#box.querySelector(".empty");
    this.#order = options.order ?? null;
    table.tHead.append(el("tr", {}, ...columns.map((column) => this.#headOf(column))));
    table.append(this.#above, this.#body, this.#below);
    if (this.#scrolls()) {
      this.#box.addEventListener("scroll", () => this.#draw(), { passive: true });
      new ResizeObserver(() => this.#draw()).observe(this.#box);
    }
    this.#showOrder();
  }

  // `empty`: what is said when there are no items.
  show(items, empty) {
    const column = this.#order && this.columns.find(({ name }) => name === this.#order[0]);
    if (column) {
      const value = column.sort ?? column.text, direction = this.#order[1];
      const keyed = items.map((item) => [value(item), item]);
      keyed.sort((a, b) => {
        const unknown = (a[0] ?? null) === null || (b[0] ?? null) === null;
        return (unknown ? 1 : direction) * compare(a[0], b[0]);
      });
      items = keyed.map(([, item]) => item);
    }
    this.#items = items;
    setAttribute(this.#table, "aria-rowcount", String(items.length + 1));
    setText(this.#empty, items.length === 0 ? empty : "");
    setHidden(this.#empty, items.length > 0);
    setHidden(this.#table, items.length === 0);
    this.#draw();
  }

  #scrolls() {
    return this.#box.classList.contains("scroll");
  }

  #headOf(column) {
    const head = el("th", { scope: "col", class: column.class });
    if (column.sort || column.text) {
      head.append(el("button", { type: "button", onclick: () => this.#chose(column) }, el("span", { text: column.title })));
    } else {
      head.append(el("span", { class: "hidden-text", text: column.title }));
    }
    this.#heads.push(head);
    return head;
  }

  #chose(column) {
    const again = this.#order?.[0] === column.name;
    this.#order = [column.name, again ? -this.#order[1] : 1];
    this.#showOrder();
    this.show(this.#items, this.#empty.textContent);
  }

  #showOrder() {
    this.#heads.forEach((head, i) => {
      const sorted = this.#order?.[0] === this.columns[i].name;
      setAttribute(head, "aria-sort", sorted ? (this.#order[1] > 0 ? "ascending" : "descending") : null);
    });
  }

  #draw() {
    const count = this.#items.length;
    let first = 0, last = count;
    if (this.#scrolls() && count > 0) {
      const height = this.#box.clientHeight || 600;
      first = Math.max(0, Math.min(Math.floor(this.#box.scrollTop / this.#height), count) - OVERSCAN);
      last = Math.min(count, first + Math.ceil(height / this.#height) + 2 * OVERSCAN);
    }
    const rows = new Map();
    if (this.options.detail) this.#width = String(this.#heads.filter((head) => getComputedStyle(head).display !== "none").length);
    for (let i = first; i < last; i++) {
      const item = this.#items[i], key = this.options.key(item);
      const row = this.#rows.get(key) ?? this.#make();
      this.#fill(row, item);
      setAttribute(row, "aria-rowindex", String(i + 2));
      rows.set(key, row);
    }
    this.#rows = rows;
    const hadFocus = this.#body.contains(document.activeElement);
    arrange(this.#body, [...rows.values()].flatMap((row) => (row.detail?.hidden === false ? [row, row.detail] : [row])));
    // The row that had the focus is gone: the keyboard goes on in the table, not at the top of the page.
    if (hadFocus && !this.#body.contains(document.activeElement)) this.#box.focus({ preventScroll: true });
    stretch(this.#above, first * this.#height);
    stretch(this.#below, (count - last) * this.#height);
    const real = this.#body.firstElementChild?.offsetHeight;
    if (real && Math.abs(real - this.#height) >= 1 && this.#scrolls()) this.#height = real;
  }

  #make() {
    return el("tr", {}, ...this.columns.map((column) => el(column.head ? "th" : "td", { class: column.class, scope: column.head ? "row" : undefined })));
  }

  #fill(row, item) {
    this.columns.forEach((column, i) => {
      const cell = row.cells[i];
      if (column.fill) {
        column.fill(cell, item);
        return;
      }
      const text = column.text(item);
      setText(cell, text);
      // What is cut off can be read in full.
      setAttribute(cell, "title", column.hint ? column.hint(item) : null);
    });
    this.options.row?.(row, item);
    if (!this.options.detail) return;
    row.detail ??= el("tr", { class: "detail" }, el("td"));
    setAttribute(row.detail.firstChild, "colspan", this.#width);
    setHidden(row.detail, !this.options.detail(row.detail.firstChild, item));
    row.classList.toggle("has-detail", !row.detail.hidden);
  }
}

function spacer() {
  return el("tbody", { class: "spacer", "aria-hidden": "true" }, el("tr", {}, el("td")));
}

function stretch(body, height) {
  const cell = body.rows[0].cells[0], text = `${height}px`;
  setHidden(body, height === 0);
  if (cell.style.height !== text) cell.style.height = text;
}
