"""The load driver in Go (`benchmarks/driver`): built once, started, told what to do, and listened to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "driver"
PROGRAM = Path(__file__).parent / "results" / "driver"
"""Where it is built: a folder that is not committed."""

AHEAD = ("nice", "-n", "-5")
"""Starts the driver with a higher priority than the servers. Its agents represent other machines: on a busy machine
they would send their heartbeats late, and the servers would be right to report that. Without the right to raise the
priority, `nice` says so, and the driver runs like the servers."""

_END_SECONDS = 20.0


class NoGo(RuntimeError):
    """The driver cannot be built here; the text says why, and what to do."""


def go() -> str:
    """The path of the Go command. Raises NoGo."""
    found = shutil.which("go")
    if found is None:
        raise NoGo("there is no `go` on the PATH: install Go 1.26 or newer from https://go.dev/dl/")
    return found


def build() -> Path:
    """Build the driver if it is not up to date; return its path. Raises NoGo."""
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    built = subprocess.run([go(), "build", "-o", PROGRAM, "."], cwd=SOURCE, capture_output=True, text=True, check=False)
    if built.returncode:
        raise NoGo(f"`go build` in {SOURCE} failed:\n{built.stderr}")
    return PROGRAM


def is_built() -> bool:
    """Build the driver if it is not up to date; return whether it is there. If not, say that nothing is measured."""
    try:
        build()
    except NoGo as error:
        print(f"SKIPPED, nothing was measured: {error}", file=sys.stderr)
        return False
    return True


class Driver:
    """One running driver. Use it in a `with` block: it ends with it, without goodbye."""

    def __init__(
        self, address: str, prefix: Sequence[str] = (), program: Path | None = None, /, **flags: int | str
    ) -> None:
        """Start it against a registry; `flags` as of `driver -help`, with _ for -. `prefix`: a command that starts it,
        such as AHEAD. `program`: another program that prints such lines, and ends when its stdin does."""
        named = [f"-{name.replace('_', '-')}={value}" for name, value in flags.items()]
        self._process = subprocess.Popen(
            [*prefix, program or build(), f"-address={address}", *named],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._heard: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_END_SECONDS)
        self._process.stdout.close()

    def say(self, command: str) -> None:
        """Give one command."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def ask(self, command: str) -> dict[str, Any]:
        """Give one command that is answered; return the answer."""
        before = len(self.heard(command))
        self.say(command)
        self.wait(lambda: len(self.heard(command)) > before, 30, command)
        return self.heard(command)[-1]

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """Every line of a kind so far, oldest first."""
        with self._news:
            return [line for line in self._heard if line["kind"] == kind]

    def wait(self, condition: Callable[[], object], timeout: float, what: str) -> bool:
        """Wait until a condition holds that depends on what is heard; return whether it does. Raises RuntimeError
        where the driver ended meanwhile."""
        deadline = time.monotonic() + timeout
        while not condition():
            with self._news:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._news.wait(min(left, 0.5))
            if self._process.poll() is not None:
                raise RuntimeError(f"the driver ended with {self._process.returncode} while it was waited for {what}")
        return True

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._heard.append(json.loads(line))
                self._news.notify_all()
