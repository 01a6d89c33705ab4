"""The `tron` command: runs the system, and asks it questions. Read in this order:

- `app`                                           which commands there are.
- `output`, `messages`, `streams`                 how commands print, their sentences, and their standard streams.
- `connection`                                    how a command reaches the registry, and what it prints if it cannot.
- `system`                                        `tron up` and the commands that run one program each.
- `process_policy`, `process_supervisor`          when `tron up` starts a child again: the decisions, and the processes.
- `tether`                                        a program that dies with its parent.
- `services`, `alerts`, `judgement`, `policy`     the commands that read and change the state of a running system.
- `backups`, `selftest`                           `tron backup`, `tron restore` and `tron selftest`.
- `support_bundle`                                `tron support-bundle`: one file for a maintainer.
- `support_machine`, `support_system`             what is in it, of the machine and of the running programs.
- `redaction`                                     takes secrets out of it. Pure.
- `service_options`                               how `tron run` and `tron register` describe a service.
- `wrapping`, `program`, `endings`                `tron run`: any program as an agent, and how it ended.
- `probing`                                       `tron probe`: heartbeats for programs that cannot be changed.
- `fleet_file`, `registering`                     a fleet as TOML, and its registration.
- `demo`, `fleet`, `fleet_agent`                  `tron demo`: a fleet of processes.
- `control`, `orders`                             the socket that commands a running demo.
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
