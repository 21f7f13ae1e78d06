// Where the token is kept: for this tab; in the browser only what a wall may remember.

const NAME = "board token";

// A token that came in the URL's fragment (#token=SECRET), which is removed at once. True when there was one.
export function take() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return false;
  history.replaceState(null, "", location.pathname + location.search);
  use(given);
  return true;
}

export function use(token) {
  sessionStorage.setItem(NAME, token);
}

export function current() {
  return sessionStorage.getItem(NAME) ?? (new URLSearchParams(location.search).has("wall") ? localStorage.getItem(NAME) : null);
}

// What the token may see of itself, without the limits that the page asks for: the beginning of a stream says it.
async function limits() {
  const abort = new AbortController();
  try {
    const answer = await fetch("/api/live", { headers: { Authorization: `Bearer ${current()}` }, signal: abort.signal, credentials: "omit" });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("\n\n")) {
      const { value, done } = await reader.read();
      if (done) return null;
      text += value;
    }
    return JSON.parse(text.match(/^data: (.*)$/m)[1]);
  } catch {
    return null;
  } finally {
    abort.abort();
  }
}

// Keeps the token for the next start of the browser, if it can do no more than read single queues.
export async function rememberIfHarmless() {
  if (localStorage.getItem(NAME) === current()) return;
  localStorage.removeItem(NAME);
  const about = await limits();
  const harmless = about && about.scopes.length === 1 && about.scopes[0] === "read" && about.queues?.length > 0;
  if (harmless) localStorage.setItem(NAME, current());
}

export function forget() {
  sessionStorage.removeItem(NAME);
  localStorage.removeItem(NAME);
}
