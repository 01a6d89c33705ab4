// The sentences of the page, in one place, so that they can be edited as text. Pure. Labels that never change are in
// index.html; format.js writes moments, numbers and states; event_types.js has the names of events.

import { causeWord, count, some } from "./format.js";

export const GATEWAY_SILENT = "The gateway does not answer.";
export const NOTHING_RECEIVED = "No data has been received yet.";
export const TRON_UNREACHABLE = "TRON cannot be reached right now.";
export const TRON_KNOWS_NONE = "TRON has no data about this service.";
export const NOT_REGISTERED = "This service is not registered at the moment.";
export const ASKING_TRON = "Asking TRON …";
export const NO_MATCH = "No service matches the search.";
export const NO_SERVICES = "No services are registered yet.";
export const FOLDED = "Some branches are folded; services in trouble are always shown.";

/** The gateway refused a request; `status` is the HTTP status. */
export const refused = (status) => `The gateway refused the request (${status}).`;

/** The text of the button that leads to the login at an issuer. */
export const logInWith = (issuer) => `Log in with ${issuer}`;

/** Why a login failed: the text of the gateway, as a sentence. */
export const notLoggedIn = (said) => `${said.charAt(0).toUpperCase()}${said.slice(1)}${said.endsWith(".") ? "" : "."}`;

/** The roles of the person or program that is logged in. */
export const rolesOf = (roles) => (roles.length === 0 ? "no roles" : `${roles.length === 1 ? "role" : "roles"}: ${roles.join(", ")}`);

/** The number of alerts that are not acknowledged. */
export const openAlerts = (number) => (number > 0 ? `${count(number, "alert is", "alerts are")} not acknowledged` : "All alerts are acknowledged");

/** The recipient of an alert; `name` is empty if there was none. */
export const recipient = (name, escalated) => (name === "" ? "no recipient" : `${escalated ? "escalated to" : "to"} ${name}`);

/** The reason for which an alert was not sent at once. */
export const heldBack = (reason) => `held back: ${reason}`;

/** The number of failed services that are below the one that an alert is about. */
export const below = (number) => `, and ${count(number, "service")} below it`;

// --- the headline ---

export const LOADING = { tone: "loading", text: "Waiting for data from the gateway", detail: NOTHING_RECEIVED };

export const TRON_AWAY = {
  tone: "unknown",
  text: "Liveness is unknown: TRON is not connected to the registry",
  detail: "Check that TRON is running and can reach the registry. Until then no service is shown as healthy; heartbeats are still shown as they arrive.",
};

export const GUARD = {
  tone: "alarm",
  text: "Many services fell silent at once",
  detail: "The mass-failure guard is active: alerts about these services are held, and no service is deregistered.",
};

/** The page is not live: `what` is unreachable ("registry" or "gateway"), `ago` is for how long, `at` the time of the shown data, or null. */
export function notLive(what, ago, at) {
  const text = what === "registry" ? "Not live: the registry is unreachable" : "Not live: the connection to the gateway is lost";
  const detail = at === null ? `Not live for ${ago}. ${NOTHING_RECEIVED}` : `Not live for ${ago}. Showing data from ${at}; the current state is unknown.`;
  return { tone: "unknown", text, detail };
}

/** Services were deregistered while down, the last one at `when`; all others are alive. */
export function lost(names, when, cause, registered) {
  const moment = cause === "" ? when : `${when} (${cause})`;
  const said = names.length === 1 ? `The service was deregistered at ${moment}` : `The last service was deregistered at ${moment}`;
  const others = registered === 1 ? "The only registered service is" : `All ${registered.toLocaleString("en")} registered services are`;
  const rest = registered === 0 ? "" : ` ${others} alive.`;
  return { tone: "alarm", text: `${some(names)} ${names.length === 1 ? "was" : "were"} lost`, detail: `${said}; no operator has acknowledged the loss of ${names.length === 1 ? "this service" : "these services"}.${rest}` };
}

/** The names of lost services, for a headline about other services in trouble. */
export const alsoLost = (names) => (names.length === 0 ? "" : `Lost: ${some(names)}`);

/** Services are down, and `suspect` others are suspect. */
export function down(number, names, suspect, also) {
  const more = suspect > 0 ? `; ${count(suspect, "more is", "more are")} suspect` : "";
  return { tone: "alarm", text: `${count(number, "service is", "services are")} down`, detail: joined(`${some(names)}${more}`, also) };
}

/** Services are suspect, and none is down. */
export function suspect(number, names, also) {
  return { tone: "attention", text: `${count(number, "service is", "services are")} suspect`, detail: joined(some(names), also) };
}

/** Services have no verdict yet. */
export function unknown(number, also) {
  return { tone: "attention", text: `${count(number, "service has", "services have")} no verdict yet`, detail: also };
}

export const EMPTY = { tone: "ok", text: "No services yet", detail: "A service appears here as soon as it registers." };

/** All services are alive; `attention` of them need attention, `gone` were deregistered recently. */
export function alive(number, attention, gone) {
  const text = number === 1 ? "The only service is alive" : `All ${number.toLocaleString("en")} services are alive`;
  const asking = attention > 0 ? `${count(attention, "service needs", "services need")} attention.` : "";
  const removed = gone > 0 ? `${count(gone, "service was", "services were")} deregistered recently.` : "";
  return { tone: gone > 0 ? "attention" : "ok", text, detail: `${asking} ${removed}`.trim() };
}

const joined = (...parts) => parts.filter((part) => part !== "").join(". ");

// --- bars and notes ---

/** What TRON does, for the TRON bar; `tron` is a value of `tronState`. */
export function tronBar(tron, all, trouble) {
  const watching = `watching ${count(all, "service")}${trouble > 0 ? `, ${trouble.toLocaleString("en")} in trouble` : ""}`;
  switch (tron) {
    case "watching":
      return watching;
    case "guard":
      return "mass-failure guard active: alerts are held";
    case "mute":
      return `${watching}, but not answering requests`;
    case "away":
      return "not connected to the registry, so liveness is unknown";
    case "lost":
      return "status unknown, because this page is not live";
    default:
      return "connecting";
  }
}

/** Whether the page is live; `level` is that of `freshness`, `ago` is for how long the page has not been live. */
export function pulse(level, ago) {
  switch (level) {
    case "live":
      return "Live";
    case "waiting":
      return "Reconnecting";
    case "lost":
      return `Not live for ${ago}`;
    default:
      return "Connecting";
  }
}

/** The note at a parent that was notified about failed children. */
export const notifiedAbout = (names) => `was notified about ${some(names, 1)}`;

/** The note at a service that was deregistered. */
export const deregisteredAgo = (ago) => `deregistered ${ago} ago`;

/** The note at a service in trouble; `ago` is null if it never sent a heartbeat. */
export const silentFor = (ago, cause) => (ago === null ? causeWord(cause) : `No heartbeat for ${ago}`);

/** The note at a folded branch of the tree. */
export const troubleBelow = (number) => `${count(number, "service")} in trouble below this one`;
