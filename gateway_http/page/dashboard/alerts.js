// The feed of alerts: newest first, each acknowledged or with a button to acknowledge it.

import { byId, make, setAttribute, setText, symbol } from "./dom.js";
import { EVENT_TYPES } from "./event_types.js";
import { ageWord, clockWord } from "./format.js";
import { resolve } from "./hierarchy.js";
import * as messages from "./messages.js";
import { isOver, latest } from "./selectors.js";
import { serverTime } from "./state.js";

const MOST_SHOWN = 100;
const MOST_CHIPS = 5;

// An orphan is notified about the same failure, which is not shown twice.
const { parent_down: _, ...ABOUT_ONE } = EVENT_TYPES;

const TONES = { CRITICAL: "down", WARNING: "suspect", INFO: "ok" };

/** The symbol and the look of an event. */
export function signOf(event) {
  const look = event.type === "heartbeat_restored" ? "ok" : (TONES[event.severity] ?? "unknown");
  return { symbol: EVENT_TYPES[event.type]?.symbol ?? "event", look };
}

/** What happened in an event, in words, without the name of the service. */
export function wordsFor(event) {
  return EVENT_TYPES[event.type]?.title ?? event.type.replaceAll("_", " ");
}

/** Run an action when a button is pressed. The button is disabled until the action ends; `problem` shows what went wrong. */
export function onPress(button, problem, action) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    setText(problem, "");
    setText(problem, (await action()) ?? "");
    button.disabled = false;
  });
}

/** The feed. `open(id)` shows a service, `acknowledge(event)` and `acknowledgeAll()` acknowledge alerts. */
export function createAlerts({ open, acknowledge, acknowledgeAll }) {
  const list = byId("alerts");
  const chips = byId("tron-chips");
  const pool = new Map();
  let key = "";
  const all = byId("acknowledge-all");
  onPress(all, byId("alerts-problem"), acknowledgeAll);

  function update(state, now) {
    const at = serverTime(state, now);
    const newest = state.events.at(-1)?.seq ?? 0;
    const fresh = `${newest} ${state.events.length} ${state.structure} ${state.openAsOf} ${[...state.openAlerts].join()}`;
    if (fresh !== key) {
      key = fresh;
      arrange(state);
      drawChips(state);
    }
    for (const { event, age } of pool.values()) {
      setText(age, `${ageWord(at - event.at)} ago`);
      setAttribute(age, "title", clockWord(event.at, at));
    }
    byId("alerts-empty").hidden = pool.size > 0;
    const waiting = state.openAlerts.size;
    setText(byId("alerts-note"), messages.openAlerts(waiting));
    all.hidden = waiting === 0;
    setText(byId("tab-alerts"), waiting > 0 ? ` ${waiting.toLocaleString("en")}` : "");
  }

  function arrange(state) {
    const shown = state.events.slice(-MOST_SHOWN).reverse();
    const keys = new Set(shown.map((event) => event.seq));
    for (const [seq, drawn] of pool) {
      if (keys.has(seq)) continue;
      drawn.element.remove();
      pool.delete(seq);
    }
    const first = pool.size === 0;
    shown.forEach((event, at) => {
      const drawn = pool.get(event.seq) ?? create(event, first);
      if (list.children[at] !== drawn.element) list.insertBefore(drawn.element, list.children[at] ?? null);
      setText(drawn.to, messages.recipient(resolve(state, event.to)?.name ?? event.to, event.escalated));
      const waits = state.openAlerts.has(event.id);
      drawn.heard.hidden = waits || event.to === "" || event.seq > state.openAsOf;
      setText(drawn.heardWord, isOver(state, event) ? "over" : "acknowledged");
      drawn.button.hidden = !waits;
      if (!waits) drawn.button.disabled = false;
      setText(drawn.problem, waits ? drawn.problem.textContent : "");
    });
  }

  function create(event, first) {
    const { symbol: sign, look } = signOf(event);
    const about = event.name || event.service;
    const name = event.service ? make("button", { type: "button", class: "link" }, about) : null;
    name?.addEventListener("click", () => open(event.service));
    const parts = {
      age: make("span", { class: "alert-age" }),
      to: make("span", { class: "alert-to" }),
      heardWord: make("span", {}, "acknowledged"),
      button: make("button", { type: "button", class: "button", hidden: true, "aria-label": `Acknowledge: ${about || event.type} ${wordsFor(event)}` }, "Acknowledge"),
      problem: make("span", { class: "alert-problem", role: "status" }),
    };
    parts.heard = make("span", { class: "alert-heard" }, symbol("ok"), parts.heardWord);
    const below = event.affected > 0 && event.service ? messages.below(event.affected) : "";
    const words = make("span", { class: "alert-words" }, ...(name === null ? [] : [name, " "]), `${wordsFor(event)}${below}`);
    const notes = [event.type in EVENT_TYPES && event.service ? "" : event.message, event.held === "" ? "" : messages.heldBack(event.held)];
    const message = notes.filter((note) => note !== "").join("; ");
    const element = make(
      "li",
      { class: first ? "alert" : "alert arrived", "data-look": look, "data-sequence": event.seq },
      symbol(sign),
      make("div", { class: "alert-body" }, words, ...(message ? [make("span", { class: "alert-message" }, message)] : []), make("div", { class: "alert-foot" }, parts.age, parts.to, parts.heard, parts.button, parts.problem)),
    );
    onPress(parts.button, parts.problem, () => acknowledge(event));
    const drawn = { event, element, ...parts };
    pool.set(event.seq, drawn);
    return drawn;
  }

  function drawChips(state) {
    chips.replaceChildren(
      ...latest(state, ABOUT_ONE, MOST_CHIPS).map((event) => {
        const name = event.name || event.service || "fleet";
        const chip = make("button", { type: "button", class: "tron-chip", title: `${name} ${wordsFor(event)}` }, symbol(signOf(event).symbol), make("span", { class: "tron-chip-name" }, name), make("span", { class: "sr-only" }, ` ${wordsFor(event)}`));
        if (event.service) chip.addEventListener("click", () => open(event.service));
        return make("li", {}, chip);
      }),
    );
  }

  return { update };
}
