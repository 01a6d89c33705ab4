// Selects from the state what the views show: whether the page is live, how each service is, which parent is notified about
// which child, and the headline. Pure.

import { ageWord, causeWord, clockWord, count, some, statusWord } from "./format.js";
import { resolve, tombstones } from "./hierarchy.js";
import { serverTime, tronState } from "./state.js";

/** The gateway says something at least every 5 s; after this long without a word the page is not live. */
export const QUIET_AFTER = 12_000;
/** How long a broken connection is not yet called lost: most come back at once. */
export const LOST_AFTER = 3000;
/** How long an alert about a service that was given up is drawn. */
const MOURNED_FOR = 60_000;

const ATTENTION = new Set(["degraded", "blocked", "waiting_approval", "error", "down"]);
const SUSPICIONS = new Set(["heartbeat_miss", "service_suspect"]);
const TROUBLE = new Set(["heartbeat_miss", "service_suspect", "service_stalled", "service_down", "service_deregistered"]);

/**
 * Whether what is shown is true now: `level` is loading, live, waiting (broken just now) or lost; `what` names who is away,
 * gateway or registry; `since` is the moment (browser's time) from which on nothing is known.
 */
export function freshness(state, now) {
  const quiet = now - state.heardAt > QUIET_AFTER;
  const broken = state.brokenAt ?? (quiet ? state.heardAt : null);
  if (broken !== null) {
    const lost = quiet || now - broken > LOST_AFTER;
    const since = Math.min(broken, state.heardAt);
    if (state.loaded || lost) return { level: lost ? "lost" : "waiting", what: "gateway", since };
  }
  const { live, since } = state.registry;
  if (!live && broken === null) {
    const lost = now - since > LOST_AFTER;
    if (state.loaded || lost) return { level: lost ? "lost" : "waiting", what: "registry", since };
  }
  return { level: state.loaded ? "live" : "loading", what: null, since: state.loaded ? now : state.openedAt };
}

/** Whether a judgement may be shown as true: the page is live, or was a moment ago. */
export function isSure(state, now) {
  const { level } = freshness(state, now);
  return level === "live" || level === "waiting";
}

/** How a row looks: a key of LOOKS. Without a watcher nobody is well: unknown. */
export function lookOf(row, sure) {
  if (row.gone) return "gone";
  if (!sure) return "unknown";
  if (row.liveness === "DOWN") return "down";
  if (row.liveness === "SUSPECT") return "suspect";
  if (row.liveness === "ALIVE") return ATTENTION.has(row.status) ? "attention" : "ok";
  return "unknown";
}

/** What stands beside the symbol; with an operator's word that notices about it are held. */
export function wordOf(row, look) {
  const word = judgementOf(row, look);
  return row.maintained && look !== "gone" ? `${word}, maintenance` : word;
}

function judgementOf(row, look) {
  if (look === "ok") return statusWord(row.status);
  if (look === "attention") return row.status === "error" || row.status === "down" ? `says ${row.status}` : statusWord(row.status);
  if (look === "gone") return "given up";
  if (look === "unknown") {
    const last = row.known?.liveness ?? "";
    return last === "" ? "unknown" : `unknown, was ${last === "ALIVE" ? statusWord(row.status) : last.toLowerCase()}`;
  }
  const cause = causeWord(row.cause);
  return cause === "" ? look : `${look}, ${cause}`;
}

/** How many rows look how, by key of LOOKS, and `all`; those given up are not part of `all`. */
export function counts(state, now) {
  const sure = isSure(state, now);
  const result = { all: state.rows.size, ok: 0, attention: 0, suspect: 0, down: 0, unknown: 0, gone: tombstones(state, now).length };
  for (const row of state.rows.values()) result[lookOf(row, sure)] += 1;
  return result;
}

/** Whether a row has every one of some lower-case words in what it is, says, or looks like. */
export function matches(row, words, look) {
  return words.every((word) => row.haystack.includes(word) || wordOf(row, look).includes(word) || (row.message ?? "").toLowerCase().includes(word));
}

/**
 * Who is told about whom now: [{target, children, level}], for each service in trouble whose recipient is on the page. The
 * recipients are those of its alerts since the trouble began, or else its parent. None while nobody is sure, while TRON is
 * away, while the guard holds judgement back, and about whom an operator holds notices.
 */
export function alarms(state, now) {
  if (!isSure(state, now) || tronState(state) === "away" || state.tron.guard) return [];
  const young = serverTime(state, now) - MOURNED_FOR;
  const mourned = tombstones(state, now).filter((tomb) => tomb.since > young);
  const byTarget = new Map();
  for (const row of [...state.rows.values(), ...mourned]) {
    if (row.liveness !== "DOWN" && row.liveness !== "SUSPECT" && !row.gone) continue;
    if (row.maintained && !row.gone) continue; // nobody is told for now
    for (const target of recipients(state, row)) {
      const alarm = byTarget.get(target.id) ?? { target, children: [], level: "suspect" };
      alarm.children.push(row);
      if (row.gone || row.liveness === "DOWN") alarm.level = "down";
      byTarget.set(target.id, alarm);
    }
  }
  return [...byTarget.values()];
}

