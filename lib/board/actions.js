// What a token with the scope `act` may do. Each action is confirmed in a dialog, which then shows what Asterisk answered.
import { el } from "./dom.js";
import { duration, party, words } from "./format.js";

const dialog = document.getElementById("dialog");
let token = "", returnTo = null, place = null;

export function useToken(value) {
  token = value;
}

// One action: true and what Asterisk said, or false and why not.
async function send(server, action) {
  try {
    // A phone may ring for a while.
    const timeout = action.Action === "Originate" ? "?timeout=60" : "";
    const answer = await fetch(`/api/servers/${encodeURIComponent(server)}/actions${timeout}`, {
      method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, body: JSON.stringify(action), credentials: "omit",
    });
    const result = await answer.json();
    return { good: answer.ok && result.success === true, text: result.message || result.error || result.response?.Response || words(result.code) };
  } catch {
    return { good: false, text: "The engine was not reached. Whether the action was carried out is not known." };
  }
}

// ---- the dialog ----

function remembered(name) {
  return sessionStorage.getItem(`board ${name}`) ?? "";
}

function field({ name, label, value, required = true, keep, list, pattern, hint }) {
  const id = `field-${name}`;
  const input = el("input", { id, name, type: "text", required, autocomplete: "off", spellcheck: "false", autocapitalize: "off", list: list ? `${id}-list` : undefined, pattern });
  input.value = value ?? (keep ? remembered(name) : "");
  const parts = [el("label", { for: id, text: label }), input];
  if (list) parts.push(el("datalist", { id: `${id}-list` }, ...list.map((text) => el("option", { value: text }))));
  if (hint) parts.push(el("p", { class: "quiet", text: hint }));
  return el("div", { class: "field", "data-keep": keep ? name : undefined }, ...parts);
}

function factsOf(facts) {
  const shown = facts.filter(([, text]) => text !== undefined);
  return el("dl", { class: "facts" }, ...shown.flatMap(([name, text]) => [el("dt", { text: name }), el("dd", { text })]));
}

// `choices`: [{ name, label, verb, danger, fields, actions(values) → [[server, action], …] }]; with one choice there is nothing to choose.
// `gone()`: why it can no longer be done, or undefined.
function ask({ title, facts, choices, gone }) {
  const form = el("form", { method: "dialog" });
  const body = el("div", { class: "fields" });
  const result = el("div", { class: "result", role: "status" });
  const confirm = el("button", { type: "submit", class: "primary" });
  const close = el("button", { type: "button", text: "Cancel", onclick: () => dialog.close() });
  let choice = choices[0];

  const choose = (next) => {
    choice = next;
    body.replaceChildren(...(choice.fields ?? []).map(field));
    confirm.textContent = choice.verb;
    confirm.classList.toggle("danger", choice.danger === true);
    result.replaceChildren();
  };
  const options = choices.length < 2 ? [] : [el("fieldset", { class: "choices" }, el("legend", { text: "What to do" }),
    ...choices.map((each, i) => {
      const input = el("input", { type: "radio", name: "choice", value: each.name, onchange: () => choose(each) });
      input.checked = i === 0;
      return el("label", {}, input, each.label);
    }))];

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const why = gone?.();
    if (why) return say(result, [{ good: false, text: why }]);
    for (const kept of body.querySelectorAll("[data-keep]")) sessionStorage.setItem(`board ${kept.dataset.keep}`, kept.querySelector("input").value);
    const values = Object.fromEntries([...new FormData(form)].map(([name, text]) => [name, text.trim()]));
    confirm.disabled = true;
    result.replaceChildren(el("p", { class: "quiet", text: "Sent. Waiting for the answer …" }));
    const actions = choice.actions(values);
    const answers = await Promise.all(actions.map(async ([server, action, label]) => ({ label, ...(await send(server, action)) })));
    confirm.disabled = false;
    say(result, answers);
    if (answers.every(({ good }) => good)) {
      confirm.hidden = true;
      close.textContent = "Close";
      close.focus();
    }
  });
  form.append(el("h2", { id: "dialog-title", text: title }), factsOf(facts), ...options, body, result, el("div", { class: "buttons" }, close, confirm));
  choose(choice);
  returnTo = document.activeElement;
  place = returnTo.closest(".sheet");
  dialog.replaceChildren(form);
  dialog.showModal();
  form.querySelector("input:not([type=radio]), input:checked, button")?.focus();
}

