// Formats moments, numbers and states as text. Pure: it knows neither the document nor the clock.

/** The looks of a row, worst first: a title, the symbol of index.html, and a weight that is greater for worse looks. */
export const LOOKS = {
  down: { title: "Down", symbol: "down", weight: 6 },
  gone: { title: "Deregistered", symbol: "gone", weight: 5 },
  suspect: { title: "Suspect", symbol: "suspect", weight: 4 },
  attention: { title: "Attention", symbol: "attention", weight: 3 },
  unknown: { title: "Unknown", symbol: "unknown", weight: 2 },
  ok: { title: "OK", symbol: "ok", weight: 1 },
};

const CAUSES = { DISCONNECTED: "stream broke", SILENT: "silent", STALLED: "no progress" };

/** The cause of a verdict as text; empty if there is none. */
export function causeWord(cause) {
  return cause ? (CAUSES[cause] ?? cause.toLowerCase()) : "";
}

/** A self-reported status as text. */
export function statusWord(status) {
  return String(status || "ok").replaceAll("_", " ");
}

/** How long ago, as short as possible: "0 s", "59 s", "3 min", "2 h 05 min", "4 d". */
export function ageWord(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d`;
}

/** A fixed length of time in milliseconds as text: "250 ms", "2.5 s", "30 s", "5 min". */
export function spanWord(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 10_000) return `${trim(milliseconds / 1000, 1)} s`;
  return ageWord(milliseconds);
}

/** The time of day of a moment, to the second; also the date if it is not on the same day as `now`. */
export function clockWord(moment, now, locale = undefined, timeZone = undefined) {
  const day = (each) => new Date(each).toLocaleDateString(locale, { timeZone });
  const time = new Date(moment).toLocaleTimeString(locale, { hour12: false, timeZone });
  return day(moment) === day(now) ? time : `${day(moment)} ${time}`;
}

/** A figure with at most three significant digits, or a dash if there is none. */
export function figure(value, unit = "") {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text =
    size >= 1e6 ? value.toExponential(1) : size >= 1e4 ? `${trim(value / 1000, 0)}k` : trim(value, size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return unit ? `${text} ${unit}` : text;
}

/** "1 service", "2 services". */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** Names for a sentence: the first few, and the number of the others. */
export function some(names, limit = 3) {
  const shown = names.slice(0, limit).map((name) => shorten(name, 40));
  const more = names.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more.toLocaleString("en")} more` : shown.join(", ");
}

/** A text of at most `limit` characters; an ellipsis marks what is cut off. */
export function shorten(text, limit) {
  const characters = Array.from(String(text));
  return characters.length <= limit ? String(text) : `${characters.slice(0, limit - 1).join("")}…`;
}

function trim(value, digits) {
  return String(Number(value.toFixed(digits)));
}
