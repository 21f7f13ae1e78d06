// The page: signs in, follows the stream, and shows it as the board or as a wall.
import { useToken } from "./actions.js";
import { setHidden, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { time } from "./format.js";
import { Supervisor } from "./supervisor.js";
import * as tokens from "./tokens.js";
import { Wall } from "./wall.js";

// The page is written at most so often: changes come faster than anyone reads.
const PERIOD = 200, TICK = 1000, WALL_RETRY = 60000;

const page = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);
const isWall = asked.has("wall");

// What of the page's own query limits the stream.
function query() {
  const limits = new URLSearchParams();
  for (const name of ["queue", "server"]) for (const value of asked.getAll(name)) limits.append(name, value);
  return limits.size > 0 ? `?${limits}` : "";
}

let feed = null, view = null, drawn = 0, waiting = false, version = null;

function show(id) {
  for (const each of ["signin", "board", "wall"]) setHidden(page(each), each !== id);
}

// ---- drawing ----

function draw() {
  waiting = false;
  if (!feed) return;
  drawn = performance.now();
  if (feed.whole) view.draw(feed.picture, feed.now(), feed.stale);
}

function request() {
  if (waiting) return;
  waiting = true;
  const early = PERIOD - (performance.now() - drawn);
  if (early > 0) setTimeout(() => requestAnimationFrame(draw), early);
  else requestAnimationFrame(draw);
}

setInterval(() => { if (feed) request(); }, TICK);

// ---- the stream ----

function state() {
  const { stale } = feed;
  document.body.classList.toggle("stale", stale !== null && feed.whole);
  const note = page("stale");
  setHidden(note, stale === null || isWall);
  setText(note, stale ? `${feed.whole ? `Not live since ${time(stale.since)}` : "Connecting"}: ${stale.text}. Trying again …` : "");
  view.state(stale, feed.whole);
  request();
}

function changed() {
  const { about } = feed.picture;
  if (!feed.whole) return;
  // A wall that runs for days takes up a new version of itself.
  if (isWall && version && version !== about.version) location.reload();
  if (isWall && !version) tokens.rememberIfHarmless();
  version = about.version;
  show(isWall ? "wall" : "board");
  view.about(about);
  request();
}

function refused({ status, text }) {
  // Nobody stands before a wall: it stays, greyed, and tries again.
  if (isWall && feed.whole) return;
  signOut(status === 401 ? "The engine does not know this token." : `The engine refuses: ${text}.`);
  if (isWall) setTimeout(() => { if (!feed && tokens.current()) begin(); }, WALL_RETRY);
}

function begin() {
  useToken(tokens.current());
  view ??= isWall ? new Wall(page("wall"), asked) : new Supervisor(signOut);
  page("signin-button").disabled = true;
  feed = new Feed(tokens.current(), query(), { changed, state, refused });
}

function signOut(message = "") {
  feed?.end();
  feed = null;
  document.body.classList.remove("stale");
  if (!isWall) tokens.forget();
  page("signin-button").disabled = false;
  setText(page("signin-error"), message);
  show("signin");
  page("token").select();
}

page("signin-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const value = page("token").value.trim();
  if (feed || value === "") return;
  tokens.use(value);
  setText(page("signin-error"), "");
  begin();
});

addEventListener("hashchange", () => { if (tokens.take()) location.reload(); });

tokens.take();
if (tokens.current()) begin();
else show("signin");
if (page("signin").hidden === false) page("token").focus();