function recipients(state, row) {
  const trouble = (state.eventsAbout.get(row.id) ?? []).filter((event) => TROUBLE.has(event.type) && event.at >= (row.since ?? 0) - 1000);
  const told = trouble.map((event) => resolve(state, event.to, row)).filter((each) => each !== undefined);
  if (told.length > 0) return [...new Set(told)];
  const parent = resolve(state, row.parent, row);
  return parent === undefined ? [] : [parent];
}

/** Whether a newer event has overtaken what an alert tells: its service came back, or the suspicion became a death. */
export function isOver(state, event) {
  const later = (state.eventsAbout.get(event.service) ?? []).filter((each) => each.seq > event.seq);
  if (TROUBLE.has(event.type) || event.type === "parent_down") {
    if (later.some((each) => each.type === "heartbeat_restored")) return true;
  }
  return SUSPICIONS.has(event.type) && later.some((each) => each.type === "service_down");
}

/** The newest event about each service that is of these types, the newest first, at most so many. */
export function latest(state, types, most) {
  const found = new Map();
  for (let at = state.events.length - 1; at >= 0 && found.size < most; at -= 1) {
    const event = state.events[at];
    if (event.type in types && !found.has(event.service)) found.set(event.service, event);
  }
  return [...found.values()];
}

/** The state of it all: {tone, text, detail}; tone is ok, attention, alarm, unknown or loading. */
export function headline(state, now) {
  const fresh = freshness(state, now);
  if (fresh.level === "loading") return { tone: "loading", text: "Waiting for the first snapshot", detail: "Nothing has been heard yet." };
  if (fresh.level === "lost") return lostHeadline(state, fresh, now);
  const tron = tronState(state);
  if (tron === "away") {
    return { tone: "unknown", text: "TRON is not watching", detail: "Nobody judges, so nobody is known to be well. Beats are still shown as they come." };
  }
  if (tron === "guard") {
    return { tone: "alarm", text: "Many services fell silent at once", detail: "The mass-failure guard is active: judgement is held back, nobody is given up." };
  }
  return fleetHeadline(state, counts(state, now), now);
}

function lostHeadline(state, fresh, now) {
  const text = fresh.what === "registry" ? "Not live: the registry is away" : "Not live: the connection to the gateway is lost";
  const ago = ageWord(now - fresh.since);
  const at = clockWord(serverTime(state, fresh.since), serverTime(state, now));
  const detail = state.loaded ? `For ${ago}. What you see is from ${at}; nobody knows how it is now.` : `For ${ago}. Nothing has been heard yet.`;
  return { tone: "unknown", text, detail };
}

/** The services that were lost, are not back, and that nobody has acknowledged; the newest first. */
export function losses(state) {
  return state.lost.filter((each) => !state.rows.has(each.id));
}

function lostServices(state, lost, numbers, now) {
  const { cause, at } = lost[0];
  const when = `${clockWord(at, serverTime(state, now))}${causeWord(cause) === "" ? "" : ` (${causeWord(cause)})`}`;
  const said = lost.length === 1 ? `Given up at ${when}` : `The last one was given up at ${when}`;
  const rest = numbers.all === 0 ? "" : ` ${numbers.all === 1 ? "The one registered service is" : `All ${numbers.all.toLocaleString("en")} registered services are`} alive.`;
  return { tone: "alarm", text: `${some(lost.map((each) => each.name))} ${lost.length === 1 ? "was" : "were"} lost`, detail: `${said}; nobody has acknowledged it.${rest}` };
}

function fleetHeadline(state, numbers, now) {
  const lost = losses(state);
  const alsoLost = lost.length === 0 ? "" : `. Lost: ${some(lost.map((each) => each.name))}`;
  const named = (liveness) => some([...state.rows.values()].filter((row) => row.liveness === liveness).map((row) => row.name));
  const gone = numbers.gone > 0 ? `${count(numbers.gone, "was", "were")} given up lately. ` : "";
  if (numbers.down > 0) {
    const also = numbers.suspect > 0 ? `; ${numbers.suspect.toLocaleString("en")} more suspect` : "";
    return { tone: "alarm", text: `${count(numbers.down, "service is", "services are")} down`, detail: `${named("DOWN")}${also}${alsoLost}` };
  }
  if (numbers.suspect > 0) return { tone: "attention", text: `${count(numbers.suspect, "service is", "services are")} suspect`, detail: `${named("SUSPECT")}${alsoLost}` };
  if (lost.length > 0 && numbers.unknown === 0) return lostServices(state, lost, numbers, now);
  if (numbers.all === 0) return { tone: "ok", text: "No services yet", detail: "Whoever registers appears here at once." };
  if (numbers.unknown > 0) return { tone: "attention", text: `${count(numbers.unknown, "service is", "services are")} not judged yet`, detail: alsoLost.replace(/^\. /, "") };
  const asking = numbers.attention > 0 ? `${count(numbers.attention, "asks", "ask")} for attention. ` : "";
  const text = numbers.all === 1 ? "The one service is alive" : `All ${numbers.all.toLocaleString("en")} services are alive`;
  return { tone: gone === "" ? "ok" : "attention", text, detail: `${asking}${gone}`.trim() };
}
