"""Sends requests to a running demo. The demo listens on a socket that only the user who started the demo can open; the
name of the socket is derived from the address of the registry.

A request is one JSON object on one line, and so is the answer. This module imports no large packages, because every
agent of a demo fleet imports it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

from tron_cli import messages

ANSWER_SECONDS = 20.0
"""Seconds within which a demo must answer: more than an agent needs to start on a busy machine."""
_LONGEST_PATH = 100  # the kernel takes 107 bytes, and the draft of a name is a little longer
_LONGEST_LINE = 64 * 1024
_EVERYWHERE = ("", "0.0.0.0", "[::]", "localhost", "[::1]")


class ControlError(Exception):
    """The demo could not be reached, or refused the request; the text gives the reason."""


class NoDemo(ControlError):
    """No demo is running at the registry."""


def control_path(registry: str) -> Path:
    """Return the path of the socket on which the demo for this registry listens. `registry` is an address. Creates the
    folder of the socket if it is missing. Raises ControlError if the folder cannot be used, other users have access to
    it, or the path is too long."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = Path(base) / "tron" if base else Path(tempfile.gettempdir()) / f"tron-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ControlError(messages.socket_folder_unusable(folder, error.strerror)) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ControlError(
            f"other users have access to the folder {folder}; set XDG_RUNTIME_DIR to a folder that only you can use"
        )
    host, _, port = registry.rpartition(":")
    host = "127.0.0.1" if host in _EVERYWHERE else host
    path = folder / f"demo-{re.sub(r'[^A-Za-z0-9.]', '_', host)}-{port}.sock"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ControlError(messages.socket_path_too_long(path))
    return path


def ask(path: Path, request: dict[str, Any], timeout: float = ANSWER_SECONDS) -> dict[str, Any]:
    """Send a request to the demo, and return its answer. Raises NoDemo if no demo listens at `path`, and ControlError
    if the demo does not answer within `timeout` seconds, or refuses the request."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline(_LONGEST_LINE)
    except (FileNotFoundError, ConnectionRefusedError):
        raise NoDemo(messages.NO_DEMO_THERE) from None
    except TimeoutError:
        raise ControlError(messages.demo_did_not_answer(timeout)) from None
    except OSError as error:
        raise ControlError(messages.demo_unreachable(error.strerror or str(error))) from error
    answer: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        answer = json.loads(line)
    if not answer.get("ok"):
        raise ControlError(str(answer.get("error", messages.DEMO_ENDED)))
    return answer
