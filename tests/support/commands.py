"""Runs the command `tron` to its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PATIENCE = 60
"""Seconds: longer than any call takes, shorter than the limit of a test."""


def run_tron(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `tron` with these arguments; return how it ended, and what it printed. `env`: all of its variables; by
    default ours."""
    command = [sys.executable, "-m", "tron_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False, env=env, cwd=cwd)
