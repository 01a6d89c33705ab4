import assert from "node:assert/strict";
import { test } from "node:test";

import { createAnnouncer } from "../../../../gateway_http/page/dashboard/announcer.js";
import { lineAt, linesOf, offsetsOf, wordsOf } from "../../../../gateway_http/page/dashboard/listing.js";
import { alarms, counts, freshness, headline, isOver, latest, lookOf, losses, QUIET_AFTER, wordOf } from "../../../../gateway_http/page/dashboard/selectors.js";
import { broke, createState, receive, takeOpen, tronState } from "../../../../gateway_http/page/dashboard/state.js";
import { event, iso, page, service, status, T0 } from "./builders.mjs";

test("a page that has heard nothing says so, and does not call the fleet empty", () => {
  const state = createState(T0);
  assert.equal(freshness(state, T0 + 1000).level, "loading");
  assert.match(headline(state, T0 + 1000).text, /Waiting/);
  broke(state, T0 + 100);
  assert.equal(freshness(state, T0 + 4000).level, "lost");
  assert.match(headline(state, T0 + 4000).text, /connection to the gateway is lost/);
});

test("a broken connection is forgiven for a moment, then nobody is known to be well", () => {
  const state = page([service("a")]);
  broke(state, T0 + 1000);
  assert.equal(freshness(state, T0 + 2000).level, "waiting");
  assert.equal(counts(state, T0 + 2000).ok, 1);
  const lost = freshness(state, T0 + 13_000);
  assert.deepEqual([lost.level, lost.what, T0 + 13_000 - lost.since], ["lost", "gateway", 13_000]);
  assert.equal(counts(state, T0 + 13_000).unknown, 1);
  assert.match(headline(state, T0 + 13_000).detail, /^Not live for 13 s\. Showing data from/);
});

test("a connection that stands and says nothing is lost too", () => {
  const state = page([service("a")]);
  assert.equal(freshness(state, T0 + QUIET_AFTER).level, "live");
  assert.equal(freshness(state, T0 + QUIET_AFTER + 1).level, "lost");
  receive(state, "state", status({ now: iso(T0 + 20_000) }), T0 + 20_000);
  assert.equal(freshness(state, T0 + 20_000).level, "live");
});

test("a registry that is away is named, with how long", () => {
  const state = page([service("a")]);
  receive(state, "state", status({ live: false, stale_for: 42, now: iso(T0) }), T0);
  assert.deepEqual(freshness(state, T0), { level: "lost", what: "registry", since: T0 - 42_000 });
  assert.match(headline(state, T0).text, /the registry is unreachable/);
});

test("without TRON nobody is well, and beats are still shown", () => {
  const state = page([service("a")]);
  receive(state, "state", status({ tron: { reachable: false, watching: false } }), T0);
  assert.equal(tronState(state), "mute", "its verdicts still hold: it is only not answering");
  receive(state, "services", { upserted: [service("a", { liveness: "UNKNOWN" })] }, T0);
  assert.equal(tronState(state), "away");
  assert.equal(headline(state, T0).text, "Liveness is unknown: TRON is not connected to the registry");
  assert.equal(wordOf(state.rows.get("a"), "unknown"), "unknown, was ok");
});

test("the guard is said, and draws no lines", () => {
  const state = page([service("parent"), service("child", { parent: "parent", liveness: "SUSPECT" })]);
  assert.equal(alarms(state, T0).length, 1);
  receive(state, "state", status({ tron: { guard_active: true } }), T0);
  assert.match(headline(state, T0).detail, /guard is active/);
  assert.deepEqual(alarms(state, T0), []);
});

test("how a row looks follows judgement first, then what it says of itself", () => {
  const look = (fields, sure = true) => lookOf({ liveness: "ALIVE", status: "ok", ...fields }, sure);
  assert.equal(look({}), "ok");
  assert.equal(look({ status: "running" }), "ok");
  assert.equal(look({ status: "degraded" }), "attention");
  assert.equal(look({ status: "error" }), "attention");
  assert.equal(look({ liveness: "SUSPECT" }), "suspect");
  assert.equal(look({ liveness: "DOWN" }), "down");
  assert.equal(look({ liveness: "UNKNOWN" }), "unknown");
  assert.equal(look({ liveness: "SOMETHING_NEW" }), "unknown");
  assert.equal(look({}, false), "unknown");
  assert.equal(wordOf({ liveness: "ALIVE", status: "error" }, "attention"), "reports error");
  assert.equal(wordOf({ liveness: "DOWN", cause: "DISCONNECTED" }, "down"), "down, stream broke");
});

