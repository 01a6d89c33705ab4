"""Values that a client may put into the details of an event, and that no program of ours puts there."""

from __future__ import annotations

from typing import Any

from grid_model.event_details import COUNTS, ID_LISTS, TEXTS

KEYS = (*ID_LISTS, *TEXTS, *COUNTS)

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    1,
    -1,
    1.5,
    2**53,
    1e300,
    "",
    "text",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00",
    [],
    [None],
    [1, "a"],
    [["a"]],
    [{"a": 1}],
    ["a"] * 50,
    {},
    {"a": ["b"]},
)


def everywhere(value: Any) -> dict[str, Any]:
    """Details with this value under every key that a program of ours reads."""
    return dict.fromkeys(KEYS, value)
