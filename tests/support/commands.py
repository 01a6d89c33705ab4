"""Runs the command `tron` to its end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support import warm

_PATIENCE = 60
"""Seconds: longer than any call takes, shorter than the limit of a test."""


def run_tron(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `tron` with these arguments; return how it ended, and what it printed. `env`: all of its variables; by
    default ours."""
    return warm.run("tron_cli", arguments, os.environ if env is None else env, timeout=_PATIENCE, cwd=cwd)
