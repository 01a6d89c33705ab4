import assert from "node:assert/strict";
import { test } from "node:test";

import { byName, childrenOf, find, parentOf, rowsByGroup, tombstones } from "../../../../gateway_http/page/dashboard/hierarchy.js";
import { broke, createState, receive, serverTime, takeHistory, takeNews } from "../../../../gateway_http/page/dashboard/state.js";
import { event, iso, page, service, status, T0 } from "./builders.mjs";

test("a snapshot in parts appears only when it is complete", () => {
  const state = createState(T0);
  receive(state, "snapshot", { services: [service("a")], first: true, complete: false }, T0);
  assert.equal(state.loaded, false);
  assert.equal(state.rows.size, 0);
  assert.equal(receive(state, "snapshot", { services: [service("b")], first: false, complete: true }, T0), "history");
  assert.deepEqual([...state.rows.keys()], ["a", "b"]);
});

test("a new snapshot replaces what was, and what is missing in it is gone", () => {
  const state = page([service("a"), service("b")]);
  receive(state, "snapshot", { services: [service("b")], first: true, complete: false }, T0);
  assert.deepEqual([...state.rows.keys()], ["a", "b"], "the old one stands until the new one is whole");
  receive(state, "snapshot", { services: [service("c")], first: false, complete: true }, T0);
  assert.deepEqual([...state.rows.keys()], ["b", "c"]);
});

test("the rest of a snapshot whose beginning was missed is not believed", () => {
  const state = createState(T0);
  receive(state, "snapshot", { services: [service("b")], first: false, complete: true }, T0);
  assert.equal(state.loaded, false);
});

test("a change is taken in place, so that whoever holds the row sees it", () => {
  const state = page([service("a")]);
  const row = state.rows.get("a");
  const { structure } = state;
  receive(state, "services", { upserted: [service("a", { load: 0.5, message: "busy" })], removed: [] }, T0);
  assert.equal(row.load, 0.5);
  assert.equal(row.message, "busy");
  assert.equal(state.structure, structure, "nothing moved");
  receive(state, "services", { upserted: [service("a", { parent: "b" })] }, T0);
  assert.ok(state.structure > structure);
});

test("a beat changes nothing but when it was heard", () => {
  const state = page([service("a")]);
  receive(state, "heard", { at: { a: iso(T0 + 5000), stranger: iso(T0) } }, T0);
  assert.equal(state.rows.get("a").beat, T0 + 5000);
  assert.equal(state.rows.size, 1);
});

test("removal removes, also twice", () => {
  const state = page([service("a"), service("b")]);
  receive(state, "services", { upserted: [], removed: ["a", "a", "never"] }, T0);
  assert.deepEqual([...state.rows.keys()], ["b"]);
});

test("what a newer gateway may say beyond this is passed over", () => {
  const state = page([service("a")]);
  assert.equal(receive(state, "surprise", { a: 1 }, T0), undefined);
  assert.equal(receive(state, "services", {}, T0), undefined);
  assert.equal(state.rows.size, 1);
});

test("the last judgement is remembered while there is none", () => {
  const state = page([service("a")]);
  receive(state, "services", { upserted: [service("a", { liveness: "UNKNOWN", liveness_since: iso(T0) })] }, T0);
  assert.deepEqual(state.rows.get("a").known, { liveness: "ALIVE", since: T0 - 3_600_000 });
});

test("ages are told by the gateway's clock, and a set clock is followed at once", () => {
  const wrong = T0 - 7_200_000; // the browser's clock is two hours slow
  const state = createState(wrong);
  receive(state, "state", status({ now: iso(T0) }), wrong);
  assert.equal(serverTime(state, wrong), T0);
  receive(state, "state", status({ now: iso(T0 + 1000) }), wrong + 1300);
  assert.ok(Math.abs(serverTime(state, wrong + 1300) - (T0 + 1300)) < 20, "one slow message hardly moves it");
  receive(state, "state", status({ now: iso(T0 + 2000) }), wrong + 60_000);
  assert.equal(serverTime(state, wrong + 60_000), T0 + 2000);
});

test("news tells who changed and how, but not who was alive from the start", () => {
  const state = page([service("a"), service("b")]);
  assert.deepEqual(takeNews(state), []);
  receive(state, "services", { upserted: [service("a", { liveness: "DOWN" }), service("c")] }, T0);
  assert.deepEqual(takeNews(state), [{ id: "a", name: "a", from: "ALIVE", to: "DOWN" }]);
  assert.deepEqual(takeNews(state), []);
});

test("news is bounded in a storm", () => {
  const names = Array.from({ length: 5000 }, (_, at) => `s${at}`);
  const state = page(names.map((name) => service(name)));
  receive(state, "services", { upserted: names.map((name) => service(name, { liveness: "DOWN" })) }, T0);
  assert.equal(takeNews(state).length, 100);
});

