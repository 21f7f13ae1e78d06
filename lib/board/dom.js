// Elements are made and filled here. What comes from the PBX is text: it never becomes HTML.

// el("p", { class: "x", text: "…", onclick: fn, hidden: true }, child, …): an element; properties that begin with "on" are listeners.
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "text") element.textContent = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(key, value);
    else if (value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// Writes only what differs, so that what stays the same costs nothing and keeps a selection.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === undefined || value === null || value === "") {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

// Makes `wanted` the children of `parent`. What is there and wanted is moved only where the order changed; the focus stays where it was.
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  for (let node = parent.firstChild; node;) {
    const next = node.nextSibling;
    if (!keep.has(node)) node.remove();
    node = next;
  }
  let cursor = parent.firstChild;
  for (const node of wanted) {
    if (node === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(node, cursor);
  }
  if (focused && focused.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

// As arrange() for one element for each item of `items`: make(item) gives it once for each key(item), fill(element, item, index) writes it.
export class List {
  constructor(parent, { key, make, fill }) {
    Object.assign(this, { parent, key, make, fill, elements: new Map() });
  }

  show(items) {
    const elements = new Map();
    items.forEach((item, index) => {
      const key = this.key(item);
      const element = this.elements.get(key) ?? this.make(item);
      this.fill(element, item, index);
      elements.set(key, element);
    });
    this.elements = elements;
    arrange(this.parent, [...elements.values()]);
  }
}
