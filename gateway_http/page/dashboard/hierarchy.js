// The hierarchy of the services: groups, parents and children, and services that were removed recently. Derived from the state,
// and cached until its structure changes.

import { groupOf } from "./grouping.js";
import { serverTime } from "./state.js";

/** How long a deregistered service stays on the page, in ms. */
export const GONE_FOR = 30 * 60_000;

const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** By name, in natural order; the id decides between equal names. */
export function byName(one, other) {
  return order.compare(one.name, other.name) || (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);
}

/** The rows of each group, by the key of the group and sorted by name, with services deregistered recently. Empty groups are left out. */
export function rowsByGroup(state, now) {
  const tombs = tombstones(state, now);
  const index = indexOf(state);
  if (index.groups === null || index.tombs !== tombs) {
    index.groups = new Map();
    index.tombs = tombs;
    for (const row of [...state.rows.values(), ...tombs]) append(index.groups, row.group, row);
    for (const rows of index.groups.values()) rows.sort(byName);
  }
  return index.groups;
}

/** The row of a service, also of one that was deregistered recently; undefined if there is none. */
export function find(state, id, now) {
  return state.rows.get(id) ?? tombstones(state, now).find((row) => row.id === id);
}

/** The row of the parent of a row: by id, or by a name that is unique; undefined if there is none. */
export function parentOf(state, row) {
  return resolve(state, row.parent, row);
}

/** The children of a service, by name. */
export function childrenOf(state, id) {
  return indexOf(state).children.get(id) ?? [];
}

/** The row with this id, or with this name if the name is unique; never `self`. */
export function resolve(state, word, self) {
  if (!word) return undefined;
  const id = state.rows.has(word) ? word : indexOf(state).names.get(word);
  return id === undefined || id === null || id === self?.id ? undefined : state.rows.get(id);
}

/** Services that were deregistered recently and have not come back, as rows marked `gone`; the newest first. */
export function tombstones(state, now) {
  const oldest = serverTime(state, now) - GONE_FOR;
  const last = new Map();
  for (const event of state.events) {
    if (event.type === "service_deregistered" && event.at > oldest && !state.rows.has(event.service)) last.set(event.service, event);
  }
  const key = `${state.structure} ${[...last.values()].map((event) => event.seq).join()}`;
  if (state.tombs.key !== key) state.tombs = { key, rows: [...last.values()].reverse().map((event) => toTombstone(state, event)) };
  return state.tombs.rows;
}

function toTombstone(state, event) {
  const before = state.departed.get(event.service);
  const name = event.name || before?.name || event.service;
  const group = before?.group ?? groupOf({ name });
  const known = before ?? { type: "", role: "", url: "", caps: [], tier: "", agent_role: "", interval: null, status: "", message: "", incarnation: 0 };
  const gone = { id: event.service, name, group, gone: true, connected: false, liveness: "", known: null, cause: event.cause, since: event.at };
  const parent = before?.parent || event.to;
  return { haystack: `${event.service} ${name} ${parent}`.toLowerCase(), ...known, ...gone, beat: event.lastSeen ?? known.beat ?? null, parent };
}

function indexOf(state) {
  if (state.index !== null) return state.index;
  const names = new Map();
  for (const row of state.rows.values()) names.set(row.name, names.has(row.name) ? null : row.id);
  state.index = { names, children: new Map(), groups: null, tombs: null };
  for (const row of state.rows.values()) {
    const parent = resolve(state, row.parent, row);
    if (parent !== undefined) append(state.index.children, parent.id, row);
  }
  for (const siblings of state.index.children.values()) siblings.sort(byName);
  return state.index;
}

function append(lists, key, item) {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}
