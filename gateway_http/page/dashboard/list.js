// The list of services on the page: only the lines in sight are elements, however many there are.

import { byId, make, makeSvg, setAttribute, setSymbol, setText, symbol } from "./dom.js";
import { ageWord, clockWord, figure, LOOKS, spanWord } from "./format.js";
import { sentenceOf, slotsOf } from "./history.js";
import { lineAt, linesOf, offsetsOf } from "./listing.js";
import * as messages from "./messages.js";
import { isSure, wordOf } from "./selectors.js";
import { serverTime } from "./state.js";

const OVERSCAN = 8;
const COLUMNS = [
  ["name", "Service"],
  ["state", "State"],
  ["history", "History"],
  ["beat", "Last beat"],
  ["p95", "p95"],
  ["queue", "Queue"],
  ["load", "Load"],
  ["lag", "Loop lag"],
  ["says", "Message"],
];
const SLOT = 4;

/** The list of services. `open(id)` is called for the service that was chosen; `toggle(group)` folds or unfolds a group. */
export function createList({ open, toggle }) {
  const scroller = byId("scroller");
  const rows = byId("rows");
  const grid = byId("grid");
  const empty = byId("empty");
  const pool = new Map();
  let lines = [];
  let offsets = new Float64Array(1);
  let active = null;
  let heights = { group: 44, row: 44 };
  let last = null;

  byId("columns").append(...COLUMNS.map(([key, title]) => make("div", { role: "columnheader", class: `cell c-${key}` }, title)));

  function update(state, query, now) {
    lines = linesOf(state, query, now);
    measure();
    offsets = offsetsOf(lines, heights.group, heights.row);
    rows.style.height = `${offsets.at(-1)}px`;
    setAttribute(grid, "aria-rowcount", lines.length + 1);
    empty.hidden = lines.length > 0;
    if (lines.length === 0) {
      const searching = query.words.length > 0 || query.only !== null;
      setText(empty, !state.loaded ? messages.NOTHING_RECEIVED : searching ? messages.NO_MATCH : messages.NO_SERVICES);
    }
    draw(state, query, now);
  }

  function measure() {
    const style = getComputedStyle(grid);
    heights = { group: parseFloat(style.getPropertyValue("--group-px")) || 44, row: parseFloat(style.getPropertyValue("--row-px")) || 44 };
  }

  function draw(state, query, now) {
    last = { state, query, now };
    const head = byId("columns").offsetHeight;
    const top = scroller.scrollTop - head;
    const from = Math.max(0, lineAt(offsets, top) - OVERSCAN);
    const to = Math.min(lines.length, lineAt(offsets, top + scroller.clientHeight) + 1 + OVERSCAN);
    const focused = document.activeElement?.closest?.(".line")?.dataset.key;
    const wanted = new Set();
    for (let at = from; at < to; at += 1) wanted.add(at);
    const kept = lines.findIndex((line) => line.key === focused);
    if (focused !== undefined && kept >= 0) wanted.add(kept);
    const keys = new Set([...wanted].map((at) => lines[at].key));
    for (const [key, drawn] of pool) {
      if (!keys.has(key)) {
        drawn.element.remove();
        pool.delete(key);
      }
    }
    const stop = keys.has(active) ? active : lines[from]?.key;
    const context = { state, sure: isSure(state, now), now, at: serverTime(state, now), span: query.span };
    for (const at of wanted) {
      const line = lines[at];
      const drawn = pool.get(line.key) ?? create(line);
      const element = drawn.element;
      element.style.transform = `translateY(${offsets[at]}px)`;
      setAttribute(element, "aria-rowindex", at + 2);
      setAttribute(element, "tabindex", line.key === stop ? 0 : -1);
      if (line.group === undefined) fillRow(drawn, line, context);
      else fillGroup(drawn, line);
    }
  }

  function create(line) {
    const drawn = line.group === undefined ? makeRow() : makeGroup();
    drawn.element.dataset.key = line.key;
    pool.set(line.key, drawn);
    rows.append(drawn.element);
    return drawn;
  }

  function choose(line) {
    active = line.key;
    if (line.group === undefined) open(line.key);
    else toggle(line.group);
  }

  function move(to) {
    const at = Math.max(0, Math.min(lines.length - 1, to));
    if (lines[at] === undefined) return;
    active = lines[at].key;
    const head = byId("columns").offsetHeight;
    const [above, below] = [offsets[at], offsets[at + 1]];
    if (above < scroller.scrollTop) scroller.scrollTop = above;
    else if (below + head > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = below + head - scroller.clientHeight;
    if (last !== null) draw(last.state, last.query, last.now);
    pool.get(active)?.element.focus({ preventScroll: true });
  }

  function onKey(event) {
    const key = event.target.closest(".line")?.dataset.key;
    const at = lines.findIndex((line) => line.key === key);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const line = lines[at];
    const page = Math.max(1, Math.floor(scroller.clientHeight / heights.row) - 1);
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: lines.length - 1 };
    if (event.key in steps) move(steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") choose(line);
    else if (event.key === "ArrowRight" && line.group !== undefined) line.folded ? toggle(line.group) : move(at + 1);
    else if (event.key === "ArrowLeft" && line.group !== undefined) line.folded || toggle(line.group);
    else if (event.key === "ArrowLeft") move(lines.slice(0, at).findLastIndex((each) => each.group !== undefined));
    else return;
    event.preventDefault();
  }

  scroller.addEventListener("scroll", () => last !== null && draw(last.state, last.query, last.now), { passive: true });
  rows.addEventListener("keydown", onKey);
  rows.addEventListener("click", (event) => {
    const key = event.target.closest(".line")?.dataset.key;
    const line = lines.find((each) => each.key === key);
    if (line !== undefined) choose(line);
  });
  // Class names only, so that nothing resizes what is observed.
  new ResizeObserver(([entry]) => {
    grid.dataset.width = entry.contentRect.width < 620 ? "narrow" : entry.contentRect.width < 980 ? "medium" : "wide";
    if (last !== null) update(last.state, last.query, last.now);
  }).observe(scroller);

  return {
    update,
    focus(key) {
      const at = lines.findIndex((line) => line.key === key);
      if (at >= 0) move(at);
    },
  };
}

function makeGroup() {
  const parts = { turn: symbol("turn"), title: make("span", { class: "group-title" }), total: make("span", { class: "group-total" }), numbers: make("span", { class: "group-numbers" }) };
  const cell = make("div", { role: "gridcell", class: "group-cell", "aria-colspan": COLUMNS.length }, parts.turn, parts.title, parts.total, parts.numbers);
  return { element: make("div", { role: "row", class: "line group", "aria-level": 1 }, cell), parts };
}

function fillGroup({ element, parts }, { title, total, numbers, folded }) {
  setAttribute(element, "aria-expanded", String(!folded));
  setText(parts.title, title);
  setText(parts.total, total.toLocaleString("en"));
  const shown = Object.keys(LOOKS).filter((look) => numbers[look] > 0);
  const key = shown.map((look) => `${look}${numbers[look]}`).join();
  if (parts.numbers.dataset.key === key) return;
  parts.numbers.dataset.key = key;
  parts.numbers.replaceChildren(
    ...shown.reverse().map((look) => make("span", { class: "number", "data-look": look }, symbol(LOOKS[look].symbol), `${numbers[look].toLocaleString("en")} ${LOOKS[look].title.toLowerCase()}`)),
  );
}

function makeRow() {
  const cells = Object.fromEntries(COLUMNS.map(([key]) => [key, make("div", { role: "gridcell", class: `cell c-${key}` })]));
  const parts = { cells, symbol: symbol("unknown"), name: make("span", { class: "name" }), id: make("span", { class: "id" }), word: make("span", { class: "word" }), strip: makeStrip(), meter: makeMeter(), load: make("span"), progress: makeMeter(), says: make("span", { class: "message" }) };
  cells.name.append(parts.symbol, make("span", { class: "names" }, parts.name, parts.id));
  cells.state.append(parts.word);
  cells.history.append(parts.strip.svg);
  cells.load.append(parts.load, parts.meter.element);
  cells.says.append(parts.progress.element, parts.says);
  return { element: make("div", { role: "row", class: "line row", "aria-level": 2 }, ...Object.values(cells)), parts };
}

function fillRow({ element, parts }, { row, look }, { state, sure, now, at, span }) {
  const before = element.dataset.look;
  if (before !== look) {
    element.dataset.look = look;
    setSymbol(parts.symbol, LOOKS[look].symbol);
    if (before !== undefined) flash(element);
  }
  setText(parts.name, row.name);
  setText(parts.id, row.id === row.name ? "" : row.id);
  setAttribute(parts.cells.name, "title", row.id === row.name ? row.name : `${row.name} (${row.id})`);
  setText(parts.word, wordOf(row, look));
  setText(parts.cells.beat, beatWord(row, sure, at));
  setText(parts.cells.p95, figure(row.p95, "ms"));
  setText(parts.cells.queue, figure(row.queue));
  setText(parts.load, figure(row.load));
  parts.meter.show(row.load);
  setText(parts.cells.lag, row.lag === null || row.lag === undefined ? "–" : spanWord(row.lag));
  parts.progress.show(row.progress);
  const percent = typeof row.progress === "number" ? `${Math.round(row.progress * 100)} % ` : "";
  setText(parts.says, `${percent}${row.message ?? ""}`);
  setAttribute(parts.cells.says, "title", row.message || null);
  drawStrip(parts.strip, stripOf(state, row, sure, now, span), span.slotLength);
}

/** How long ago the last heartbeat was; while the page is not live, the time of day of the last known one. */
export function beatWord(row, sure, at) {
  if (row.beat === null) return "–";
  return sure && !row.gone ? `${ageWord(at - row.beat)} ago` : `at ${clockWord(row.beat, at)}`;
}

/** The states of the slots of a row's history bar. */
export function stripOf(state, row, sure, now, span) {
  const events = state.eventsAbout.get(row.id) ?? [];
  return slotsOf({ row: row.gone ? null : row, events, gaps: state.gaps, covered: state.covered, now: serverTime(state, now), ...span });
}

/** An empty history bar. */
export function makeStrip() {
  const svg = makeSvg("svg", { class: "strip", role: "img", preserveAspectRatio: "none" });
  const paths = Object.fromEntries(["alive", "suspect", "down", "gone", "unseen"].map((state) => [state, makeSvg("path", { class: `slot-${state}` })]));
  svg.append(...Object.values(paths));
  return { svg, paths, key: "" };
}

// Each state has a height of its own, so that the bar can be read without colour.
const SHAPES = {
  alive: (x) => `M${x} 5h3v14h-3z`,
  suspect: (x) => `M${x} 2h3v7h-3zM${x} 12h3v7h-3z`,
  down: (x) => `M${x} 0h3.4v20h-3.4z`,
  gone: (x) => `M${x} 9h3v3h-3z`,
  unseen: (x) => `M${x + 0.9} 17h1.2v2h-1.2z`,
};

/** Draw the slots into a history bar; does nothing if they are unchanged. */
export function drawStrip(strip, states, slotLength) {
  const key = states.map((state) => state[0] + state[1]).join("");
  if (strip.key === key) return;
  strip.key = key;
  setAttribute(strip.svg, "viewBox", `0 0 ${states.length * SLOT} 20`);
  setAttribute(strip.svg, "aria-label", sentenceOf(states, slotLength));
  for (const [state, path] of Object.entries(strip.paths)) {
    const shape = SHAPES[state];
    setAttribute(path, "d", states.map((each, at) => (each === state ? shape(at * SLOT) : "")).join(""));
  }
}

/** A small bar for a share of 0 to 1; hidden for anything else. */
export function makeMeter() {
  const fill = make("span", { class: "meter-fill" });
  const element = make("span", { class: "meter", "aria-hidden": "true", hidden: true }, fill);
  return {
    element,
    show(value) {
      const shown = typeof value === "number" && value >= 0 && value <= 1;
      element.hidden = !shown;
      if (shown) fill.style.transform = `scaleX(${value})`;
    },
  };
}

/** Highlight an element once, because it changed. */
export function flash(element) {
  element.classList.remove("flash");
  void element.offsetWidth; // restarts the animation
  element.classList.add("flash");
}
