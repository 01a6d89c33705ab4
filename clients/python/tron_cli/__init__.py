"""The `tron` command, which runs the system, inspects it, and changes its state. Read in this order:

- `app`, `help_pages`                             the list of commands, and their pages of `--help`.
- `output`, `streams`                             the output of commands, and their standard streams.
- `messages`, `security_messages`                 the sentences that commands print.
- `connection`                                    the connection to the registry, and the errors if it fails.
- `tls_options`                                   the options for TLS and profiles, for all commands that connect.
- `system`                                        `tron up` and the commands that run one program each.
- `system_security`                               TLS of `tron up`, and the addresses that it may listen on.
- `system_folders`                                the directories of `tron up`, which one process uses at a time.
- `system_access`                                 the credentials of the programs of `tron up`.
- `process_policy`, `process_supervisor`          restarts of the programs of `tron up`: decisions and processes.
- `tether`                                        a program that dies with its parent.
- `services`, `alerts`, `judgement`, `policy`     the commands that read and change the state of a running system.
- `backups`, `selftest`                           `tron backup`, `tron restore` and `tron selftest`.
- `security`                                      `tron security`, which works on the data directory, without a server.
- `access`, `jwts`, `audit`                       `tron token`, `tron grant`, `tron whoami` and `tron audit`.
- `ca`                                            `tron ca`: a private CA.
- `ca_contents`, `ca_signing`, `ca_files`         the contents of a certificate (pure), its signature, and its files.
- `support_bundle`                                `tron support-bundle`: one file with data for a maintainer.
- `support_machine`, `support_system`             the data about the machine, and about the running programs.
- `redaction`                                     the removal of secrets from a support bundle. Pure.
- `service_options`                               the options of `tron run` and `tron register` that describe a service.
- `wrapping`, `program`, `endings`                `tron run`: any program as an agent, its process, and how it ended.
- `probing`                                       `tron probe`: heartbeats for programs that cannot be changed.
- `fleet_file`, `registering`                     a fleet as TOML, and its registration.
- `demo`, `fleet`, `fleet_agent`                  `tron demo`: a fleet of processes.
- `control`, `orders`                             the socket through which commands control a running demo.
"""

from __future__ import annotations

import sys

from tron_cli.streams import OutputFailed, drop_output, guard_streams

# What the base install (the SDK alone) lacks.
_EXTRAS = ("typer", "rich", "click", "shellingham")


def run() -> None:
    """Run the command line and end the process. If only the SDK is installed, print what to install."""
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
