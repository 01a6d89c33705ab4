import assert from "node:assert/strict";
import { test } from "node:test";

import { groupOf } from "../../../../gateway_http/page/dashboard/grouping.js";

const group = (name, labels = {}) => groupOf({ name, ...labels });

test("what belongs to the core stands under Core Services, by name alone", () => {
  for (const name of [
    "TRON Heartbeat Monitor", "Event Stream", "Resource Manager", "Token Governor", "HMI Dashboard", "Service Registry",
    "Gateway", "PAS Root", "Router", "Provider Router", "Agent Router", "Aider-LCO", "webui", "pas-events",
  ]) assert.equal(group(name), "core", name);
});

test("labels win over names", () => {
  assert.equal(group("Resource Manager 7", { tier: "core" }), "core");
  assert.equal(group("Dir-Code", { agent_role: "manager" }), "managers");
  assert.equal(group("Anything", { agent_role: "Programmer" }), "programmers");
  assert.equal(group("Anything", { tier: "manager" }), "managers");
  assert.equal(group("Anything", { tier: "3-programmer" }), "programmers");
  assert.equal(group("Anything", { agent_role: "infrastructure" }), "core");
  assert.equal(group("Dir-Code", { tier: "3" }), "directors", "a number says nothing");
  assert.equal(group("Dir-Code", { tier: 3, agent_role: "coord" }), "directors");
});

test("the legacy rules, in their order, for the rest", () => {
  const expected = {
    Architect: "architect", "Chief Architect": "architect", "Director-Code": "directors", "Dir-DevSecOps": "directors",
    "Manager-Code-01": "managers", "Mgr-Docs-01": "managers", "Programmer-Qwen-001": "programmers", "Prog-010": "programmers",
    "Model Pool": "other", "Contract Tester": "other", "": "other",
  };
  for (const [name, key] of Object.entries(expected)) assert.equal(group(name), key, name);
});

test("TRON is a word, not a part of one", () => {
  assert.equal(group("tron-2"), "core");
  assert.equal(group("Electron Builder"), "other");
  assert.equal(group("Patron"), "other");
});

test("labels of any type are only looked at", () => {
  for (const tier of [null, undefined, 7, true, [], {}, "x".repeat(1000)]) assert.equal(group("n", { tier, agent_role: tier }), "other");
});
