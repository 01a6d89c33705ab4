"""Stores the settings of HHMRS, the legacy system for timeouts and restarts of agents, in a file for programs that read
them. The settings have no effect on TRON, which has its own policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grid_hosting.whole_file import write_whole

FILE = "pas_settings.json"
SECTION = "hhmrs"

RANGES = {
    "heartbeat_interval_s": (5, 120),
    "timeout_threshold_s": (10, 300),
    "max_restarts": (1, 10),
    "max_llm_retries": (1, 10),
}
"""The required keys, each with the least and the greatest value that is allowed."""

DEFAULTS: dict[str, Any] = {
    "heartbeat_interval_s": 30,
    "timeout_threshold_s": 60,
    "max_restarts": 3,
    "max_llm_retries": 3,
    "enable_auto_restart": True,
    "enable_llm_switching": True,
}


def check(section: dict[str, Any]) -> str:
    """Return what is wrong with a section of settings, in the words of the legacy HMI; an empty string if it is
    valid."""
    for key, (least, most) in RANGES.items():
        if key not in section:
            return f"Missing required key: {key}"
        value = section[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            return f"{key} must be between {least} and {most}"
    return ""


def read(folder: Path) -> dict[str, Any]:
    """Return all stored settings; the defaults if the file is missing, empty or unreadable."""
    try:
        kept = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        kept = {}
    return {SECTION: DEFAULTS} if not isinstance(kept, dict) or not kept else kept


def write(folder: Path, section: dict[str, Any]) -> None:
    """Replace the section `hhmrs` in the file, and keep all other sections. Raises OSError."""
    write_whole(folder / FILE, json.dumps({**read(folder), SECTION: section}, indent=2) + "\n")
