// The page around the list, the tree and the feed: the headline, the TRON bar, what is shown, and when it is drawn.

import { createAlerts, onPress } from "./alerts.js";
import { createAnnouncer } from "./announcer.js";
import { byId, make, memory, setAttribute, setText, symbol } from "./dom.js";
import { ageWord, LOOKS } from "./format.js";
import { createList } from "./list.js";
import { wordsOf } from "./listing.js";
import * as messages from "./messages.js";
import { createPanel } from "./panel.js";
import { counts, freshness, headline, isSure, losses } from "./selectors.js";
import { takeNews, tronState } from "./state.js";
import { createTree } from "./treeview.js";

const SLOTS = 30;
const WINDOWS = [
  ["15 min", 15],
  ["1 h", 60],
  ["6 h", 360],
  ["24 h", 1440],
];
const THEMES = [null, "light", "dark"];
const HEADLINE_SYMBOLS = { ok: "ok", attention: "suspect", alarm: "down", unknown: "unknown", loading: "unknown" };

/** The least time between two drawings, in ms, so that many changes at once are drawn only a few times a second. */
const REST = 60;

/**
 * The view of a state. `changed()` must be called after each change, `tick()` every second. The actions: `acknowledge(event)`,
 * `acknowledgeAll()`, `acknowledgeLost(services)` and `explain(id)`.
 */
