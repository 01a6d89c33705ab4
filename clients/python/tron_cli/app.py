"""All commands of `tron`, in the order in which a new user needs them."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Annotated

import typer

from tron_cli import (
    access,
    alerts,
    audit,
    backups,
    ca,
    demo,
    judgement,
    jwts,
    policy,
    probing,
    security,
    selftest,
    services,
    support_bundle,
    system,
    wrapping,
)
from tron_cli.connection import JsonOption
from tron_cli.help_pages import WIDEST_PAGE, CommandLine
from tron_cli.output import out, print_json

_HELP = "A registry and failure detector for fleets of agents."

app = CommandLine(
    help=_HELP,
    no_args_is_help=True,
    # A traceback is for a bug of ours: plain, and without the values of all locals.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST_PAGE},
)

RUN, ASK, CHANGE, SECURE = "Run the system", "Inspect", "Manage agents and policy", "Secure the system"

app.command(rich_help_panel=RUN)(system.up)
app.command(rich_help_panel=RUN, context_settings=system.PASS_THROUGH)(system.registry)
app.command(rich_help_panel=RUN, context_settings=system.PASS_THROUGH)(system.monitor)
app.command(rich_help_panel=RUN)(demo.demo)
app.command(rich_help_panel=RUN, context_settings=system.PASS_THROUGH)(system.gateway)
app.command(rich_help_panel=RUN)(backups.backup)
app.command(rich_help_panel=RUN)(backups.restore)
app.command(rich_help_panel=ASK)(services.services)
app.command(rich_help_panel=ASK)(services.watch)
app.add_typer(alerts.app, name="alerts", rich_help_panel=ASK)
app.command(rich_help_panel=ASK)(judgement.explain)
app.command(rich_help_panel=ASK)(judgement.stats)
app.command(rich_help_panel=ASK)(selftest.selftest)
app.command(rich_help_panel=ASK)(support_bundle.support_bundle)
app.command(rich_help_panel=CHANGE, cls=policy.PolicyCommand)(policy.policy)
app.command(rich_help_panel=CHANGE)(policy.maintenance)
app.command(rich_help_panel=CHANGE, context_settings={"allow_interspersed_args": False})(wrapping.run)
app.command(rich_help_panel=CHANGE)(probing.probe)
app.command(rich_help_panel=CHANGE)(services.register)
app.command(rich_help_panel=CHANGE)(services.deregister)
app.command(rich_help_panel=CHANGE)(services.release)
app.add_typer(security.app, name="security", rich_help_panel=SECURE)
app.add_typer(ca.app, name="ca", rich_help_panel=SECURE)
for each in (jwts.deny, jwts.allow, jwts.denied):
    access.tokens.command()(each)
app.add_typer(access.tokens, name="token", rich_help_panel=SECURE)
app.add_typer(access.grants, name="grant", rich_help_panel=SECURE)
app.command(rich_help_panel=SECURE)(access.whoami)
app.command(rich_help_panel=SECURE)(audit.audit)


@app.command(rich_help_panel=ASK)
def version(as_json: JsonOption = False) -> None:
    """Print the versions of this program and of Python."""
    versions = {"tron": importlib.metadata.version("tron-grid"), "python": platform.python_version()}
    if as_json:
        print_json(versions)
    else:
        out.print(f"tron {versions['tron']} (Python {versions['python']})", highlight=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback(help=_HELP)
def _options(
    version_: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            help="Print the versions of this program and of Python, and exit.",
            is_eager=True,
            callback=_show_version,
        ),
    ] = False,
) -> None:
    """Declare the options of `tron` itself: only `--version`."""
