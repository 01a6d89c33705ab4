"""Runs the `tron` command for `python -m tron_cli`."""

from __future__ import annotations

from tron_cli import run

if __name__ == "__main__":
    run()