export function createView(state, { acknowledge, acknowledgeAll, acknowledgeLost, explain }) {
  const query = { words: [], only: null, folded: new Set((memory.get("folded") ?? "").split(" ")), span: spanOf(memory.get("window")) };
  const announcer = createAnnouncer();
  const panel = createPanel({ explain, open, onClose: () => setHash(null) });
  const list = createList({ open, toggle });
  const tree = createTree({ open });
  const alerts = createAlerts({ open, acknowledge, acknowledgeAll });
  onPress(byId("acknowledge-lost"), byId("headline-problem"), () => acknowledgeLost(losses(state)));
  let scheduled = false;
  let drawnAt = 0;
  let first = true;

  function changed() {
    if (scheduled) return;
    scheduled = true;
    // A hidden page draws nothing: the state goes on, and the first frame after it wakes shows it.
    requestAnimationFrame(() => {
      const wait = REST - (performance.now() - drawnAt);
      if (wait <= 0 || first) draw();
      else setTimeout(draw, wait);
    });
  }

  function draw() {
    scheduled = false;
    drawnAt = performance.now();
    const now = Date.now();
    drawTop(now);
    list.update(state, query, now);
    tree.update(state, now);
    alerts.update(state, now);
    panel.update(state, now, query.span);
    if (first && state.loaded) {
      first = false;
      performance.mark("tron:first-useful-paint");
      document.documentElement.dataset.ready = "true";
      const wanted = readHash();
      if (wanted !== null) open(wanted);
    }
    document.documentElement.dataset.version = state.version;
  }

  function drawTop(now) {
    const fresh = freshness(state, now);
    const said = headline(state, now);
    const numbers = counts(state, now);
    setAttribute(byId("headline"), "data-tone", said.tone);
    setAttribute(byId("headline-symbol"), "href", `#s-${HEADLINE_SYMBOLS[said.tone]}`);
    setText(byId("headline-text"), said.text);
    setText(byId("headline-detail"), said.detail);
    byId("acknowledge-lost").hidden = losses(state).length === 0 || !isSure(state, now);
    setAttribute(document.documentElement, "data-level", fresh.level);
    setAttribute(byId("pulse"), "data-level", fresh.level);
    setText(byId("pulse-text"), messages.pulse(fresh.level, ageWord(now - fresh.since)));
    const tron = fresh.level === "lost" ? "lost" : state.loaded ? tronState(state) : "loading";
    setAttribute(byId("tron-bar"), "data-state", tron);
    const trouble = numbers.down + numbers.suspect;
    setAttribute(byId("tron-bar"), "data-alarm", String(trouble > 0 || tron === "guard"));
    setText(byId("tron-text"), messages.tronBar(tron, numbers.all, trouble));
    const prefix = fresh.level === "lost" ? "(not live) " : trouble > 0 ? `(${trouble.toLocaleString("en")}) ` : "";
    if (document.title !== `${prefix}System Status`) document.title = `${prefix}System Status`;
    drawChips(numbers);
    const sentence = announcer.say(takeNews(state), said.text, now);
    if (sentence !== "") setText(byId("announcer"), sentence);
  }

  // --- what is shown -----------------------------------------------------------------------------------------------------

  const chips = new Map();
  for (const look of [null, ...Object.keys(LOOKS).reverse()]) {
    const number = make("span", { class: "chip-number" });
    const sign = look === null ? [] : [symbol(LOOKS[look].symbol)];
    const button = make("button", { type: "button", class: "chip", "data-look": look }, ...sign, make("span", { class: "chip-title" }, look === null ? "All" : LOOKS[look].title), number);
    button.addEventListener("click", () => {
      query.only = query.only === look ? null : look;
      changed();
    });
    chips.set(look, { button, number });
  }
  byId("chips").append(...[...chips.values()].map(({ button }) => button));

  function drawChips(numbers) {
    for (const [look, { button, number }] of chips) {
      const amount = look === null ? numbers.all : numbers[look];
      setText(number, amount.toLocaleString("en"));
      setAttribute(button, "aria-pressed", String(query.only === look));
      button.hidden = amount === 0 && look !== null && look !== "ok" && query.only !== look;
    }
  }

  const search = byId("search");
  search.addEventListener("input", () => {
    query.words = wordsOf(search.value);
    showView("services");
    changed();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    search.value = "";
    query.words = [];
    search.blur();
    changed();
  });

  const windows = byId("window");
  windows.append(...WINDOWS.map(([title, minutes]) => make("option", { value: minutes }, title)));
  windows.value = String((query.span.slots * query.span.slotLength) / 60_000);
  windows.addEventListener("change", () => {
    query.span = spanOf(windows.value);
    memory.set("window", windows.value);
    changed();
  });

  function toggle(group) {
    if (query.folded.has(group)) query.folded.delete(group);
    else query.folded.add(group);
    memory.set("folded", [...query.folded].join(" "));
    changed();
  }

  function open(id) {
    panel.show(id);
    setHash(id);
    changed();
  }

  function showView(name) {
    byId("panels").dataset.view = name;
    for (const button of byId("tabs").children) setAttribute(button, "aria-pressed", String(button.dataset.view === name));
    changed();
  }
  byId("tabs").addEventListener("click", (event) => {
    const name = event.target.closest("button")?.dataset.view;
    if (name !== undefined) showView(name);
  });

  const theme = byId("theme");
  function showTheme(chosen) {
    if (chosen === null) delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    setText(byId("theme-text"), `Theme: ${chosen ?? "same as the system"}`);
    setAttribute(theme, "title", `Theme: ${chosen ?? "same as the system"}`);
  }
  theme.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? null) + 1) % THEMES.length];
    memory.set("theme", next);
    showTheme(next);
  });
  showTheme(document.documentElement.dataset.theme ?? null);

  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      search.focus();
      event.preventDefault();
    } else if (event.key === "Escape" && !typing) panel.hide();
  });
  window.addEventListener("hashchange", () => {
    const wanted = readHash();
    if (wanted === null) panel.hide();
    else if (wanted !== panel.shown()) open(wanted);
  });

  return { changed, tick: changed };
}

function spanOf(minutes) {
  const known = WINDOWS.find(([, each]) => String(each) === String(minutes))?.[1] ?? WINDOWS[0][1];
  return { slots: SLOTS, slotLength: (known * 60_000) / SLOTS };
}

function readHash() {
  const found = /^#service=(.*)$/s.exec(window.location.hash);
  if (found === null) return null;
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return null;
  }
}

function setHash(id) {
  const url = id === null ? window.location.pathname + window.location.search : `#service=${encodeURIComponent(id)}`;
  history.replaceState(null, "", url);
}