test("the headline counts, names a few, and is calm when all is well", () => {
  const down = (name) => service(name, { liveness: "DOWN" });
  assert.equal(headline(page([service("a"), service("b")]), T0).text, "All 2 services are alive");
  assert.equal(headline(page(), T0).text, "No services yet");
  const bad = headline(page([service("a"), down("x"), down("y")]), T0);
  assert.deepEqual([bad.tone, bad.text, bad.detail], ["alarm", "2 services are down", "x, y"]);
  const worse = headline(page(Array.from({ length: 9 }, (_, at) => down(`d${at}`))), T0);
  assert.match(worse.detail, /d0, d1, d2 and 6 more/);
});

const lost = (id, fields = {}) => ({ service_id: id, name: id, lost: true, cause: "DISCONNECTED", removed_at: iso(T0 - 60_000), ...fields });

function pageAfterLosses(services, gone) {
  const state = page(services);
  takeOpen(state, { open: [], lost: gone }, 0);
  return state;
}

test("the headline names what was lost until somebody acknowledges it", () => {
  const alive = Array.from({ length: 7 }, (_, at) => service(`s${at}`));
  const state = pageAfterLosses(alive, [lost("worker")]);
  const said = headline(state, T0);
  assert.deepEqual([said.tone, said.text], ["alarm", "worker was lost"]);
  assert.match(said.detail, /^The service was deregistered at .*\(stream broke\); no operator has acknowledged the loss of this service\. All 7 registered services are alive\.$/);
  takeOpen(state, { open: [], lost: [] }, 0);
  assert.equal(headline(state, T0).text, "All 7 services are alive");
});

test("many losses are named by the first few", () => {
  const gone = ["a", "b", "c", "d", "e"].map((name) => lost(name));
  assert.equal(headline(pageAfterLosses([service("x")], gone), T0).text, "a, b, c and 2 more were lost");
  assert.match(headline(pageAfterLosses([], [lost("a")]), T0).text, /^a was lost$/);
});

test("a loss is named beside what is down or suspect now", () => {
  const down = pageAfterLosses([service("a"), service("x", { liveness: "DOWN" })], [lost("worker")]);
  assert.deepEqual([headline(down, T0).text, headline(down, T0).detail], ["1 service is down", "x. Lost: worker"]);
  const suspect = pageAfterLosses([service("a"), service("x", { liveness: "SUSPECT" })], [lost("worker")]);
  assert.equal(headline(suspect, T0).detail, "x. Lost: worker");
});

test("who is back is not lost", () => {
  const state = pageAfterLosses([service("worker")], [lost("worker")]);
  assert.deepEqual(losses(state), []);
  assert.equal(headline(state, T0).text, "The only service is alive");
});

test("what an alert tells is over once its service is back, a suspicion also once it is a death", () => {
  const about = (sequence, type) => event(sequence, type, { service_id: "a" });
  const state = page([service("a")], { events: [about(1, "service_suspect"), about(2, "service_down"), about(3, "parent_down")] });
  const over = () => state.events.map((each) => isOver(state, each));
  assert.deepEqual(over(), [true, false, false]);
  receive(state, "event", about(4, "heartbeat_restored"), T0);
  assert.deepEqual(over(), [true, true, true, false]);
  receive(state, "event", about(5, "service_down"), T0);
  assert.deepEqual(over(), [true, true, true, false, false]);
});

test("a removal makes the page ask who was lost, also where nobody is told of it", () => {
  assert.equal(receive(page(), "event", event(1, "service_deregistered", { recipient: "" }), T0), "alerts");
  assert.equal(receive(page(), "event", event(1, "note", { recipient: "" }), T0), undefined);
});

test("an alert is drawn to its recipient; an escalated one, to both", () => {
  const fleet = [service("root"), service("boss", { parent: "root" }), service("child", { parent: "boss", liveness: "DOWN", liveness_since: iso(T0) })];
  assert.deepEqual(alarms(page(fleet), T0).map(({ target, children, level }) => [target.id, children[0].id, level]), [["boss", "child", "down"]]);
  const escalated = page(fleet, { events: [event(1, "service_down", { recipient: "boss" }), event(2, "service_down", { recipient: "root" })] });
  assert.deepEqual(alarms(escalated, T0).map(({ target }) => target.id), ["boss", "root"]);
});

test("old alerts of a new trouble draw nothing", () => {
  const fleet = [service("old"), service("boss"), service("child", { parent: "boss", liveness: "SUSPECT", liveness_since: iso(T0) })];
  const state = page(fleet, { events: [event(1, "service_down", { recipient: "old", occurred_at: iso(T0 - 500_000) })] });
  assert.deepEqual(alarms(state, T0).map(({ target }) => target.id), ["boss"]);
});

