// Services and events as the gateway tells them, and a page that has heard of them.

import { createState, receive, takeHistory } from "../../../../gateway_http/page/dashboard/state.js";

export const T0 = Date.parse("2026-03-01T12:00:00Z");

export const iso = (milliseconds) => new Date(milliseconds).toISOString();

export function service(id, fields = {}) {
  return {
    service_id: id,
    name: id,
    type: "agent",
    role: "production",
    url: "",
    caps: [],
    labels: {},
    parent: "",
    heartbeat_interval: 30,
    reconnect_grace: null,
    incarnation: 1,
    registered_at: iso(T0 - 3_600_000),
    last_heartbeat_at: iso(T0 - 2000),
    connected: true,
    status: "ok",
    p95_ms: null,
    queue_depth: null,
    load: null,
    progress: null,
    message: "",
    activity: 0,
    loop_lag: null,
    busy_until: null,
    liveness: "ALIVE",
    liveness_cause: "",
    liveness_since: iso(T0 - 3_600_000),
    ...fields,
  };
}

export function event(sequence, type, fields = {}) {
  return {
    sequence,
    alert_id: `alert-${sequence}`,
    occurred_at: iso(T0),
    type,
    severity: "WARNING",
    service_id: "child",
    service_name: "Child",
    recipient: "parent",
    cause: "SILENT",
    missed_beats: 1,
    last_seen_at: iso(T0 - 60_000),
    action: "",
    message: "",
    details: {},
    ...fields,
  };
}

export function status(fields = {}) {
  const { tron = {}, ...rest } = fields;
  return { live: true, stale_for: 0, revision: 1, now: iso(T0), tron: { reachable: true, watching: true, guard_active: false, ...tron }, ...rest };
}

export function page(services = [], { events = [], now = T0 } = {}) {
  const state = createState(now);
  receive(state, "state", status({ now: iso(now) }), now);
  receive(state, "snapshot", { revision: 1, services, first: true, complete: true }, now);
  takeHistory(state, { events, covered: iso(T0 - 86_400_000), gaps: [], open: [] }, now);
  return state;
}
