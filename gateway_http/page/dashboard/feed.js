// A connection to the gateway: one EventSource, kept alive until it is closed. Which tab holds one is decided in tabs.js.
//
// The browser resumes a broken stream automatically, with Last-Event-ID. This opens a new one, which starts with a snapshot, if
// the browser stops trying, or if a stream is open but silent (a network that vanished, a laptop that slept).

import { QUIET_AFTER } from "./selectors.js";

const KINDS = ["state", "snapshot", "services", "heard", "event", "gap"];
const LONGEST_WAIT = 5000;

/**
 * Follow `/v1/stream` at `url`. `onMessage(kind, text, cursor)` gets each message, as the text of its JSON and the cursor to resume
 * from; `onBroken()` each break. Returns {check, close}: `check(now)` must be called regularly, and at once when the page
 * wakes.
 */
export function follow(url, { onMessage, onBroken, now = Date.now, random = Math.random }) {
  let source = null;
  let heardAt = now();
  let attempt = 0;
  let waiting = null;
  let closed = false;

  function open() {
    waiting = null;
    source?.close();
    heardAt = now();
    source = new EventSource(url);
    for (const kind of KINDS) source.addEventListener(kind, (event) => hear(kind, event));
    source.addEventListener("error", fail);
  }

  function hear(kind, event) {
    heardAt = now();
    attempt = 0;
    onMessage(kind, event.data, event.lastEventId);
  }

  function fail() {
    onBroken();
    if (source.readyState === EventSource.CLOSED) again();
  }

  function again() {
    if (waiting !== null || closed) return;
    attempt += 1;
    // Full jitter: many pages lose the same gateway at the same moment.
    waiting = setTimeout(open, random() * Math.min(LONGEST_WAIT, 250 * 2 ** attempt));
  }

  open();
  return {
    check(moment = now()) {
      if (moment - heardAt <= QUIET_AFTER || waiting !== null || closed) return;
      onBroken();
      open();
    },
    close() {
      closed = true;
      clearTimeout(waiting);
      source.close();
    },
  };
}

let unauthorized = () => {};

/** Set the function to call when the gateway answers that nobody is logged in (401). */
export function onUnauthorized(action) {
  unauthorized = action;
}

/** Request one of the gateway's JSON endpoints. Returns {ok, status, body}; the status is 0 if there was no answer. */
export async function ask(url, options = {}) {
  try {
    const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(8000), ...options });
    if (response.status === 401) unauthorized();
    const body = await response.json().catch(() => null);
    return { ok: response.ok, status: response.status, body };
  } catch {
    return { ok: false, status: 0, body: null };
  }
}

/** Send a JSON object by POST; returns the same as `ask`. */
export function send(url, body) {
  return ask(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}