function say(result, answers) {
  result.replaceChildren(...answers.map(({ good, text, label }) => el("p", { class: good ? "good" : "error", text: `${good ? "✓" : "✗"} ${label ? `${label}: ` : ""}${text}` })));
}

dialog.addEventListener("close", () => {
  // Its row may be gone by now.
  if (returnTo?.isConnected) returnTo.focus();
  else place?.focus({ preventScroll: true });
  returnTo = place = null;
});

// ---- the actions ----

function phones(picture, server) {
  const names = [];
  for (const endpoint of picture.endpoints.values()) if (endpoint.server === server && endpoint.endpoint && !endpoint.trunk) names.push(endpoint.name);
  return names.slice(0, 500);
}

const PHONE = { name: "phone", label: "Your phone", keep: true, pattern: "[A-Za-z0-9]+/.+", hint: "A channel such as PJSIP/101. It rings first." };
const CONTEXT = { name: "context", label: "Context", keep: true };

// `mayCall`: the token may begin calls.
export function aboutCall(picture, call, now, mayCall) {
  const current = () => picture.calls.get(`${call.server}\u0000${call.id}`);
  const channel = () => (current() ?? call).caller ?? (current() ?? call).channels?.[0] ?? call.peer;
  const listen = {
    name: "listen", label: "Listen in", verb: "Listen in", fields: [{ ...PHONE, list: phones(picture, call.server) }],
    // q: no announcement, E: ends with the channel.
    actions: ({ phone }) => [[call.server, { Action: "Originate", Channel: phone, Application: "ChanSpy", Data: `${(current() ?? call).peer ?? channel()},qE`, CallerID: "Listen in", Async: true }]],
  };
  const redirect = {
    name: "redirect", label: "Redirect the caller", verb: "Redirect", fields: [{ name: "exten", label: "To extension" }, { ...CONTEXT, value: remembered("context") || "default" }],
    actions: ({ exten, context }) => [[call.server, { Action: "Redirect", Channel: channel(), Exten: exten, Context: context, Priority: 1 }]],
  };
  const hangup = {
    name: "hangup", label: "Hang up", verb: "Hang up", danger: true,
    actions: () => [[call.server, { Action: "Hangup", Channel: channel() }]],
  };
  ask({
    title: `Call ${party(call.from, call.from_name)} → ${party(call.to, call.to_name)}`,
    facts: [["State", words(call.state)], ["Running for", call.started && duration(now - call.started)], ["Queue", call.queue], ["Agent", call.agent_name ?? call.agent], ["Channel", channel()], ["Server", call.server]],
    choices: mayCall ? [listen, redirect, hangup] : [redirect, hangup],
    gone: () => (current() ? undefined : "The call has ended."),
  });
}

export function aboutAgent(picture, agent) {
  const members = [];
  for (const queue of picture.queues.values()) {
    if (queue.server !== agent.server) continue;
    for (const member of queue.members) if ((member.agent ?? member.interface) === agent.interface) members.push({ queue: queue.name, ...member });
  }
  const paused = members.length > 0 ? members.every((member) => member.paused) : agent.state === "paused";
  const actions = (value) => ({ reason }) => members.map((member) => [agent.server,
    { Action: "QueuePause", Queue: member.queue, Interface: member.interface, Paused: value, ...(reason ? { Reason: reason } : {}) }, member.queue]);
  ask({
    title: `${paused ? "Unpause" : "Pause"} ${agent.name ?? agent.interface}?`,
    facts: [["State", words(agent.state)], ["Paused for", agent.paused_reason || undefined], ["Queues", members.map((member) => member.queue).join(", ")], ["Server", agent.server]],
    choices: [paused ? { verb: "Unpause", actions: actions(false) }
      : { verb: "Pause", fields: [{ name: "reason", label: "Reason", required: false }], actions: actions(true) }],
    gone: () => (members.length === 0 ? "This agent serves no queue." : undefined),
  });
}

export function newCall(picture) {
  const servers = [...picture.servers.keys()];
  const server = servers[0];
  if (!server) return;
  ask({
    title: "New call",
    facts: [],
    choices: [{
      verb: "Call",
      fields: [...(servers.length > 1 ? [{ name: "server", label: "Server", value: server, list: servers }] : []), { ...PHONE, list: phones(picture, server) },
        { name: "exten", label: "Number" }, { ...CONTEXT, value: remembered("context") || "default" }],
      actions: (values) => [[values.server ?? server,
        { Action: "Originate", Channel: values.phone, Exten: values.exten, Context: values.context, Priority: 1, CallerID: values.exten, Async: true }]],
    }],
  });
}
