// The data that the page has received, and the rules that change it: no document, no connection, no clock; `now` is the browser's time in ms.
//
// A row is one service, an event one line of the log (translate.js). `version` grows with each message, `structure` when rows
// came, went, or moved; what is derived from the rows is cached until then.

import { groupOf } from "./grouping.js";
import { toEvent, toLost, toRow } from "./translate.js";

const MOST_EVENTS = 1000;
const MOST_DEPARTED = 500;
const MOST_NEWS = 100;
const MOST_GAPS = 200;

/** A clock that differs by more than this many ms was set; a smaller difference is a delay. */
const CLOCK_SET = 5000;

/** The fields of a row that determine its place on the page. */
const PLACES = ["name", "parent", "group"];

/** The state of a page that has received nothing yet. `now`: when the page was opened. */
export function createState(now) {
  return {
    rows: new Map(),
    events: [],
    eventsAbout: new Map(),
    openAlerts: new Set(),
    openAsOf: 0,
    lost: [],
    gaps: [],
    covered: now,
    registry: { live: false, since: now },
    tron: { reachable: false, watching: false, guard: false },
    loaded: false,
    openedAt: now,
    heardAt: now,
    brokenAt: null,
    offset: null,
    version: 0,
    structure: 0,
    news: [],
    departed: new Map(),
    draft: null,
    index: null,
    tombs: { key: "", rows: [] },
  };
}

/** Process one message of `/v1/stream`. Returns what must be requested because of it: "history", "alerts", or undefined. */
export function receive(state, kind, message, now) {
  state.heardAt = now;
  state.brokenAt = null;
  state.version += 1;
  switch (kind) {
    case "state":
      return takeStatus(state, message, now);
    case "snapshot":
      return takeSnapshot(state, message);
    case "services":
      for (const service of message.upserted ?? []) upsert(state, service);
      for (const id of message.removed ?? []) remove(state, id);
      return undefined;
    case "heard":
      for (const [id, at] of Object.entries(message.at ?? {})) hear(state, id, Date.parse(at));
      return undefined;
    case "event":
      addEvents(state, [toEvent(message)]);
      return message.recipient || message.type === "service_deregistered" ? "alerts" : undefined;
    case "gap":
      return "history";
    default: // a newer gateway may say more
      return undefined;
  }
}

/** Store the history: events, the time since which they are complete, the periods in which liveness was not observed, and open alerts. */
export function takeHistory(state, { events, covered, gaps, open, lost }, now) {
  addEvents(state, events.map(toEvent));
  state.covered = Date.parse(covered) || now;
  state.gaps = gaps.map(([from, to]) => [Date.parse(from), to === null ? null : Date.parse(to)]);
  keepGaps(state, now);
  takeOpen(state, { open, lost }, events.at(-1)?.sequence ?? 0);
}

/**
 * Store the ids of the open alerts, and the lost services whose loss is not acknowledged.
 * The lists may not contain events after `asOf` yet.
 */
export function takeOpen(state, { open, lost }, asOf) {
  state.openAlerts = new Set(open);
  state.lost = (lost ?? []).map(toLost);
  state.openAsOf = Math.max(state.openAsOf, asOf);
  state.version += 1;
}

/** Record that the connection broke: from now on the current state is unknown. */
export function broke(state, now) {
  state.brokenAt ??= now;
  keepGaps(state, now);
  state.version += 1;
}

/** Record that the page is visible again after it closed its stream; the missed messages will arrive soon. */
export function woke(state, now) {
  state.heardAt = Math.max(state.heardAt, now);
}

/** The gateway's time. Ages are computed by its clock: the browser's own may be wrong by hours. */
export function serverTime(state, now) {
  return now + (state.offset ?? 0);
}

/** What TRON does: "watching", "guard" (alerts are held), "mute" (it issues verdicts, but does not answer requests), or "away". */
export function tronState(state) {
  if (state.tron.watching) return state.tron.guard ? "guard" : "watching";
  if (state.tron.reachable) return "away";
  // Its verdicts are the proof: the registry shows UNKNOWN for all as soon as TRON stops watching.
  for (const row of state.rows.values()) if (row.liveness !== "UNKNOWN") return "mute";
  return "away";
}

/** The changes of liveness since the last call, as {id, name, from, to}; at most a hundred. */
export function takeNews(state) {
  const { news } = state;
  state.news = [];
  return news;
}

// --- inside ------------------------------------------------------------------------------------------------------------

function takeStatus(state, { live, stale_for: staleFor, now: at, tron }, now) {
  keepTime(state, Date.parse(at), now);
  if (live) state.registry = { live: true, since: null };
  else state.registry = { live: false, since: now - (staleFor ?? 0) * 1000 };
  state.tron = {
    reachable: Boolean(tron?.reachable),
    watching: Boolean(tron?.watching),
    guard: Boolean(tron?.guard_active),
  };
  keepGaps(state, now);
}

