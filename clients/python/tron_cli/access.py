"""The commands `tron token`, `tron grant` and `tron whoami`: credentials, and the rights of principals."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from grid_model.access import Grant, Role, check_pattern
from rich.markup import escape
from rich.table import Table
from tron_client.address import DEFAULT_REGISTRY

from grid_hosting.start import absolute, reason
from grid_hosting.whole_file import write_whole
from tron_cli import security_messages
from tron_cli.connection import JsonOption, RegistryOption, registry_errors
from tron_cli.help_pages import CommandLine
from tron_cli.output import clock_time, fail, out, print_json
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tron_client.access import AccessClient, PrincipalInfo, TokenInfo

tokens = CommandLine(
    no_args_is_help=True, help="Create, list and revoke tokens, or deny a JSON Web Token (JWT) of an external issuer."
)
grants = CommandLine(no_args_is_help=True, help="List, add and remove the rights of principals, or deny a principal.")

_DAYS = {"min": 1 / 1440, "h": 1 / 24, "d": 1.0, "y": 365.0}
_LIFETIME = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(min|h|d|y)")
NEVER = "never"

RoleOption = Annotated[
    Role,
    typer.Option(
        "--role",
        metavar="ROLE",
        parser=lambda word: _role(word),
        help="What the principal may do: agent (register services and send heartbeats for them), observer (read), "
        "relay (send heartbeats in the name of others), judge (issue verdicts, as TRON does), operator (acknowledge "
        "alerts, change policies, deregister) or admin (everything, and manage rights).",
    ),
]
IdsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ids",
        metavar="PATTERN",
        help="The ids or names of services to which the role applies. A * at the end matches all ids and "
        "names with that prefix. May be repeated. Required for the roles agent, relay and judge; "
        "the default for other roles is all services.",
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The group of the principal. The principals of a group own services together, so use one group "
        "for all tokens and certificates of the same workload.",
    ),
]
PrincipalArgument = Annotated[
    str,
    typer.Argument(metavar="PRINCIPAL", help="The principal, such as token:ci or spiffe:tron/worker-1."),
]


@tokens.command()
@connects
def create(
    role: RoleOption,
    file: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file to which the token is written, with mode 0600. Use - to print the token on stdout.",
        ),
    ],
    registry: RegistryOption = DEFAULT_REGISTRY,
    ids: IdsOption = None,
    further: Annotated[
        list[str] | None,
        typer.Option(
            "--grant", metavar="'ROLE PATTERN'", help="An additional right, such as 'observer *'. May be repeated."
        ),
    ] = None,
    group: GroupOption = None,
    expires: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help=f"How long the token is valid, such as 12h, 90d or 1y; '{NEVER}' means that it does not expire.",
        ),
    ] = "90d",
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The name of the token. Its principal is token:NAME. Default: the file name of --out without its "
            "extension.",
        ),
    ] = "",
    description: Annotated[str, typer.Option(metavar="TEXT", help="What the token is for.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Create a token, and write it to a file that only its owner can read.

    The token cannot be shown again later, because the registry stores only its hash. All tokens with the same name
    belong to one principal: they have the same rights and own the same services. If there is a token with this name
    already, the command is refused unless the principal has the given rights; to add rights, use: tron grant add
    """
    to_stdout = str(file) == "-"
    if to_stdout and (as_json or not name):
        raise typer.BadParameter(security_messages.TOKEN_TO_STDOUT, param_hint="--out")
    wanted = (*_grants(role, ids), *map(_grant, further or ()))
    lifetime = _lifetime(expires)
    _check_target(file, force=force or to_stdout)
    with access(registry) as client:
        created = client.create_token(
            f"token:{name or file.stem}", wanted, lifetime=lifetime, description=description, group=group or ""
        )
        try:
            if to_stdout:
                print(created.secret, flush=True)
            else:
                write_whole(file, created.secret + "\n", durable=True, mode=0o600)
        except OSError as error:
            client.revoke_token(created.info.token_id)  # nobody has it
            fail(f"{absolute(file)}: {reason(error)}")
        if as_json:
            print_json({"file": absolute(file), **_token_document(created.info)})
            return
        rights = client.get_principal(created.info.principal).grants
    told = security_messages.token_created(
        created.info.token_id, created.info.principal, _shown(rights), clock_time(created.info.expires_at)
    )
    print(told, file=sys.stderr) if to_stdout else show(told, security_messages.token_use(absolute(file)))


