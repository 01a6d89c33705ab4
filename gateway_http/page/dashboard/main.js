// Puts the page together: one state, one connection, one timer, and a view that draws what changed.

import { ask, send } from "./feed.js";
import { logIn } from "./login.js";
import * as messages from "./messages.js";
import { broke, createState, receive, takeHistory, takeOpen, woke } from "./state.js";
import { followTogether } from "./tabs.js";
import { createView } from "./view.js";

/** Delay in ms after a message that may concern acknowledgements, so that one request covers several messages. */
const GATHER = 400;
/** Time in ms between two requests whether open alerts were acknowledged elsewhere. */
const ASK_OPEN_EVERY = 5000;

/** An address of the gateway, wherever a proxy serves it: this module is in /dashboard/ below its root. */
const at = (path) => new URL(`../${path}`, import.meta.url).href;

/** Checks whether the session is still open; does nothing without authentication. */
const checkSession = document.documentElement.dataset.secured === "true" ? await logIn(at("session")) : () => {};

const state = createState(Date.now());
const view = createView(state, { acknowledge, acknowledgeAll, acknowledgeLost, explain });
let historyWanted = false;
let gathering = null;
let openAskedAt = 0;

const feed = followTogether(at("v1/"), {
  onMessage(kind, data) {
    const wanted = receive(state, kind, data, Date.now());
    if (wanted === "history") void loadHistory();
    else if (wanted === "alerts") askOpenSoon();
    view.changed();
  },
  onBroken() {
    broke(state, Date.now());
    checkSession();
    view.changed();
  },
});

// The one timer: ages tick, deadlines count, and what fell silent is noticed.
setInterval(() => {
  const now = Date.now();
  feed.check(now);
  document.documentElement.dataset.stream = feed.role;
  if (historyWanted) void loadHistory();
  if ((state.openAlerts.size > 0 || state.lost.length > 0) && now - openAskedAt > ASK_OPEN_EVERY) askOpenSoon();
  view.tick();
}, 1000);

// A tab that slept finds out at once, not at the next tick.
for (const type of ["online", "focus"]) window.addEventListener(type, () => feed.check());
// A hidden tab closes its stream, also when it is closed or kept for "back".
window.addEventListener("pagehide", () => feed.rest());
for (const [target, type] of [[window, "pageshow"], [document, "visibilitychange"]]) {
  target.addEventListener(type, () => {
    if (document.hidden) feed.rest();
    else {
      if (feed.role === "resting") woke(state, Date.now());
      feed.wake();
    }
    view.changed();
  });
}

async function loadHistory() {
  historyWanted = false;
  const { ok, body } = await ask(at("v1/history"));
  if (!ok || body === null) historyWanted = true; // the next tick asks again
  else takeHistory(state, body, Date.now());
  view.changed();
}

function askOpenSoon() {
  openAskedAt = Date.now();
  gathering ??= setTimeout(async () => {
    gathering = null;
    const newest = state.events.at(-1)?.seq ?? 0;
    const { ok, body } = await ask(at("v1/history?events=0"));
    if (ok && body !== null) takeOpen(state, body, newest);
    view.changed();
  }, GATHER);
}

/** Acknowledge an alert for all its recipients. Returns what went wrong, or undefined; so do the functions below. */
async function acknowledge(event) {
  const problem = await sendAcknowledgement({ alert_id: event.id });
  if (problem === undefined) state.openAlerts.delete(event.id);
  return problem;
}

/** Acknowledge every open alert, and every loss. */
async function acknowledgeAll() {
  const problem = await sendAcknowledgement({ all: true });
  if (problem === undefined) state.openAlerts.clear();
  return problem;
}

/** Acknowledge the losses that the headline names, and the open alerts about them. */
async function acknowledgeLost(lost) {
  for (const { id } of lost) {
    const problem = await sendAcknowledgement({ service_id: id });
    if (problem !== undefined) return problem;
  }
  return undefined;
}

async function sendAcknowledgement(what) {
  const { ok, status, body } = await send(at("v1/alerts/acknowledge"), what);
  askOpenSoon();
  view.changed();
  return ok ? undefined : (body?.detail ?? (status === 0 ? messages.GATEWAY_SILENT : messages.refused(status)));
}

function explain(id) {
  return ask(at(`v1/explain?service_id=${encodeURIComponent(id)}`));
}
