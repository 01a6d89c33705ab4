// The types of event that TRON issues. Pure.
// Generated from grid_model/event_types.py by `make stubs`; do not edit.

export const EVENT_TYPES = {
  heartbeat_miss: { title: "missed a heartbeat", symbol: "suspect", suspicion: true, failure: false, overOnceAlive: true },
  service_suspect: { title: "disconnected", symbol: "suspect", suspicion: true, failure: false, overOnceAlive: true },
  service_stalled: { title: "is making no progress", symbol: "suspect", suspicion: false, failure: true, overOnceAlive: true },
  service_down: { title: "is down", symbol: "down", suspicion: false, failure: true, overOnceAlive: true },
  service_deregistered: { title: "was deregistered", symbol: "gone", suspicion: false, failure: true, overOnceAlive: true },
  heartbeat_restored: { title: "is back", symbol: "restored", suspicion: false, failure: false, overOnceAlive: false },
  cascading_failure: { title: "Many services fell silent at once", symbol: "down", suspicion: false, failure: false, overOnceAlive: false },
  parent_down: { title: "is down; its child was notified", symbol: "attention", suspicion: false, failure: false, overOnceAlive: true },
};

/** The names of the types for which `holds` is true. */
export function typesThat(holds) {
  return new Set(Object.keys(EVENT_TYPES).filter((name) => holds(EVENT_TYPES[name])));
}
