import assert from "node:assert/strict";
import { test } from "node:test";

import { forest, layout, MOST_NODES, SIZES, WITHOUT_PARENT } from "../../../../gateway_http/page/dashboard/tree.js";

function grow(pairs, { troubled = [], folds = new Map() } = {}) {
  const rows = Object.keys(pairs).map((id) => ({ id, name: id }));
  const byId = new Map(rows.map((row) => [row.id, row]));
  return forest(rows, (row) => byId.get(pairs[row.id]), (row) => troubled.includes(row.id), folds);
}

const FLEET = { Gateway: "", Root: "Gateway", Architect: "Root", Code: "Architect", Docs: "Architect", "Mgr-1": "Code", "Mgr-2": "Code", "Prog-1": "Mgr-1", "Prog-2": "Mgr-1", Router: "", Governor: "" };

test("those without parent and children stand together", () => {
  const families = grow(FLEET);
  assert.deepEqual(families.map((node) => node.id), ["Gateway", WITHOUT_PARENT]);
  assert.deepEqual(families[1].children.map((node) => node.id), ["Router", "Governor"]);
  assert.equal(families[0].all, 8);
});

test("a fleet without any parents is just a row of nodes", () => {
  assert.deepEqual(grow({ a: "", b: "" }).map((node) => node.id), ["a", "b"]);
});

test("a cycle is cut open rather than lost", () => {
  const families = grow({ a: "c", b: "a", c: "b", d: "c" });
  assert.deepEqual(families.map((node) => [node.id, node.all]), [["a", 3]]);
});

test("no two boxes overlap, at any width, and all stand within the plane", () => {
  for (const width of [200, 360, 420, 567, 700, 1100, 1900]) {
    const { boxes, height, width: wide } = layout(grow(FLEET), width);
    assert.equal(boxes.length, 12, "every service and the node of those without parent");
    for (const [at, one] of boxes.entries()) {
      assert.ok(one.x >= 0 && one.x + SIZES.width <= wide && one.y + SIZES.height <= height, `${one.node.id} at ${width}`);
      for (const other of boxes.slice(at + 1)) {
        const apart = Math.abs(one.x - other.x) >= SIZES.width || Math.abs(one.y - other.y) >= SIZES.height;
        assert.ok(apart, `${one.node.id} and ${other.node.id} at ${width}`);
      }
    }
  }
});

test("in a narrow column everything hangs; with room the top is spread", () => {
  const at = (width) => Object.fromEntries(layout(grow(FLEET), width).boxes.map((box) => [box.node.id, box]));
  const narrow = at(230);
  assert.ok(narrow.Docs.y > narrow.Code.y && narrow.Docs.x === narrow.Code.x);
  assert.equal(narrow["Prog-1"].x, narrow["Mgr-1"].x + SIZES.indent);
  const wide = at(1400);
  assert.equal(wide.Docs.y, wide.Code.y);
  assert.ok(wide.Docs.x > wide.Code.x);
});

test("between the two, children hang in several columns of about the same height", () => {
  const fleet = { top: "" };
  for (const branch of ["a", "b", "c", "d"]) {
    fleet[branch] = "top";
    for (const leaf of [1, 2, 3]) fleet[`${branch}${leaf}`] = branch;
  }
  const { boxes, height } = layout(grow(fleet), 400);
  const x = Object.fromEntries(boxes.map((box) => [box.node.id, box.x]));
  assert.ok(x.a === x.b && x.c === x.d && x.c > x.a);
  assert.ok(height < layout(grow(fleet), 230).height * 0.7);
});

test("a child comes after its parent and one level below it, as a screen reader needs it", () => {
  const { boxes } = layout(grow(FLEET), 1400);
  const at = new Map(boxes.map((box, place) => [box.node.id, { ...box, order: place }]));
  for (const [child, parent] of Object.entries(FLEET)) {
    if (parent === "") continue;
    assert.ok(at.get(child).order > at.get(parent).order);
    assert.equal(at.get(child).level, at.get(parent).level + 1);
  }
});

test("of thousands, some hundreds are drawn, and trouble is among them", () => {
  const pairs = { root: "" };
  for (let at = 0; at < 50; at += 1) pairs[`m${at}`] = "root";
  for (let at = 0; at < 5000; at += 1) pairs[`p${at}`] = `m${at % 50}`;
  const { boxes } = layout(grow(pairs, { troubled: ["p4999"] }), 1200);
  const ids = boxes.map((box) => box.node.id);
  assert.ok(boxes.length <= MOST_NODES + 100, String(boxes.length));
  assert.ok(ids.includes("p4999") && ids.includes("m49"));
  assert.ok(boxes.some((box) => /and 10 more/.test(box.node.title)), "what is left out is said");
});

test("what a person folds stays folded, but what they open opens", () => {
  const ids = (folds) => layout(grow(FLEET, { folds }), 900).boxes.map((box) => box.node.id);
  assert.ok(!ids(new Map([["Code", false]])).includes("Mgr-1"));
  assert.ok(ids(new Map([["Code", true]])).includes("Mgr-1"));
});

test("a chain of two thousand parents is drawn without falling over", () => {
  const pairs = { n0: "" };
  for (let at = 1; at < 2000; at += 1) pairs[`n${at}`] = `n${at - 1}`;
  const { boxes } = layout(grow(pairs), 400);
  assert.ok(boxes.length <= MOST_NODES + 1);
});