test("events that come twice or out of order stand once and in order", () => {
  const state = page();
  receive(state, "event", event(5, "service_down"), T0);
  takeHistory(state, { events: [event(3, "heartbeat_miss"), event(5, "service_down"), event(4, "x")], covered: iso(T0), gaps: [], open: ["alert-5"] }, T0);
  receive(state, "event", event(6, "heartbeat_restored"), T0);
  assert.deepEqual(state.events.map((each) => each.seq), [3, 4, 5, 6]);
  assert.deepEqual(state.eventsAbout.get("child").map((each) => each.seq), [3, 4, 5, 6]);
  assert.ok(state.openAlerts.has("alert-5"));
});

test("events are bounded, and what was dropped is no longer called known", () => {
  const state = page();
  for (let at = 1; at <= 1500; at += 1) receive(state, "event", event(at, "x", { occurred_at: iso(T0 + at) }), T0);
  assert.equal(state.events.length, 1000);
  assert.equal(state.events[0].seq, 501);
  assert.equal(state.eventsAbout.get("child").length, 1000);
  assert.equal(state.covered, T0 + 500);
});

test("the time in which nobody watched is remembered as a gap", () => {
  const state = page([service("a")]);
  receive(state, "state", status({ now: iso(T0 + 1000), tron: { watching: false } }), T0 + 1000);
  assert.deepEqual(state.gaps, [[T0 + 1000, null]]);
  receive(state, "state", status({ now: iso(T0 + 9000) }), T0 + 9000);
  assert.deepEqual(state.gaps, [[T0 + 1000, T0 + 9000]]);
  broke(state, T0 + 20_000);
  assert.deepEqual(state.gaps.at(-1), [T0 + 20_000, null]);
});

test("an event about a parent asks for the alerts that wait; one that tells nobody does not", () => {
  const state = page();
  assert.equal(receive(state, "event", event(1, "service_down"), T0), "alerts");
  assert.equal(receive(state, "event", event(2, "note", { recipient: "" }), T0), undefined);
  assert.equal(receive(state, "gap", {}, T0), "history");
});

test("a parent is found by id, or by a name that is unique", () => {
  const state = page([service("x-1", { name: "Boss" }), service("c1", { parent: "x-1" }), service("c2", { parent: "Boss" })]);
  assert.equal(parentOf(state, state.rows.get("c1")).id, "x-1");
  assert.equal(parentOf(state, state.rows.get("c2")).id, "x-1");
  assert.deepEqual(childrenOf(state, "x-1").map((row) => row.id), ["c1", "c2"]);
  receive(state, "services", { upserted: [service("x-2", { name: "Boss" })] }, T0);
  assert.equal(parentOf(state, state.rows.get("c2")), undefined, "two have that name");
  assert.equal(parentOf(state, state.rows.get("c1")).id, "x-1");
});

test("nobody is their own parent", () => {
  const state = page([service("a", { name: "Own", parent: "Own" })]);
  assert.equal(parentOf(state, state.rows.get("a")), undefined);
});

test("a service that was given up stays for a while, in its group, until it is back", () => {
  const state = page([service("child", { name: "Qwen", labels: { agent_role: "programmer" }, parent: "boss" })]);
  receive(state, "services", { removed: ["child"] }, T0);
  assert.deepEqual(tombstones(state, T0), [], "gone without an alert is gone on purpose");
  receive(state, "event", event(1, "service_deregistered", { service_name: "Qwen" }), T0);
  const [tomb] = tombstones(state, T0);
  assert.deepEqual([tomb.id, tomb.group, tomb.gone, tomb.parent], ["child", "programmers", true, "boss"]);
  assert.equal(rowsByGroup(state, T0).get("programmers").length, 1);
  assert.equal(find(state, "child", T0).gone, true);
  assert.deepEqual(tombstones(state, T0 + 3_600_000), [], "not for ever");
  receive(state, "services", { upserted: [service("child")] }, T0);
  assert.deepEqual(tombstones(state, T0), []);
  assert.equal(find(state, "child", T0).gone, undefined);
});

test("ids of any characters are only ids", () => {
  const ids = ["__proto__", "constructor", "a/b?c#d", "<img src=x onerror=alert(1)>", "ü \u202e 日本", "\u0000core"];
  const state = page(ids.map((id) => service(id)));
  assert.deepEqual([...state.rows.keys()].sort(), [...ids].sort());
  receive(state, "heard", { at: JSON.parse(`{"__proto__": "${iso(T0 + 1)}"}`) }, T0);
  assert.equal(state.rows.get("__proto__").beat, T0 + 1);
  assert.equal({}.beat, undefined);
});

test("rows stand as people sort", () => {
  const rows = ["Prog-10", "prog-2", "Prog-2"].map((name, at) => ({ name, id: String(at) }));
  assert.deepEqual(rows.sort(byName).map((row) => row.name), ["prog-2", "Prog-2", "Prog-10"]);
});
