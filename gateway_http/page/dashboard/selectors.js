// Selects the data for the views from the state: whether the page is live, the look of each service, which parents are notified
// about which children, and the headline. Pure.

import { typesThat } from "./event_types.js";
import { ageWord, causeWord, clockWord, statusWord } from "./format.js";
import { resolve, tombstones } from "./hierarchy.js";
import * as messages from "./messages.js";
import { serverTime, tronState } from "./state.js";

/** The gateway sends a message at least every 5 s; after this long without one the page is not live. */
export const QUIET_AFTER = 12_000;
/** Time in ms before a broken connection is shown as lost, because most connections come back at once. */
export const LOST_AFTER = 3000;
/** How long an alert about a deregistered service is drawn, in ms. */
const DRAWN_FOR = 60_000;

const ATTENTION = new Set(["degraded", "blocked", "waiting_approval", "error", "down"]);
const SUSPICIONS = typesThat((type) => type.suspicion);
const TROUBLE = typesThat((type) => type.suspicion || type.failure);
const OVER_ONCE_ALIVE = typesThat((type) => type.overOnceAlive);

/**
 * Whether what is shown is current: `level` is loading, live, waiting (broken just now) or lost; `what` is the part that is
 * unreachable, gateway or registry; `since` is the moment (browser's time) from which on nothing is known.
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

/** Whether verdicts may be shown as current: the page is live, or was live a moment ago. */
export function isSure(state, now) {
  const { level } = freshness(state, now);
  return level === "live" || level === "waiting";
}

/** How a row looks: a key of LOOKS. Unknown while liveness is not being evaluated. */
export function lookOf(row, sure) {
  if (row.gone) return "gone";
  if (!sure) return "unknown";
  if (row.liveness === "DOWN") return "down";
  if (row.liveness === "SUSPECT") return "suspect";
  if (row.liveness === "ALIVE") return ATTENTION.has(row.status) ? "attention" : "ok";
  return "unknown";
}

/** The word beside the symbol of a row; with `maintenance` while an operator holds the alerts about the service. */
export function wordOf(row, look) {
  const word = judgementOf(row, look);
  return row.maintained && look !== "gone" ? `${word}, maintenance` : word;
}

function judgementOf(row, look) {
  if (look === "ok") return statusWord(row.status);
  if (look === "attention") return row.status === "error" || row.status === "down" ? `reports ${row.status}` : statusWord(row.status);
  if (look === "gone") return "deregistered";
  if (look === "unknown") {
    const last = row.known?.liveness ?? "";
    return last === "" ? "unknown" : `unknown, was ${last === "ALIVE" ? statusWord(row.status) : last.toLowerCase()}`;
  }
  const cause = causeWord(row.cause);
  return cause === "" ? look : `${look}, ${cause}`;
}

/** The number of rows with each look, by key of LOOKS, and of `all` rows; deregistered services do not count in `all`. */
export function counts(state, now) {
  const sure = isSure(state, now);
  const result = { all: state.rows.size, ok: 0, attention: 0, suspect: 0, down: 0, unknown: 0, gone: tombstones(state, now).length };
  for (const row of state.rows.values()) result[lookOf(row, sure)] += 1;
  return result;
}

/** Whether each of these lower-case words occurs in the data, the message or the state of a row. */
export function matches(row, words, look) {
  return words.every((word) => row.haystack.includes(word) || wordOf(row, look).includes(word) || (row.message ?? "").toLowerCase().includes(word));
}

/**
 * Which recipient is notified about which services now: [{target, children, level}], for each service in trouble whose
 * recipient is on the page. Recipients are those of its alerts since the trouble began, or else its parent. None while the
 * page is not live, while TRON is away, while the guard is active, and for services in maintenance.
 */
export function alarms(state, now) {
  if (!isSure(state, now) || tronState(state) === "away" || state.tron.guard) return [];
  const young = serverTime(state, now) - DRAWN_FOR;
  const removed = tombstones(state, now).filter((tomb) => tomb.since > young);
  const byTarget = new Map();
  for (const row of [...state.rows.values(), ...removed]) {
    if (row.liveness !== "DOWN" && row.liveness !== "SUSPECT" && !row.gone) continue;
    if (row.maintained && !row.gone) continue; // its notices are held
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
  const notified = trouble.map((event) => resolve(state, event.to, row)).filter((each) => each !== undefined);
  if (notified.length > 0) return [...new Set(notified)];
  const parent = resolve(state, row.parent, row);
  return parent === undefined ? [] : [parent];
}

/** Whether a newer event has made an alert obsolete: its service recovered, or the suspected service is now down. */
export function isOver(state, event) {
  const later = (state.eventsAbout.get(event.service) ?? []).filter((each) => each.seq > event.seq);
  if (OVER_ONCE_ALIVE.has(event.type)) {
    if (later.some((each) => each.type === "heartbeat_restored")) return true;
  }
  return SUSPICIONS.has(event.type) && later.some((each) => each.type === "service_down");
}

/** The newest event of these types about each service, the newest first, at most `most` events. */
export function latest(state, types, most) {
  const found = new Map();
  for (let at = state.events.length - 1; at >= 0 && found.size < most; at -= 1) {
    const event = state.events[at];
    if (event.type in types && !found.has(event.service)) found.set(event.service, event);
  }
  return [...found.values()];
}

/** The headline about the whole system: {tone, text, detail}; tone is ok, attention, alarm, unknown or loading. */
export function headline(state, now) {
  const fresh = freshness(state, now);
  if (fresh.level === "loading") return messages.LOADING;
  if (fresh.level === "lost") return lostHeadline(state, fresh, now);
  const tron = tronState(state);
  if (tron === "away") return messages.TRON_AWAY;
  if (tron === "guard") return messages.GUARD;
  return fleetHeadline(state, counts(state, now), now);
}

function lostHeadline(state, fresh, now) {
  const at = clockWord(serverTime(state, fresh.since), serverTime(state, now));
  return messages.notLive(fresh.what, ageWord(now - fresh.since), state.loaded ? at : null);
}

/** The services that were lost, are not back, and are not acknowledged; the newest first. */
export function losses(state) {
  return state.lost.filter((each) => !state.rows.has(each.id));
}

function fleetHeadline(state, numbers, now) {
  const lost = losses(state);
  const lostNames = lost.map((each) => each.name);
  const also = messages.alsoLost(lostNames);
  const named = (liveness) => [...state.rows.values()].filter((row) => row.liveness === liveness).map((row) => row.name);
  if (numbers.down > 0) return messages.down(numbers.down, named("DOWN"), numbers.suspect, also);
  if (numbers.suspect > 0) return messages.suspect(numbers.suspect, named("SUSPECT"), also);
  if (lost.length > 0 && numbers.unknown === 0) {
    return messages.lost(lostNames, clockWord(lost[0].at, serverTime(state, now)), causeWord(lost[0].cause), numbers.all);
  }
  if (numbers.all === 0) return messages.EMPTY;
  if (numbers.unknown > 0) return messages.unknown(numbers.unknown, also);
  return messages.alive(numbers.all, numbers.attention, numbers.gone);
}
