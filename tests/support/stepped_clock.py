"""A wall clock that can be set for some programs, by libfaketime; the monotonic clock goes on as it is."""

from __future__ import annotations

from pathlib import Path

from tests.support.binaries import find_binary

LIBRARY = "libfaketimeMT.so.1"
"""Put beside the Python of the environment by the set-up."""


class SteppedClock:
    """How far the wall clock of the programs that run with `env` is from the real one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "clock"
        self.set(0)

    @property
    def env(self) -> dict[str, str]:
        """For the programs that live by it."""
        library = find_binary(LIBRARY)
        assert library is not None, f"{LIBRARY} is not installed; run `make setup`"
        return {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
        }

    def set(self, seconds: int) -> None:
        """Set it this far ahead of the real one, or behind if negative."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{seconds:+d}\n")
        draft.replace(self._file)
