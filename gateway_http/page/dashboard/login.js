// The login, if the gateway has authentication: a token is exchanged for the cookie of a session, which no script can read. The
// page keeps no token. When the session ends, the page is loaded again, so that nothing remains of what it showed.

import { byId, setAttribute, setText } from "./dom.js";
import { ask, onUnauthorized, send } from "./feed.js";
import * as messages from "./messages.js";

/** Time between two requests for the session, in ms, while the gateway does not answer. */
const AGAIN = 2000;

/** The key of what the page showed before it went to the issuer, such as #service=agent-1. */
const PLACE = "tron place";

/**
 * Wait until somebody is logged in; `url` is where the session is. Returns `check`, which must be called when a stream breaks,
 * because the session may have ended.
 */
export async function logIn(url) {
  // Tabs share the cookie, so all of them change together.
  const channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(`tron session ${url}`);
  let over = false;
  const reload = () => {
    if (over) return;
    over = true;
    window.location.reload();
  };
  const changed = () => {
    if (!over) channel?.postMessage("changed");
  };
  channel?.addEventListener("message", reload);

  returnToPlace();
  const { ok, body } = await known(url);
  let caller = body;
  if (!ok) {
    caller = await fillIn(url);
    changed();
  }
  onUnauthorized(() => {
    changed();
    reload();
  });
  showCaller(caller, async () => {
    const { ok: done, status } = await ask(url, { method: "DELETE" });
    if (!done) return setText(byId("caller-problem"), status === 0 ? messages.GATEWAY_SILENT : messages.refused(status));
    changed();
    return reload();
  });
  return () => void ask(url);
}

/** The answer about the session, as soon as there is one. */
async function known(url) {
  for (;;) {
    const answer = await ask(url);
    if (answer.ok || answer.status === 401) return answer;
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
}

/** Show the login form until a token was accepted. Returns the caller. */
function fillIn(url) {
  const [section, form, token, problem] = ["login", "login-form", "token", "login-problem"].map(byId);
  const others = [...document.body.children].filter((each) => each !== section);
  const show = (shown) => {
    section.hidden = !shown;
    for (const each of others) each.inert = shown;
    setAttribute(document.documentElement, "data-login", shown ? "true" : null);
  };
  show(true);
  token.focus();
  const explain = (status, body) => {
    const said = typeof body?.detail === "string" ? body.detail : messages.refused(status);
    setText(problem, status === 0 ? messages.GATEWAY_SILENT : messages.notLoggedIn(said));
  };
  offerIssuer(url, explain);
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button");
      button.disabled = true;
      setText(problem, "");
      const { ok, status, body } = await send(url, { token: token.value.trim() });
      button.disabled = false;
      if (!ok) {
        explain(status, body);
        token.select();
        return;
      }
      token.value = "";
      show(false);
      resolve(body);
    });
  });
}

/** Show the button of the issuer, if there is one. It leads to another site; the page is loaded again after the login. */
function offerIssuer(url, explain) {
  const issuer = document.documentElement.dataset.issuer;
  if (issuer === undefined) return;
  const button = byId("login-issuer");
  setText(button, messages.logInWith(issuer));
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    const { ok, status, body } = await send(`${url}/oidc`, {});
    button.disabled = false;
    if (!ok) explain(status, body);
    else if (new URL(body.url).protocol === "https:") {
      keepPlace();
      window.location.assign(body.url);
    }
  });
}

/** The issuer sends the browser back without the fragment of the address, so this tab keeps it meanwhile. */
function keepPlace() {
  try {
    window.sessionStorage.setItem(PLACE, window.location.hash);
  } catch {
    // a browser that stores nothing: the page shows its start
  }
}

function returnToPlace() {
  try {
    const place = window.sessionStorage.getItem(PLACE);
    window.sessionStorage.removeItem(PLACE);
    if (place?.startsWith("#") && window.location.hash === "") history.replaceState(null, "", place);
  } catch {
    // as above
  }
}

function showCaller({ principal, roles, session }, logOut) {
  setText(byId("caller-name"), principal);
  setAttribute(byId("caller-name"), "title", messages.rolesOf(roles));
  byId("log-out").addEventListener("click", logOut);
  byId("log-out").hidden = !session;
  byId("caller").hidden = false;
}