function keepTime(state, at, now) {
  if (Number.isNaN(at)) return;
  const offset = at - now;
  // The least delayed message is the truest; a later one may only pull slowly, unless a clock was set.
  const jumped = state.offset === null || Math.abs(offset - state.offset) > CLOCK_SET;
  state.offset = jumped || offset > state.offset ? offset : state.offset + (offset - state.offset) * 0.02;
}

// When liveness was not observed, as far as this page saw it; what was before it came from the gateway with the history.
function keepGaps(state, now) {
  const watched = state.brokenAt === null && state.registry.live && tronState(state) !== "away";
  const last = state.gaps.at(-1);
  const at = serverTime(state, state.brokenAt ?? state.registry.since ?? now);
  if (watched && last !== undefined && last[1] === null) last[1] = serverTime(state, now);
  else if (!watched && (last === undefined || last[1] !== null)) state.gaps.push([at, null]);
  if (state.gaps.length > MOST_GAPS) state.gaps.shift();
}

// A snapshot is built aside and takes the place of what was, so that a reconnection does not blink.
function takeSnapshot(state, { services, first, complete }) {
  if (first) state.draft = new Map();
  if (state.draft === null) return undefined;
  for (const service of services) {
    const row = place(toRow(service), state.rows.get(service.service_id));
    state.draft.set(row.id, row);
  }
  if (!complete) return undefined;
  if (state.loaded) {
    for (const row of state.rows.values()) {
      if (!state.draft.has(row.id)) depart(state, row);
    }
    for (const row of state.draft.values()) note(state, row, state.rows.get(row.id)?.liveness);
  }
  state.rows = state.draft;
  state.draft = null;
  state.loaded = true;
  restructure(state);
  return "history";
}

function upsert(state, service) {
  if (!state.loaded) return;
  const before = state.rows.get(service.service_id);
  const row = place(toRow(service), before);
  if (before === undefined) {
    state.rows.set(row.id, row);
    restructure(state);
    note(state, row, undefined);
    return;
  }
  const liveness = before.liveness;
  const moved = PLACES.some((key) => before[key] !== row[key]);
  Object.assign(before, row); // in place: indices and views hold the row itself
  if (moved) restructure(state);
  note(state, before, liveness);
}

function hear(state, id, at) {
  const row = state.rows.get(id);
  if (row !== undefined && !Number.isNaN(at)) row.beat = at;
}

function remove(state, id) {
  const row = state.rows.get(id);
  if (row === undefined) return;
  state.rows.delete(id);
  depart(state, row);
  restructure(state);
}

function place(row, before) {
  row.group = groupOf(row);
  row.haystack = [row.id, row.name, row.type, row.role, row.agent_role, row.tier, row.parent, row.url, ...row.caps].join(" ").toLowerCase();
  // The last judgement, for the time in which there is none.
  row.known = row.liveness === "UNKNOWN" ? (before?.known ?? null) : { liveness: row.liveness, since: row.since };
  return row;
}

function note(state, row, before) {
  if (before === row.liveness || state.news.length >= MOST_NEWS) return;
  if (before === undefined && row.liveness !== "DOWN") return;
  state.news.push({ id: row.id, name: row.name, from: before ?? "", to: row.liveness });
}

function depart(state, row) {
  state.departed.delete(row.id);
  state.departed.set(row.id, row);
  if (state.departed.size > MOST_DEPARTED) state.departed.delete(state.departed.keys().next().value);
}

function addEvents(state, events) {
  const newest = state.events.at(-1)?.seq ?? 0;
  const inOrder = events.every((event, at) => event.seq > (at === 0 ? newest : events[at - 1].seq));
  if (inOrder) state.events.push(...events);
  else {
    const bySequence = new Map([...state.events, ...events].map((event) => [event.seq, event]));
    state.events = [...bySequence.values()].sort((one, other) => one.seq - other.seq);
  }
  const surplus = state.events.length - MOST_EVENTS;
  if (surplus > 0) {
    // What is dropped here is as unknown as what was never received.
    state.covered = Math.max(state.covered, state.events[surplus - 1].at);
    state.events.splice(0, surplus);
  }
  if (inOrder && surplus <= 0) for (const event of events) fileEvent(state, event);
  else {
    state.eventsAbout = new Map();
    for (const event of state.events) fileEvent(state, event);
  }
  state.version += 1;
}

function fileEvent(state, event) {
  if (!event.service) return;
  const about = state.eventsAbout.get(event.service);
  if (about === undefined) state.eventsAbout.set(event.service, [event]);
  else about.push(event);
}

function restructure(state) {
  state.structure += 1;
  state.index = null;
}
