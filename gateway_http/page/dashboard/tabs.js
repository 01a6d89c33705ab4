// One stream for all tabs of a browser. A browser opens at most six connections to one address, and a stream holds one for
// as long as it lasts; with one stream a tab the seventh tab would stay blank.
//
// One of the visible tabs leads: it holds the stream and passes its messages on. The others follow, and take the fleet from /v1
// once. A hidden tab does neither. If the leader closes, or is silent for a while, another tab leads and resumes at the same
// cursor. Two leaders notice each other at once: the one with the smaller id stays.

import { ask, follow } from "./feed.js";

/** Time in ms within which the leader answers a tab that asks whether there is a leader. */
const ANSWER = 60;
/** Time in ms without a message of the leader after which another tab leads. A leader sends a message every second. */
const SILENT = 3000;
const SAY_EVERY = 1000;
/** Time between two attempts to read the list of services, in ms. */
const AGAIN = 1000;
/** Maximum number of messages that wait until the list of services is read. Overflow rule: the list is read again. */
const MOST_WAITING = 2000;

/**
 * Follow the gateway at `root` (/v1/) together with the other tabs. `onMessage(kind, data)` gets each message, `onBroken()` each
 * break. Returns {check, rest, wake, role}: `check(now)` must be called every second; `rest()` closes the stream,
 * `wake()` follows again.
 */
export function followTogether(root, { onMessage, onBroken, now = Date.now, random = Math.random, hidden = document.hidden }) {
  const me = `${String(Math.floor(random() * 1e9)).padStart(9, "0")}.${now()}`;
  const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(`tron ${root}`);
  let role = "resting";
  let source = null;
  let cursor = "";
  let heardAt = 0;
  let saidAt = 0;
  let timer = null;
  // While the fleet is being read: the messages that arrived meanwhile. Null: it is read.
  let waiting = null;
  let reading = 0;

  const say = (kind, more = {}) => channel?.postMessage({ kind, from: me, ...more });

  // --- leading -------------------------------------------------------------------------------------------------------

  function begin() {
    role = "asking";
    if (channel === null) return lead();
    say("who");
    return later(ANSWER + random() * ANSWER, lead);
  }

  function later(time, what) {
    clearTimeout(timer);
    timer = setTimeout(what, time);
  }

  function lead() {
    clearTimeout(timer);
    role = "leading";
    waiting = null;
    reading += 1;
    announce();
    source = follow(cursor === "" ? `${root}stream` : `${root}stream?cursor=${encodeURIComponent(cursor)}`, {
      onMessage(kind, text, id) {
        say("told", { type: kind, text, id });
        take(kind, text, id);
      },
      onBroken() {
        say("broken");
        onBroken();
      },
    });
  }

  function announce() {
    saidAt = now();
    say("leading");
  }

  function obey() {
    clearTimeout(timer);
    letGo();
    role = "following";
    void readFleet();
  }

  function letGo() {
    source?.close();
    source = null;
  }

  // --- messages ----------------------------------------------------------------------------------------------------

  function take(kind, text, id) {
    let data;
    try {
      data = JSON.parse(text);
    } catch {
      return; // cut off in the middle; what follows tells it again
    }
    if (id) cursor = id;
    onMessage(kind, data);
  }

  /** Read the list of services, and then process the messages that arrived meanwhile. */
  async function readFleet() {
    const mine = (reading += 1);
    waiting = [];
    const [status, fleet] = await Promise.all([ask(`${root}status`), ask(`${root}services`)]);
    if (mine !== reading || role !== "following") return;
    if (status.ok) onMessage("state", status.body);
    else onBroken();
    if (!status.ok || !fleet.ok || waiting.length > MOST_WAITING) {
      setTimeout(() => mine === reading && role === "following" && void readFleet(), AGAIN);
      return;
    }
    const { revision, services } = fleet.body;
    const told = waiting;
    waiting = null;
    onMessage("snapshot", { revision, services, first: true, complete: true });
    let whole = true;
    for (const { type, text, id } of told) {
      if (type === "snapshot") whole = whole && !JSON.parse(text).first;
      // What is older than the fleet that was read would turn it back.
      if (type === "services" && whole && JSON.parse(text).revision <= revision) continue;
      take(type, text, id);
    }
  }

  channel?.addEventListener("message", ({ data: message }) => {
    if (role === "resting" || message.from === me) return;
    if (message.kind === "who") {
      if (role === "leading") announce();
      // Of tabs that ask at the same moment the one with the smallest id leads.
      else if (role === "asking" && message.from < me) later((3 + random()) * ANSWER, lead);
      return;
    }
    if (message.kind === "bye") {
      if (role === "following") later(random() * ANSWER, lead);
      return;
    }
    heardAt = now();
    if (role === "leading") {
      if (message.from < me) obey();
      else if (message.kind === "leading") announce();
      return;
    }
    if (role === "asking") obey();
    else clearTimeout(timer); // somebody leads again
    if (message.kind === "broken") onBroken();
    else if (message.kind === "told") {
      if (waiting === null) take(message.type, message.text, message.id);
      else if (waiting.length <= MOST_WAITING) waiting.push(message);
    }
  });

  if (!hidden) begin();
  return {
    /** "leading", "following", "asking" or "resting". */
    get role() {
      return role;
    },
    check(moment = now()) {
      source?.check(moment);
      if (role === "leading" && moment - saidAt >= SAY_EVERY) announce();
      else if (role === "following" && moment - heardAt > SILENT) later(random() * ANSWER, lead);
    },
    rest() {
      if (role === "leading") say("bye");
      clearTimeout(timer);
      letGo();
      reading += 1;
      role = "resting";
    },
    wake() {
      if (role === "resting") begin();
      else source?.check();
    },
  };
}
