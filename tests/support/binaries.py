"""Finds the programs that the set-up installs, whether or not the environment is activated."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def find_binary(name: str) -> str | None:
    """Return the path of a program beside this Python, or else on the PATH; None if there is none."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.is_file() else shutil.which(name)
