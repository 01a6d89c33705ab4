"""Writes the dashboard's copy of the table of event types; without an argument, into the file that is committed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grid_model.event_types import EVENT_TYPES, OVER_ONCE_ALIVE

COMMITTED = Path(__file__).parents[1] / "gateway_http" / "page" / "dashboard" / "event_types.js"

HEAD = """// The types of event that TRON issues. Pure.
// Generated from grid_model/event_types.py by `make stubs`; do not edit.

export const EVENT_TYPES = {
"""

TAIL = """};

/** The names of the types for which `holds` is true. */
export function typesThat(holds) {
  return new Set(Object.keys(EVENT_TYPES).filter((name) => holds(EVENT_TYPES[name])));
}
"""


def render() -> str:
    """The module as text."""
    rows = []
    for name, each in EVENT_TYPES.items():
        flags = {"suspicion": each.suspicion, "failure": each.failure, "overOnceAlive": name in OVER_ONCE_ALIVE}
        facts = ", ".join(f"{flag}: {json.dumps(value)}" for flag, value in flags.items())
        rows.append(f"  {name}: {{ title: {json.dumps(each.title)}, symbol: {json.dumps(each.symbol)}, {facts} }},\n")
    return HEAD + "".join(rows) + TAIL


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else COMMITTED).write_text(render())
