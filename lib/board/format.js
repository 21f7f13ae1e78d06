// Numbers, times and words as the browser's language writes them. Times are epoch seconds, durations seconds.

const number = new Intl.NumberFormat();
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });

export const NONE = "–";

const two = (value) => String(value).padStart(2, "0");

// "0:07", "12:34", "1:02:03".
export function duration(seconds) {
  if (seconds === undefined || seconds === null) return NONE;
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function count(value) {
  return value === undefined || value === null ? NONE : number.format(value);
}

// A share of 0 to 1.
export function share(value) {
  return value === undefined || value === null ? NONE : percent.format(value);
}

// The time of day; with the date when that is not today.
export function time(seconds) {
  if (seconds === undefined || seconds === null) return NONE;
  const date = new Date(seconds * 1000);
  return (date.toDateString() === new Date().toDateString() ? clock : moment).format(date);
}

export function delay(seconds) {
  return seconds === undefined || seconds === null ? NONE : `${number.format(Math.round(seconds * 1000))} ms`;
}

// "no_answer" → "no answer".
export function words(name) {
  return name === undefined || name === null ? NONE : String(name).replaceAll("_", " ").toLowerCase();
}

// A phone without its technology: "PJSIP/1016" → "1016".
export function phone(interface_) {
  return interface_?.slice(interface_.indexOf("/") + 1);
}

// Who is at one end of a call: the name where there is one, and the number.
export function party(number_, name) {
  if (name && number_ && name !== number_) return `${name} ${number_}`;
  return name || number_ || NONE;
}
