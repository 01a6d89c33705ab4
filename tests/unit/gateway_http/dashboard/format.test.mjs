import assert from "node:assert/strict";
import { test } from "node:test";

import { ageWord, clockWord, count, figure, shorten, some, spanWord } from "../../../../gateway_http/page/dashboard/format.js";
import { toRow } from "../../../../gateway_http/page/dashboard/translate.js";
import { service } from "./builders.mjs";

test("ages are short and never negative", () => {
  const S = 1000;
  assert.deepEqual([-5, 0, 999, 59 * S, 99 * S, 100 * S, 99 * 60 * S, 125 * 60 * S, 47 * 3600 * S, 100 * 3600 * S].map(ageWord), ["0 s", "0 s", "0 s", "59 s", "99 s", "1 min", "99 min", "2 h 05 min", "47 h 00 min", "4 d"]);
});

test("spans, figures and counts", () => {
  assert.deepEqual([0, 250, 2500, 30_000].map(spanWord), ["0 ms", "250 ms", "2.5 s", "30 s"]);
  assert.deepEqual([null, undefined, Number.NaN, 0, 0.1234, 12.34, 1234.5, 45_678, 1e9].map((each) => figure(each)), ["–", "–", "–", "0", "0.12", "12.3", "1235", "46k", "1.0e+9"]);
  assert.equal(figure(12.5, "ms"), "12.5 ms");
  assert.deepEqual([count(1, "service"), count(5000, "service")], ["1 service", "5,000 services"]);
});

test("names in a sentence are few and short", () => {
  assert.equal(some(["a", "b"]), "a, b");
  assert.equal(some(["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
  assert.equal(shorten("😀😀😀😀", 3), "😀😀…");
  assert.ok(some(["x".repeat(5000)]).length < 50);
});

test("a moment of another day says which day", () => {
  const now = Date.parse("2026-03-01T12:00:00Z");
  assert.equal(clockWord(now - 3_600_000, now, "en-GB", "UTC"), "11:00:00");
  assert.equal(clockWord(now - 86_400_000, now, "en-GB", "UTC"), "28/02/2026 12:00:00");
});

test("huge and odd fields are cut to size before they are kept", () => {
  const row = toRow(service("a", { message: "m".repeat(100_000), url: "u".repeat(2048), caps: Array(64).fill("c"), labels: { tier: "t".repeat(9000), agent_role: { deep: 1 }, big: "b".repeat(16_000) }, liveness: "", last_heartbeat_at: "nonsense" }));
  assert.ok(JSON.stringify(row).length < 2000);
  assert.deepEqual([row.liveness, row.beat, row.agent_role], ["UNKNOWN", null, ""]);
});
