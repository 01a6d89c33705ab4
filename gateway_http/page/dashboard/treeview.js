// The tree on the page: boxes, lines, and TRON's orange line to the recipient of an alert.

import { byId, make, makeSvg, setAttribute, setSymbol, setText, symbol } from "./dom.js";
import { ageWord, LOOKS, shorten, some } from "./format.js";
import { parentOf, rowsByGroup, tombstones } from "./hierarchy.js";
import { flash } from "./list.js";
import * as messages from "./messages.js";
import { alarms, isSure, lookOf } from "./selectors.js";
import { serverTime } from "./state.js";
import { forest, layout, MOST_CHILDREN, SIZES, WITHOUT_PARENT } from "./tree.js";

/** The id of TRON, which is shown as the bar above the tree and not as a node. */
const TRON_ID = "tron-heartbeat-monitor";
const MOST_LINES = 12;
const CORNER = 6;
const WIDEST = 212;
const NODE_LETTER = 7.2;
const NODE_PADDING = 44;
const TAG_HEIGHT = 22;
const TAG_LETTER = 7.5;
const TAG_PADDING = 18;

/** The tree of services. `open(id)` is called for the service that was chosen. */
export function createTree({ open }) {
  const scroller = byId("plane-scroller");
  const plane = byId("plane");
  const nodes = byId("nodes");
  const wires = byId("wires");
  const tags = byId("tags");
  const edges = makeSvg("path", { class: "wire" });
  const lines = makeSvg("g", { class: "alarms" });
  wires.append(edges, lines);
  const pool = new Map();
  const drawnLines = new Map();
  const folds = new Map();
  let boxes = [];
  let sizes = SIZES;
  let active = null;
  let key = "";
  let last = null;

  function update(state, now, force = false) {
    last = { state, now };
    if (scroller.clientWidth === 0) return; // not in sight
    const sure = isSure(state, now);
    const recipients = alarms(state, now);
    const troubled = new Set(recipients.flatMap((alarm) => alarm.children.map((row) => row.id)));
    const shape = `${state.structure} ${scroller.clientWidth} ${[...troubled].sort().join()} ${state.tombs.key}`;
    if (force || shape !== key) {
      key = shape;
      arrange(state, now, (row) => troubled.has(row.id) || row.liveness === "DOWN" || row.liveness === "SUSPECT");
    }
    fill(state, now, sure, troubled, new Map(recipients.map((alarm) => [alarm.target.id, alarm])));
    drawAlarms(recipients);
  }

  function arrange(state, now, isTroubled) {
    const rows = [...rowsByGroup(state, now).values()].flat().filter((row) => row.id !== TRON_ID);
    // A deregistered service keeps its place, and its children, for as long as it is shown.
    const gone = new Map(tombstones(state, now).flatMap((tomb) => [[tomb.name, tomb], [tomb.id, tomb]]));
    const above = (row) => parentOf(state, row) ?? (gone.get(row.parent) === row ? undefined : gone.get(row.parent));
    sizes = sizesFor(rows, scroller.clientWidth);
    nodes.style.setProperty("--node-width", `${sizes.width}px`);
    const result = layout(forest(rows, above, isTroubled, folds), scroller.clientWidth, sizes);
    boxes = result.boxes;
    // The plane is as wide as the drawing; without a px more it would make a scroll bar of its own.
    plane.style.width = result.width > scroller.clientWidth ? `${result.width}px` : "100%";
    plane.style.height = `${result.height}px`;
    setAttribute(wires, "viewBox", `0 0 ${result.width} ${result.height}`);
    setAttribute(wires, "width", result.width);
    setAttribute(wires, "height", result.height);
    setAttribute(edges, "d", result.lines.map((each) => wire(each, sizes)).join(""));
    const ids = new Set(boxes.map((box) => box.node.id));
    for (const [id, drawn] of pool) {
      if (!ids.has(id)) {
        drawn.element.remove();
        pool.delete(id);
      }
    }
    boxes.forEach((box, at) => {
      const drawn = pool.get(box.node.id) ?? create(box.node.id);
      // In the order of the tree, which is the order in which it is read; what is in place is not touched, it may have focus.
      if (nodes.children[at] !== drawn.element) nodes.insertBefore(drawn.element, nodes.children[at] ?? null);
      drawn.element.style.transform = `translate(${box.x}px, ${box.y}px)`;
      setAttribute(drawn.element, "aria-level", box.level);
      setAttribute(drawn.element, "aria-posinset", box.place);
      setAttribute(drawn.element, "aria-setsize", box.of);
      const foldable = box.node.children.length > 0;
      setAttribute(drawn.element, "aria-expanded", foldable ? String(box.node.open) : null);
      drawn.fold.hidden = !foldable;
      setText(drawn.fold, foldable ? (box.node.open ? "−" : `+${box.node.all.toLocaleString("en")}`) : "");
      drawn.element.classList.toggle("more", box.node.row === null);
      drawn.element.classList.toggle("open", foldable && box.node.open);
    });
    const stop = pool.has(active) ? active : boxes[0]?.node.id;
    for (const [id, drawn] of pool) setAttribute(drawn.element, "tabindex", id === stop ? 0 : -1);
    const folded = boxes.some((box) => box.node.children.length > 0 && !box.node.open);
    setText(byId("tree-note"), rows.length === 0 ? "" : folded ? messages.FOLDED : "");
  }

  function create(id) {
    const parts = { symbol: symbol("unknown"), name: make("span", { class: "node-name" }), note: make("span", { class: "node-note" }), fold: make("span", { class: "node-fold", "aria-hidden": "true" }) };
    const element = make("div", { role: "treeitem", class: "node" }, parts.symbol, make("span", { class: "node-text" }, parts.name, parts.note), parts.fold);
    element.dataset.id = id;
    const drawn = { element, ...parts };
    pool.set(id, drawn);
    return drawn;
  }

  function fill(state, now, sure, troubled, recipients) {
    const at = serverTime(state, now);
    for (const { node } of boxes) {
      const drawn = pool.get(node.id);
      const row = node.row === null ? null : (state.rows.get(node.id) ?? node.row);
      setText(drawn.name, row === null ? node.title : row.name);
      const look = row === null ? "none" : lookOf(row, sure);
      if (drawn.element.dataset.look !== look) {
        if (drawn.element.dataset.look !== undefined) flash(drawn.element);
        drawn.element.dataset.look = look;
        drawn.symbol.toggleAttribute("hidden", row === null);
        if (row !== null) setSymbol(drawn.symbol, LOOKS[look].symbol);
      }
      const alarm = recipients.get(node.id);
      drawn.element.classList.toggle("failing", troubled.has(node.id));
      drawn.element.classList.toggle("notified", alarm !== undefined);
      setText(drawn.note, noteOf(row, node, look, alarm, at));
      setAttribute(drawn.element, "title", row === null ? null : `${row.name} (${row.id})`);
      setAttribute(drawn.element, "aria-label", row === null ? null : `${row.name}, ${look === "none" ? "" : LOOKS[look].title}. ${drawn.note.textContent}`);
    }
  }

  function drawAlarms(recipients) {
    const places = new Map(boxes.map((box) => [box.node.id, box]));
    const shown = recipients.map((alarm) => ({ ...alarm, box: visible(places, last.state, alarm.target) })).filter((alarm) => alarm.box !== undefined);
    shown.sort((one, other) => one.box.y - other.box.y);
    const lanes = new Map();
    const taken = [[], []];
    const kept = new Set();
    let arrived = null;
    for (const alarm of shown.slice(0, MOST_LINES)) {
      const { target, children, level, box } = alarm;
      kept.add(target.id);
      let drawn = drawnLines.get(target.id);
      if (drawn === undefined) {
        drawn = { path: makeSvg("path", { class: "alarm-line", pathLength: 1 }), head: makeSvg("path", { class: "alarm-head" }), tag: make("span", { class: "tag" }) };
        drawnLines.set(target.id, drawn);
        lines.append(drawn.path, drawn.head);
        tags.append(drawn.tag);
        arrived ??= alarm;
      }
      // A deeper node in the same corridor gets a lane further out, so that no line crosses another.
      const lane = lanes.get(box.corridor) ?? 0;
      lanes.set(box.corridor, lane + 1);
      const x = box.corridor + 8 + 7 * (lane % 4);
      const right = box.x + sizes.width;
      const y = box.y + SIZES.height / 2;
      setAttribute(drawn.path, "d", `M${x} 0V${y - CORNER}Q${x} ${y} ${x - CORNER} ${y}H${right + 6}`);
      setAttribute(drawn.head, "d", `M${right + 2} ${y}l8 -5v10z`);
      setAttribute(drawn.path, "data-level", level);
      setAttribute(drawn.path, "data-target", target.id);
      setText(drawn.tag, shorten(some(children.map((row) => row.name), 1), 28));
      const place = placeTag(taken, x, drawn.tag.textContent.length * TAG_LETTER + TAG_PADDING, plane.clientWidth);
      drawn.tag.hidden = place === null;
      if (place === null) continue;
      drawn.tag.classList.toggle("left", place.isLeft);
      drawn.tag.style.transform = `translate(${place.isLeft ? `calc(${x + 1}px - 100%)` : `${x - 1}px`}, ${place.at * TAG_HEIGHT}px)`;
    }
    for (const [id, drawn] of drawnLines) {
      if (kept.has(id)) continue;
      for (const element of [drawn.path, drawn.head, drawn.tag]) element.remove();
      drawnLines.delete(id);
    }
    if (arrived !== null) reveal(arrived, places);
  }

  // News is brought into sight, unless the user is at work here.
  function reveal({ children, box }, places) {
    if (scroller.matches(":hover, :focus-within")) return;
    const child = children.map((row) => places.get(row.id)).find((each) => each !== undefined) ?? box;
    const [top, bottom] = [Math.min(box.y, child.y) - SIZES.top, Math.max(box.y, child.y) + 2 * SIZES.pitch];
    if (top >= scroller.scrollTop && bottom <= scroller.scrollTop + scroller.clientHeight) return;
    scroller.scrollTo({ top: Math.max(0, top), behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  function move(to) {
    const box = boxes[Math.max(0, Math.min(boxes.length - 1, to))];
    if (box === undefined) return;
    pool.get(active)?.element.setAttribute("tabindex", -1);
    active = box.node.id;
    for (const [id, drawn] of pool) setAttribute(drawn.element, "tabindex", id === active ? 0 : -1);
    const { element } = pool.get(active);
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function fold(box, isOpen) {
    active = box.node.id;
    folds.set(box.node.id, isOpen);
    update(last.state, last.now, true);
    pool.get(active)?.element.focus({ preventScroll: true });
  }

  function choose(box) {
    if (box.node.row !== null) open(box.node.id);
    else if (box.node.id === WITHOUT_PARENT) fold(box, !box.node.open);
  }

  nodes.addEventListener("keydown", (event) => {
    const at = boxes.findIndex((box) => box.node.id === event.target.closest(".node")?.dataset.id);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const box = boxes[at];
    const foldable = box.node.children.length > 0;
    if (event.key === "ArrowDown") move(at + 1);
    else if (event.key === "ArrowUp") move(at - 1);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(boxes.length - 1);
    else if (event.key === "ArrowRight" && foldable) box.node.open ? move(at + 1) : fold(box, true);
    else if (event.key === "ArrowLeft" && foldable && box.node.open) fold(box, false);
    else if (event.key === "ArrowLeft") move(boxes.findLastIndex((each, place) => place < at && each.level < box.level));
    else if (event.key === "Enter" || event.key === " ") choose(box);
    else return;
    event.preventDefault();
  });
  nodes.addEventListener("click", (event) => {
    const box = boxes.find((each) => each.node.id === event.target.closest(".node")?.dataset.id);
    if (box === undefined) return;
    if (event.target.closest(".node-fold") !== null) fold(box, !box.node.open);
    else choose(box);
  });
  new ResizeObserver(() => last !== null && update(last.state, last.now)).observe(scroller);

  return { update };
}

// Boxes wide enough for the names, within reason: fewer columns are better than names that all look alike.
function sizesFor(rows, room) {
  const longest = rows.reduce((most, row) => Math.max(most, row.name.length), 0);
  const width = room < 460 ? SIZES.width : Math.min(WIDEST, Math.max(SIZES.width, Math.round(longest * NODE_LETTER + NODE_PADDING)));
  return { ...SIZES, width };
}

// The place of a tag on its line: left or right of it, in the first row that is free there; null if none is.
function placeTag(taken, x, width, room) {
  for (const [at, row] of taken.entries()) {
    for (const isLeft of [true, false]) {
      const [from, to] = isLeft ? [x - width, x] : [x, x + width];
      if (from < 0 || to > room || row.some(([left, right]) => from < right && left < to)) continue;
      row.push([from, to]);
      return { isLeft, at };
    }
  }
  return null;
}

function noteOf(row, node, look, alarm, at) {
  if (row === null) return node.rest > 0 ? `of ${(node.rest + MOST_CHILDREN).toLocaleString("en")}` : "";
  if (alarm !== undefined && look !== "down" && look !== "suspect") return messages.notifiedAbout(alarm.children.map((each) => each.name));
  if (look === "gone") return messages.deregisteredAgo(ageWord(at - row.since));
  if (look === "down" || look === "suspect") {
    return messages.silentFor(row.beat === null ? null : ageWord(at - row.beat), row.cause);
  }
  if (node.children.length > 0 && !node.open && node.troubled > 0) return messages.troubleBelow(node.troubled);
  return "";
}

// The nearest node that is drawn: the target itself, or the one above it that is folded.
function visible(places, state, target) {
  const seen = new Set();
  for (let row = target; row !== undefined && !seen.has(row.id); row = parentOf(state, row)) {
    if (places.has(row.id)) return places.get(row.id);
    seen.add(row.id);
  }
  return places.get(WITHOUT_PARENT);
}

function wire({ from, to, spread, bus }, sizes) {
  if (!spread) {
    const y = to.y + sizes.height / 2;
    if (bus !== null) {
      const [middle, low] = [from.x + sizes.width / 2, from.y + sizes.height];
      return `M${middle} ${low}V${low + sizes.below / 2}H${bus}V${y - CORNER}Q${bus} ${y} ${bus + CORNER} ${y}H${to.x}`;
    }
    const x = from.x + 7;
    return `M${x} ${from.y + sizes.height}V${y - CORNER}Q${x} ${y} ${x + CORNER} ${y}H${to.x}`;
  }
  const [x1, y1] = [from.x + sizes.width / 2, from.y + sizes.height];
  const [x2, y2] = [to.x + sizes.width / 2, to.y];
  if (Math.abs(x1 - x2) < 1) return `M${x1} ${y1}V${y2}`;
  const middle = (y1 + y2) / 2;
  const turn = Math.min(CORNER, Math.abs(x2 - x1) / 2) * Math.sign(x2 - x1);
  return `M${x1} ${y1}V${middle - CORNER}Q${x1} ${middle} ${x1 + turn} ${middle}H${x2 - turn}Q${x2} ${middle} ${x2} ${middle + CORNER}V${y2}`;
}