test("an alert whose recipient is not on the page draws nothing", () => {
  assert.deepEqual(alarms(page([service("child", { parent: "nobody", liveness: "DOWN" })]), T0), []);
});

test("the list holds groups in order, core first, and counts what it does not show", () => {
  const state = page([service("z", { name: "Event Stream" }), service("a", { name: "Dir-Code" }), service("b", { name: "Dir-Docs", liveness: "DOWN" }), service("o")]);
  const lines = linesOf(state, { words: [], only: null, folded: new Set(["other"]) }, T0);
  assert.deepEqual(lines.map((line) => line.title ?? line.row.name), ["Core Services", "Event Stream", "Directors", "Dir-Code", "Dir-Docs", "Other Services"]);
  assert.deepEqual([lines[2].numbers.ok, lines[2].numbers.down], [1, 1]);
  const found = linesOf(state, { words: wordsOf("  DIR docs"), only: null, folded: new Set(["directors"]) }, T0);
  assert.deepEqual(found.map((line) => line.title ?? line.row.name), ["Directors", "Dir-Docs"], "a search opens what is folded");
  const only = linesOf(state, { words: [], only: "down", folded: new Set() }, T0);
  assert.deepEqual(only.map((line) => line.title ?? line.row.name), ["Directors", "Dir-Docs"]);
});

test("somebody can search by state, message, capability and id", () => {
  const state = page([service("id-77", { name: "N", caps: ["vision"], message: "Loading weights", status: "waiting_approval" }), service("other")]);
  for (const query of ["id-77", "vision", "loading", "waiting approval", "weights n"]) {
    const rows = linesOf(state, { words: wordsOf(query), only: null, folded: new Set() }, T0).filter((line) => line.row);
    assert.deepEqual(rows.map((line) => line.row.id), ["id-77"], query);
  }
});

test("the lines in sight are found by where they stand", () => {
  const offsets = offsetsOf([{ group: "g" }, {}, {}, {}], 50, 40);
  assert.deepEqual([...offsets], [0, 50, 90, 130, 170]);
  assert.deepEqual([-10, 0, 49, 50, 129, 130, 9999].map((top) => lineAt(offsets, top)), [0, 0, 0, 1, 2, 3, 3]);
  assert.equal(lineAt(offsetsOf([], 50, 40), 0), 0);
});

test("announcements are gathered: no screen reader is flooded", () => {
  const announcer = createAnnouncer();
  assert.equal(announcer.say([], "All 3 services are alive", T0), "");
  const down = (name) => ({ id: name, name, to: "DOWN" });
  assert.equal(announcer.say([down("a")], "1 service is down", T0), "a is down. 1 service is down.");
  assert.equal(announcer.say([down("b")], "2 services are down", T0 + 100), "");
  assert.equal(announcer.say([{ id: "b", name: "b", to: "ALIVE" }], "1 service is down", T0 + 200), "");
  assert.equal(announcer.say([], "1 service is down", T0 + 5001), "b is alive again.");
  assert.equal(announcer.say(Array.from({ length: 80 }, (_, at) => down(`n${at}`)), "81 services are down", T0 + 20_000), "80 services are down. 81 services are down.");
});

test("maintenance is said beside the judgement, and draws no line, for nobody is told", () => {
  const maintenance = { since: iso(T0 - 1000), until: null, reason: "new disk" };
  const state = page([service("pa"), service("kid", { parent: "pa", liveness: "DOWN", liveness_cause: "SILENT", maintenance })]);
  const kid = state.rows.get("kid");
  assert.equal(wordOf(kid, lookOf(kid, true)), "down, silent, maintenance");
  assert.deepEqual(alarms(state, T0), []);
  receive(state, "services", { upserted: [service("kid", { parent: "pa", liveness: "DOWN", maintenance: null })] }, T0);
  assert.equal(alarms(state, T0).length, 1);
});

test("the bar names each service once, by what was heard of it last", () => {
  const events = [
    event(1, "service_suspect", { service_id: "a" }),
    event(2, "service_down", { service_id: "a" }),
    event(3, "service_suspect", { service_id: "b" }),
    event(4, "registered", { service_id: "b" }),
    event(5, "cascading_failure", { service_id: "" }),
  ];
  const state = page([service("a"), service("b")], { events });
  const types = { service_suspect: 1, service_down: 1, cascading_failure: 1 };
  assert.deepEqual(latest(state, types, 5).map((each) => each.seq), [5, 3, 2]);
  assert.deepEqual(latest(state, types, 2).map((each) => each.seq), [5, 3]);
});
