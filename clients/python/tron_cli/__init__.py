"""The `tron` command: runs the system, and asks it questions.

Read `app.py` first (which commands there are), then `supervision.py` and `supervisor.py` (how `tron up` keeps both
programs alive), `connection.py` (how every other command talks to the registry), then the commands.
"""

from __future__ import annotations

import sys

# What the base install (the SDK alone) lacks.
_EXTRAS = ("typer", "rich", "click", "shellingham")


def run() -> None:
    """Run the command line and end the process. Says what to install where the base install is all there is."""
    try:
        from tron_cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in _EXTRAS:
            raise
        sys.exit(f"tron: the command line needs {missing.name}; install it with: pip install 'tron-grid[server]'")
    app(prog_name="tron")
