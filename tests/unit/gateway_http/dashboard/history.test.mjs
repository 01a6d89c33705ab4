import assert from "node:assert/strict";
import { test } from "node:test";

import { sentenceOf, slotsOf } from "../../../../gateway_http/page/dashboard/history.js";
import { toEvent, toRow } from "../../../../gateway_http/page/dashboard/translate.js";
import { event, iso, service, T0 } from "./builders.mjs";

const MINUTE = 60_000;
const ago = (minutes) => iso(T0 - minutes * MINUTE);
const SHORT = { none: " ", unseen: "·", alive: "a", suspect: "s", down: "D", gone: "g" };

// Ten slots of a minute; the last one is the running minute.
function strip({ row = service("child"), events = [], gaps = [], covered = T0 - 1000 * MINUTE, known } = {}) {
  const record = row === null ? null : { ...toRow(row), known: known ?? null };
  const slots = slotsOf({ row: record, events: events.map(toEvent), gaps, covered, now: T0 + 30_000, slots: 10, slotLength: MINUTE });
  return slots.map((state) => SHORT[state]).join("");
}

test("who was alive all the time is alive all the time", () => {
  assert.equal(strip(), "aaaaaaaaaa");
});

test("before it was registered there was nothing", () => {
  assert.equal(strip({ row: service("child", { registered_at: ago(3), liveness_since: ago(3) }) }), "      aaaa");
});

test("what was not observed is neither up nor down", () => {
  assert.equal(strip({ gaps: [[T0 - 6 * MINUTE, T0 - 3 * MINUTE]] }), "aaa···aaaa");
  assert.equal(strip({ gaps: [[T0 - 2 * MINUTE, null]] }), "aaaaaaa···");
  const down = service("child", { liveness: "DOWN", liveness_since: ago(8) });
  assert.equal(strip({ row: down, gaps: [[T0 - 2 * MINUTE, null]] }), "·DDDDDD···", "it is not known to have stayed down");
});

test("a judgement that nobody holds up any more is drawn only up to the gap", () => {
  const unknown = service("child", { liveness: "UNKNOWN" });
  assert.equal(strip({ row: unknown }), "··········");
  const known = { liveness: "ALIVE", since: T0 - 60 * MINUTE };
  assert.equal(strip({ row: unknown, known, gaps: [[T0 - 2 * MINUTE, null]] }), "aaaaaaa···");
});

test("down from the alert to the return", () => {
  const events = [event(1, "service_suspect", { occurred_at: ago(5) }), event(2, "service_down", { occurred_at: ago(4) }), event(3, "heartbeat_restored", { occurred_at: ago(2) })];
  const row = service("child", { liveness_since: ago(2) });
  assert.equal(strip({ row, events }), "aaaasDDaaa");
});

test("a suspicion that passed without a word ends where the record says so", () => {
  const events = [event(1, "heartbeat_miss", { occurred_at: ago(5) })];
  assert.equal(strip({ row: service("child", { liveness_since: ago(4) }), events }), "aaaasaaaaa");
});

test("a suspicion of long ago does not colour what came after it", () => {
  const events = [event(1, "heartbeat_miss", { occurred_at: ago(8) }), event(2, "heartbeat_miss", { occurred_at: ago(3) })];
  assert.equal(strip({ row: service("child", { liveness_since: ago(2) }), events }), "asaaaasaaa");
});

test("who is down now is down up to now; who was alive before is shown so", () => {
  const events = [event(1, "service_suspect", { occurred_at: ago(3) }), event(2, "service_down", { occurred_at: ago(2) })];
  assert.equal(strip({ row: service("child", { liveness: "DOWN", liveness_since: ago(2) }), events }), "aaaaaasDDD");
});

test("who was given up has a history too", () => {
  const events = [event(1, "service_down", { occurred_at: ago(4), last_seen_at: ago(6) }), event(2, "service_deregistered", { occurred_at: ago(2) })];
  assert.equal(strip({ row: null, events }), "   ··DDggg");
});

test("the log before what we know is not guessed at", () => {
  const row = service("child", { liveness: "DOWN", liveness_since: ago(1) });
  const events = [event(1, "service_down", { occurred_at: ago(1) })];
  assert.equal(strip({ row, events, covered: T0 - 4 * MINUTE }), "·····aaaDD");
});

test("a bar is told in one sentence", () => {
  assert.equal(sentenceOf(["alive", "alive"], 30_000), "Last 1 min in 2 slots: alive throughout");
  assert.equal(sentenceOf(["none", "alive", "suspect", "down"], MINUTE), "Last 4 min in 4 slots: down in 1, suspect in 1, registered for only part of this time");
  assert.equal(sentenceOf(["unseen", "unseen"], MINUTE), "Last 2 min in 2 slots: not observed in 2");
  assert.equal(sentenceOf(["none"], MINUTE), "Last 1 min in 1 slots: not registered");
});