@tokens.command("list")
@connects
def list_tokens(
    registry: RegistryOption = DEFAULT_REGISTRY,
    principal: Annotated[str, typer.Option(metavar="PRINCIPAL", help="List only the tokens of this principal.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List the ids of the tokens, with their principals, expiry and last use; the secrets are not shown."""
    with access(registry) as client:
        found = client.list_tokens(principal)
    if as_json:
        print_json({"tokens": [_token_document(each) for each in found]})
        return
    if not found:
        out.print(security_messages.NO_TOKENS)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "principal", "expires", "last used", "created", "by", "description"):
        table.add_column(heading, overflow="fold")
    for each in found:
        table.add_row(
            escape(each.token_id),
            escape(each.principal),
            clock_time(each.expires_at) or NEVER,
            clock_time(each.last_used_at) or NEVER,
            clock_time(each.created_at),
            escape(each.created_by),
            escape(each.description),
        )
    out.print(table)


@tokens.command()
@connects
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="TOKEN_ID", help="The id of the token, as listed by: tron token list")
    ],
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
) -> None:
    """Revoke a token. Open calls that use it end within a second."""
    if token_id.startswith("tron_"):  # it is a secret, and now in the history of the shell
        fail(security_messages.TOKEN_AS_ARGUMENT, code=2)
    with access(registry) as client:
        found = client.revoke_token(token_id)
    if as_json:
        print_json(_token_document(found))
    else:
        show(security_messages.token_revoked(found.token_id, found.principal))


@grants.command("list")
@connects
def list_grants(registry: RegistryOption = DEFAULT_REGISTRY, as_json: JsonOption = False) -> None:
    """List the principals, with their groups and rights."""
    with access(registry) as client:
        found = client.list_principals()
    if as_json:
        print_json({"principals": [_principal_document(each) for each in found]})
        return
    if not found:
        out.print(security_messages.NO_PRINCIPALS)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("principal", "group", "grants", "description"):
        table.add_column(heading, overflow="fold")
    for each in found:
        state = " (disabled)" if each.disabled else ""
        table.add_row(
            escape(each.name) + state, escape(each.group), escape(_shown(each.grants)), escape(each.description)
        )
    out.print(table)


@grants.command()
@connects
def add(
    principal: PrincipalArgument,
    role: RoleOption,
    registry: RegistryOption = DEFAULT_REGISTRY,
    ids: IdsOption = None,
    group: GroupOption = None,
    as_json: JsonOption = False,
) -> None:
    """Grant a principal a right. A principal that does not exist is created.

    The registry asks the agents of the principal to reconnect within 30 seconds, and then they have the new right.
    Other streams of the principal continue, and have it once they are opened again. If --group moves the principal to
    another group, all open streams of the principal end within a second. Ids that the principal registered before
    still belong to the old group, or to the principal if there was no old group.
    """
    with access(registry) as client:
        report(client.change_grants(principal, add=_grants(role, ids), group=group), as_json)


