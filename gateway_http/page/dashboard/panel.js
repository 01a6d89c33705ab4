// The panel with all data about one service, and TRON's explanation of its state.

import { signOf, wordsFor } from "./alerts.js";
import { byId, make, setAttribute, setSymbol, setText, symbol } from "./dom.js";
import { ageWord, clockWord, count, figure, LOOKS, shorten, spanWord } from "./format.js";
import { childrenOf, find, parentOf } from "./hierarchy.js";
import { beatWord, drawStrip, makeStrip, stripOf } from "./list.js";
import * as messages from "./messages.js";
import { isSure, lookOf, wordOf } from "./selectors.js";
import { serverTime } from "./state.js";

const ASK_EVERY = 5000;
const MOST_EVENTS = 12;
const MOST_CHILDREN = 30;

/**
 * The panel. `explain(id)` returns {ok, status, body} of `/v1/explain`; `open(id)` shows another service; `onClose()` is called
 * when the user has closed the panel.
 */
export function createPanel({ explain, open, onClose }) {
  const panel = byId("detail");
  let id = null;
  let parts = null;
  let answer = null;
  let askedAt = -Infinity;
  let asking = false;
  let cameFrom = null;
  let shownLook = "";

  function show(wanted) {
    if (id === null) cameFrom = document.activeElement;
    id = wanted;
    answer = null;
    askedAt = -Infinity;
    shownLook = "";
    parts = build();
    panel.hidden = false;
    panel.scrollTop = 0;
    document.body.classList.add("has-detail");
    parts.close.focus({ preventScroll: true });
  }

  function hide() {
    if (id === null) return;
    id = null;
    panel.hidden = true;
    panel.replaceChildren();
    document.body.classList.remove("has-detail");
    if (cameFrom?.isConnected) cameFrom.focus({ preventScroll: true });
    onClose();
  }

  function build() {
    const made = {
      symbol: symbol("unknown"),
      name: make("h2", { id: "detail-name" }),
      close: make("button", { type: "button", class: "icon-button" }, symbol("close"), make("span", { class: "sr-only" }, "Close")),
      word: make("p", { class: "detail-word" }),
      strip: makeStrip(),
      stripText: make("p", { class: "detail-small" }),
      verdict: make("p", { class: "verdict" }),
      rule: make("p", { class: "detail-small" }),
      deadlines: make("dl", { class: "facts" }),
      margin: make("p", { class: "detail-small margin" }),
      facts: make("dl", { class: "facts" }),
      family: make("div", { class: "family" }),
      events: make("ol", { class: "detail-events" }),
      labels: make("pre", { class: "json", tabindex: 0, "aria-label": "Labels" }),
      evidence: make("pre", { class: "json", tabindex: 0, "aria-label": "Evidence" }),
    };
    made.close.addEventListener("click", hide);
    made.section = {};
    const section = (key, title, ...children) => {
      made.section[key] = make("section", {}, make("h3", {}, title), ...children);
      return made.section[key];
    };
    panel.replaceChildren(
      make("div", { class: "detail-head" }, made.symbol, made.name, made.close),
      made.word,
      section("why", "Why", made.verdict, made.rule, made.deadlines, made.margin),
      section("history", "History", make("div", { class: "detail-strip" }, made.strip.svg), made.stripText, legend()),
      section("facts", "Facts", made.facts),
      section("family", "Family", made.family),
      section("events", "What happened", made.events),
      section("labels", "Labels", made.labels),
      section("evidence", "Evidence", made.evidence),
    );
    return made;
  }

  function update(state, now, span) {
    if (id === null) return;
    const row = find(state, id, now);
    const sure = isSure(state, now);
    const at = serverTime(state, now);
    const look = row === undefined ? "unknown" : lookOf(row, sure);
    setAttribute(panel, "data-look", look);
    setSymbol(parts.symbol, LOOKS[look].symbol);
    setText(parts.name, row?.name ?? id);
    setText(parts.word, row === undefined ? messages.NOT_REGISTERED : `${sentence(wordOf(row, look))}${sinceWord(row, look, at)}.`);
    if (look !== shownLook || (now - askedAt > ASK_EVERY && sure)) {
      shownLook = look;
      void askAgain(now, row?.beat ?? null);
    }
    fillWhy(row, now);
    if (row === undefined) {
      for (const key of ["history", "facts", "family", "labels"]) parts.section[key].hidden = true;
    } else {
      for (const key of ["history", "facts", "family"]) parts.section[key].hidden = false;
      drawStrip(parts.strip, stripOf(state, row, sure, now, span), span.slotLength);
      setText(parts.stripText, parts.strip.svg.getAttribute("aria-label"));
      fillFacts(row, sure, at);
      fillFamily(state, row);
    }
    fillEvents(state, at);
  }

  async function askAgain(now, beat) {
    if (asking) return;
    asking = true;
    askedAt = now;
    const wanted = id;
    const got = await explain(wanted);
    asking = false;
    if (wanted === id) answer = { ...got, at: now, beat };
  }

  function fillWhy(row, now) {
    const explanation = answer?.body?.explanation ?? null;
    setText(parts.verdict, explanation?.verdict || (answer === null ? messages.ASKING_TRON : reasonFor(answer)));
    setText(parts.rule, explanation?.rule ? `Rule: ${explanation.rule}` : "");
    setText(parts.margin, explanation?.margin ?? "");
    // Each beat since then has moved the deadlines.
    const moved = answer !== null && answer.beat !== null && row?.beat ? row.beat - answer.beat : 0;
    const passed = answer === null ? 0 : (now - answer.at - moved) / 1000;
    fillPairs(
      parts.deadlines,
      (explanation?.deadlines ?? []).map(({ what, due_in: due }) => [what, deadlineWord(due - passed)]),
    );
    const labels = answer?.body?.service?.labels ?? {};
    parts.section.labels.hidden = Object.keys(labels).length === 0;
    setText(parts.labels, JSON.stringify(labels, null, 2));
    const evidence = explanation?.evidence ?? {};
    parts.section.evidence.hidden = Object.keys(evidence).length === 0;
    setText(parts.evidence, JSON.stringify(evidence, null, 2));
  }

  function fillFacts(row, sure, at) {
    const full = answer?.body?.service;
    fillPairs(parts.facts, [
      ["Service id", row.id],
      ["Last heartbeat", beatWord(row, sure, at)],
      ["Heartbeat every", row.interval === null ? "–" : spanWord(row.interval)],
      ["Stream", row.gone ? "gone" : row.connected ? "connected" : "not connected"],
      ["Reports", `${row.status || "–"}${row.message ? `: ${row.message}` : ""}`],
      ["p95", figure(row.p95, "ms")],
      ["Queue", figure(row.queue)],
      ["Load", figure(row.load)],
      ["Progress", typeof row.progress === "number" ? `${Math.round(row.progress * 100)} %` : "–"],
      ["Loop lag", row.lag === null || row.lag === undefined ? "–" : spanWord(row.lag)],
      ["Busy until", row.busyUntil ? clockWord(row.busyUntil, at) : "–"],
      ["Type, role", [row.type, row.role].filter(Boolean).join(", ") || "–"],
      ["Address", row.url || "–"],
      ["Capabilities", (full?.caps ?? row.caps).join(", ") || "–"],
      ["Registered", row.registered ? `${clockWord(row.registered, at)}, incarnation ${row.incarnation}` : "–"],
    ]);
  }

  function fillFamily(state, row) {
    const parent = parentOf(state, row);
    const children = childrenOf(state, row.id);
    const key = [row.parent, parent?.id, ...children.map((child) => child.id)].join("\u0000");
    if (parts.family.dataset.key === key) return;
    parts.family.dataset.key = key;
    const link = (each) => {
      const button = make("button", { type: "button", class: "link" }, each.name);
      button.addEventListener("click", () => open(each.id));
      return button;
    };
    const up = parent !== undefined ? ["Parent: ", link(parent)] : [row.parent ? `Parent: ${row.parent} (not registered)` : "No parent"];
    const down = children.slice(0, MOST_CHILDREN).map((child) => make("li", {}, link(child)));
    const rest = children.length - down.length;
    if (rest > 0) down.push(make("li", {}, `and ${rest.toLocaleString("en")} more`));
    parts.family.replaceChildren(make("p", {}, ...up), make("p", {}, count(children.length, "child", "children")), make("ul", {}, ...down));
  }

  function fillEvents(state, at) {
    const events = (state.eventsAbout.get(id) ?? []).slice(-MOST_EVENTS).reverse();
    parts.section.events.hidden = events.length === 0;
    const key = events.map((event) => event.seq).join();
    if (parts.events.dataset.key === key) return;
    parts.events.dataset.key = key;
    parts.events.replaceChildren(
      ...events.map((event) => {
        const { symbol: sign, look } = signOf(event);
        return make("li", { "data-look": look }, symbol(sign), make("span", {}, `${clockWord(event.at, at)}  ${wordsFor(event)}${event.message ? `: ${event.message}` : ""}`));
      }),
    );
  }

  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });

  return { show, hide, update, shown: () => id };
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sinceWord(row, look, at) {
  if (row.since === null || row.since === undefined || look === "unknown") return "";
  return `, for ${ageWord(at - row.since)}`;
}

