"""The `tron` command: runs the system, and asks it questions.

Read `app.py` first (which commands there are), then `supervision.py` and `supervisor.py` (how `tron up` keeps both
programs alive), `connection.py` (how every other command talks to the registry), then the commands.
"""

from __future__ import annotations

import sys

from tron_cli.streams import OutputFailed, drop_output, guard_streams

# What the base install (the SDK alone) lacks.
_EXTRAS = ("typer", "rich", "click", "shellingham")


def run() -> None:
    """Run the command line and end the process. Says what to install if only the base install is there."""
    guard_streams()
    try:
        from tron_cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in _EXTRAS:
            raise
        sys.exit(f"tron: the command line needs {missing.name}; install it with: pip install 'tron-grid[server]'")
    code: str | int | None = 0
    try:
        try:
            app(prog_name="tron")
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
    except OutputFailed as failed:
        drop_output()
        if not failed.gone:
            print(f"tron: {failed}", file=sys.stderr)
            code = code or 1
    sys.exit(code)
