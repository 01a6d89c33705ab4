// The past of one service as a row of slots, from the event log and from the record of the service. Times in which liveness was
// not observed are shown as such, neither up nor down.

import { typesThat } from "./event_types.js";

/** The states of a slot. If several occur in one slot, the last one in this list is shown. */
export const STATES = ["none", "unseen", "alive", "gone", "suspect", "down"];

const JUDGEMENTS = typesThat((type) => type.suspicion || type.failure).add("heartbeat_restored");

const WINS = new Map(STATES.map((state, rank) => [state, rank]));

/**
 * The states of `slots` slots of `slotLength` ms, oldest first; the last one holds `now`.
 *
 * `row` is the record: `liveness` as judged last, `since`, `registered`, `interval` (ms). `events` are those about it,
 * oldest first. `covered` is the moment since which the event log is known to us; `gaps` are the stretches [from, to] in
 * which liveness was not evaluated, `to` null for one that lasts.
 */
export function slotsOf({ row, events: all, gaps, covered, now, slots, slotLength }) {
  const events = judgements(all);
  const end = Math.floor(now / slotLength) * slotLength + slotLength;
  const start = end - slots * slotLength;
  const states = new Array(slots).fill("none");
  const paint = (from, to, state) => {
    const first = Math.max(0, Math.floor((from - start) / slotLength));
    // A stretch ends before `to`, so that what ended on the edge does not reach into the next slot; a moment has its slot.
    const last = Math.min(slots - 1, Math.max(first, Math.ceil((Math.min(to, now) - start) / slotLength) - 1));
    for (let slot = first; slot <= last; slot += 1) {
      if (WINS.get(state) > WINS.get(states[slot])) states[slot] = state;
    }
  };
  const seen = subtract(stretches(row, events, covered, now), gaps, now);
  if (row !== null || events.length > 0) paint(birth(row, events, start), now, "unseen");
  for (const [from, to, state] of seen) {
    if (to >= start && from <= now) paint(from, to, state);
  }
  return states;
}

/** A sentence that describes a row of slots, for screen readers. */
export function sentenceOf(states, slotLength) {
  const minutes = (states.length * slotLength) / 60_000;
  const parts = [];
  for (const [state, words] of [
    ["down", "down"],
    ["suspect", "suspect"],
    ["gone", "deregistered"],
    ["unseen", "not observed"],
  ]) {
    const share = states.filter((each) => each === state).length;
    if (share > 0) parts.push(`${words} in ${share}`);
  }
  const known = states.filter((each) => each !== "none").length;
  const over = `Last ${Number(minutes.toFixed(1))} min in ${states.length} slots`;
  if (known === 0) return `${over}: not registered`;
  return `${over}: ${parts.length > 0 ? parts.join(", ") : "alive throughout"}${known < states.length ? ", registered for only part of this time" : ""}`;
}

// The judgements among the events, each once: an escalated alert is in the log once for each recipient.
function judgements(events) {
  const seen = new Set();
  return events.filter((event) => {
    if (!JUDGEMENTS.has(event.type) || seen.has(event.id)) return false;
    seen.add(event.id);
    return true;
  });
}

// Before its first sign there was no such service, as far as we know.
function birth(row, events, start) {
  const signs = events.length > 0 ? [events[0].lastSeen ?? events[0].at, events[0].at] : [];
  if (row !== null) signs.push(row.registered ?? start, row.known?.since ?? row.since ?? Infinity);
  return Math.max(start, Math.min(...signs));
}

// What is known, as [from, to, state]. An alert about a living service also says that it was alive until then.
function stretches(row, events, covered, now) {
  const known = row === null ? null : (row.known ?? row);
  const result = [];
  let aliveSince = row === null ? null : Math.max(covered, row.registered ?? covered);
  events.forEach((event, index) => {
    const next = events[index + 1]?.at ?? Infinity;
    switch (event.type) {
      case "heartbeat_miss":
      case "service_suspect":
      case "service_stalled": {
        if (aliveSince !== null && aliveSince < event.at) result.push([aliveSince, event.at, "alive"]);
        // No event says that a suspect has recovered; its record does, but only for the last time.
        const recovered = known?.liveness === "ALIVE" && known.since > event.at ? known.since : Infinity;
        const patience = known?.liveness === "SUSPECT" && next === Infinity ? Infinity : event.at + 2 * (row?.interval ?? 30_000);
        const until = Math.min(next, recovered, patience);
        result.push([event.at, until, "suspect"]);
        aliveSince = next === Infinity || events[index + 1].type === "service_down" ? null : until;
        break;
      }
      case "service_down":
        if (aliveSince !== null && aliveSince < event.at) result.push([aliveSince, event.at, "alive"]);
        result.push([event.at, next, "down"]);
        aliveSince = null;
        break;
      case "service_deregistered":
        result.push([event.at, Math.min(next, row?.registered > event.at ? row.registered : Infinity), "gone"]);
        aliveSince = null;
        break;
      case "heartbeat_restored":
        aliveSince = event.at;
        break;
      default:
    }
  });
  if (known !== null && known.liveness === "ALIVE") {
    result.push([Math.min(aliveSince ?? Infinity, known.since ?? Infinity, now), now, "alive"]);
  } else if (known !== null && (known.liveness === "DOWN" || known.liveness === "SUSPECT")) {
    result.push([known.since ?? now, now, known.liveness.toLowerCase()]);
  }
  return result.filter(([from, to]) => to >= from);
}

function subtract(pieces, gaps, now) {
  let left = pieces;
  for (const [from, to] of gaps) {
    const until = to ?? now + 1;
    left = left.flatMap(([start, end, state]) => {
      if (end <= from || start >= until) return [[start, end, state]];
      const kept = [];
      if (start < from) kept.push([start, from, state]);
      if (end > until) kept.push([until, end, state]);
      return kept;
    });
  }
  return left;
}