function reasonFor({ status, body }) {
  if (body?.note) return body.note;
  if (status === 404) return messages.TRON_KNOWS_NONE;
  if (status === 0) return messages.GATEWAY_SILENT;
  return messages.TRON_UNREACHABLE;
}

function deadlineWord(seconds) {
  if (seconds >= 0) return `in ${spanWord(Math.ceil(seconds) * 1000)}`;
  return seconds > -2 ? "now" : `was due ${ageWord(-seconds * 1000)} ago, but is held back`;
}

function fillPairs(list, pairs) {
  const key = pairs.map(([name]) => name).join("\u0000");
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    list.replaceChildren(...pairs.flatMap(([name]) => [make("dt", {}, name), make("dd", {})]));
  }
  pairs.forEach(([, value], at) => setText(list.children[2 * at + 1], shorten(value, 2000)));
}

function legend() {
  const sample = (state, title) => {
    const strip = makeStrip();
    drawStrip(strip, [state], 1);
    setAttribute(strip.svg, "aria-hidden", "true");
    strip.svg.removeAttribute("aria-label");
    return make("li", {}, strip.svg, title);
  };
  return make(
    "ul",
    { class: "legend" },
    sample("alive", "alive"),
    sample("suspect", "suspect"),
    sample("down", "down"),
    sample("gone", "deregistered"),
    sample("unseen", "not observed"),
  );
}