@grants.command()
@connects
def remove(
    principal: PrincipalArgument,
    role: RoleOption,
    registry: RegistryOption = DEFAULT_REGISTRY,
    ids: IdsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a right from a principal. All open streams of the principal end within a second; its agents reconnect."""
    with access(registry) as client:
        report(client.change_grants(principal, remove=_grants(role, ids)), as_json)


DeniedArgument = Annotated[
    str,
    typer.Argument(
        metavar="PRINCIPAL",
        help="The principal, such as token:ci or spiffe:tron/worker-1. For a single certificate: serial:HEX, where "
        "HEX is its serial number (to print it: openssl x509 -noout -serial -in FILE).",
    ),
]


@grants.command()
@connects
def deny(principal: DeniedArgument, registry: RegistryOption = DEFAULT_REGISTRY, as_json: JsonOption = False) -> None:
    """Refuse all credentials of a principal, or one certificate. Open streams that use a refused credential end within
    a second."""
    with access(registry) as client:
        report(client.change_grants(principal, disabled=True), as_json, security_messages.denied_now)


@grants.command()
@connects
def allow(principal: DeniedArgument, registry: RegistryOption = DEFAULT_REGISTRY, as_json: JsonOption = False) -> None:
    """Undo tron grant deny: accept the credentials of a principal, or one certificate, again."""
    with access(registry) as client:
        report(client.change_grants(principal, disabled=False), as_json, security_messages.allowed_now)


@connects
def whoami(registry: RegistryOption = DEFAULT_REGISTRY, as_json: JsonOption = False) -> None:
    """Show which principal this client is for the registry, with its group and rights."""
    with access(registry) as client:
        found = client.who_am_i()
    if as_json:
        shown = [{"role": each.role.name.lower(), "ids": each.pattern} for each in found.grants]
        print_json({"principal": found.name, "group": found.group, "grants": shown, "ends_at": found.ends_at})
        return
    show(security_messages.who_you_are(found.name, found.group, _shown(found.grants), clock_time(found.ends_at)))


@contextmanager
def access(address: str) -> Iterator[AccessClient]:
    """Yield a client of the registry's access service. If a call fails, print one line and end the command with code
    1."""
    from tron_client.access import AccessClient

    with registry_errors(address), AccessClient(address) as client:
        yield client


def _role(word: str) -> Role:
    try:
        return Role[word.upper()]
    except KeyError:
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(each.name.lower() for each in Role)}") from None


def _grants(role: Role, ids: Iterable[str] | None) -> tuple[Grant, ...]:
    patterns = list(ids or ())
    if not patterns:
        if role in (Role.AGENT, Role.RELAY, Role.JUDGE):
            raise typer.BadParameter(security_messages.needs_ids(role.name.lower()), param_hint="--ids")
        patterns = ["*"]
    try:
        return tuple(Grant(role, check_pattern(each)) for each in patterns)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--ids") from error


def _grant(text: str) -> Grant:
    role, blank, pattern = text.partition(" ")
    if not blank:
        raise typer.BadParameter(security_messages.not_a_grant(text), param_hint="--grant")
    try:
        return Grant(_role(role), check_pattern(pattern))
    except (ValueError, typer.BadParameter) as error:
        raise typer.BadParameter(str(error), param_hint="--grant") from error


def _lifetime(text: str) -> float | None:
    """Return a lifetime, such as 90d, in seconds; None for `never`."""
    if text.strip() == NEVER:
        return None
    found = _LIFETIME.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(security_messages.not_a_lifetime(text), param_hint="--expires")
    return float(found[1]) * _DAYS[found[2]] * 86_400


def _check_target(file: Path, *, force: bool) -> None:
    """End the command before a token is created if the file exists and `force` is not set, or its directory is
    missing."""
    if not force and os.path.lexists(file):
        fail(security_messages.token_file_exists(absolute(file)))
    if not force and not file.absolute().parent.is_dir():
        fail(security_messages.no_folder(absolute(file.absolute().parent)))


def _shown(given: Iterable[Grant]) -> str:
    return ", ".join(str(each) for each in given) or security_messages.NO_RIGHTS


def report(found: PrincipalInfo, as_json: bool, said_of: Callable[[str], str] | None = None) -> None:
    """Print the state of a principal: as JSON, or as the sentence that `said_of` returns for the name of the principal.
    Without `said_of`, the sentence lists the rights of the principal."""
    if as_json:
        print_json(_principal_document(found))
    else:
        show(security_messages.rights_now(found.name, _shown(found.grants)) if said_of is None else said_of(found.name))


def show(*lines: str) -> None:
    """Print lines without markup, highlighting and wrapping."""
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _token_document(each: TokenInfo) -> dict[str, object]:
    return {name: getattr(each, name) for name in each.__dataclass_fields__}


def _principal_document(each: PrincipalInfo) -> dict[str, object]:
    shown = [{"role": grant.role.name.lower(), "ids": grant.pattern} for grant in each.grants]
    return {
        "name": each.name,
        "group": each.group,
        "grants": shown,
        "description": each.description,
        "disabled": each.disabled,
    }
