// Converts services and events of `/v1` to the objects that the page stores: short, with times in ms.

const LONGEST_TEXT = 300;
const MOST_CAPS = 32;

/** A service as a row. Of its labels only those that determine its group are stored; the panel requests the rest. */
export function toRow(service) {
  const labels = service.labels ?? {};
  return {
    id: service.service_id,
    name: service.name || service.service_id,
    type: service.type,
    role: service.role,
    url: cut(service.url),
    caps: (service.caps ?? []).slice(0, MOST_CAPS),
    tier: label(labels.tier),
    agent_role: label(labels.agent_role),
    parent: service.parent ?? "",
    interval: milliseconds(service.heartbeat_interval),
    grace: milliseconds(service.reconnect_grace),
    incarnation: service.incarnation,
    registered: moment(service.registered_at),
    beat: moment(service.last_heartbeat_at),
    connected: Boolean(service.connected),
    status: service.status ?? "ok",
    liveness: service.liveness || "UNKNOWN",
    cause: service.liveness_cause ?? "",
    since: moment(service.liveness_since),
    p95: service.p95_ms ?? null,
    queue: service.queue_depth ?? null,
    load: service.load ?? null,
    progress: service.progress ?? null,
    lag: milliseconds(service.loop_lag),
    message: cut(service.message),
    activity: service.activity ?? 0,
    busyUntil: moment(service.busy_until),
    maintained: Boolean(service.maintenance),
  };
}

/** An event as the page stores it. */
export function toEvent(event) {
  return {
    seq: event.sequence,
    id: event.alert_id,
    at: moment(event.occurred_at) ?? 0,
    type: event.type,
    severity: event.severity,
    service: event.service_id,
    name: event.service_name,
    to: event.recipient,
    cause: event.cause,
    missed: event.missed_beats,
    lastSeen: moment(event.last_seen_at),
    action: event.action,
    message: cut(event.message),
    affected: event.details?.affected_count ?? 0,
    escalated: (event.details?.escalated_from ?? []).length > 0,
    held: label(event.details?.held_for),
  };
}

/** A lost service, as the page stores it. */
export function toLost(gone) {
  return { id: gone.service_id, name: gone.name || gone.service_id, cause: gone.cause ?? "", at: moment(gone.removed_at) ?? 0 };
}

/** A time of the API in ms since the epoch; null if there is none. */
export function moment(text) {
  if (!text) return null;
  const parsed = Date.parse(text);
  return Number.isNaN(parsed) ? null : parsed;
}

function milliseconds(seconds) {
  return typeof seconds === "number" ? seconds * 1000 : null;
}

function cut(text) {
  const whole = text ?? "";
  return whole.length > LONGEST_TEXT ? `${whole.slice(0, LONGEST_TEXT)}…` : whole;
}

function label(value) {
  return typeof value === "string" || typeof value === "number" ? String(value).slice(0, 100) : "";
}
