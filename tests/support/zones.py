"""Time zones of this machine, for a test."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

HOURS = {"PST8": -8, "JST-9": 9, "UTC0": 0}
"""How far each time zone is ahead of UTC."""


@contextmanager
def zone(name: str) -> Iterator[None]:
    """Have this process use a time zone until the block ends."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
