"""`python -m tron_cli` is `tron`."""

from __future__ import annotations

from tron_cli import run

if __name__ == "__main__":
    run()
