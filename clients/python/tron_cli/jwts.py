"""The commands `tron token deny`, `tron token allow` and `tron token denied`, which refuse single JSON Web Tokens
(JWTs)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from tron_client.address import DEFAULT_REGISTRY

from grid_hosting.start import absolute, reason
from tron_cli import security_messages
from tron_cli.access import NEVER, access, show
from tron_cli.connection import JsonOption, RegistryOption
from tron_cli.output import clock_time, fail, out, print_json
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from tron_client.access import DeniedJwtInfo

IssuerOption = Annotated[str, typer.Option("--issuer", metavar="URL", help="The issuer of the JWT (its claim iss).")]
IdOption = Annotated[str, typer.Option("--jti", metavar="ID", help="The id of the JWT (its claim jti).")]
FileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="A file that contains the JWT, instead of --issuer and --jti."),
]


@connects
def deny(
    registry: RegistryOption = DEFAULT_REGISTRY,
    issuer: IssuerOption = "",
    jwt_id: IdOption = "",
    file: FileOption = None,
    description: Annotated[str, typer.Option(metavar="TEXT", help="Why the JWT is denied.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Refuse a JSON Web Token (JWT) from now on, even if its issuer still considers it valid.

    The JWT is refused at all ports, and open calls that use it end within a second. A JWT without an id (jti) cannot be
    denied individually; deny its principal with: tron grant deny
    """
    issuer, jwt_id, ends_at = _named(issuer, jwt_id, file)
    with access(registry) as client:
        found = client.deny_jwt(issuer, jwt_id, description=description, ends_at=ends_at)
    _report(found, security_messages.jwt_denied(jwt_id, issuer), as_json)


@connects
def allow(
    registry: RegistryOption = DEFAULT_REGISTRY,
    issuer: IssuerOption = "",
    jwt_id: IdOption = "",
    file: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a denied JSON Web Token (JWT) again."""
    issuer, jwt_id, _ = _named(issuer, jwt_id, file)
    with access(registry) as client:
        found = client.allow_jwt(issuer, jwt_id)
    _report(found, security_messages.jwt_allowed(jwt_id, issuer), as_json)


@connects
def denied(registry: RegistryOption = DEFAULT_REGISTRY, as_json: JsonOption = False) -> None:
    """List the denied JSON Web Tokens (JWTs)."""
    with access(registry) as client:
        found = client.list_denied_jwts()
    if as_json:
        print_json({"denied": [_document(each) for each in found]})
        return
    if not found:
        out.print(security_messages.NO_DENIED)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "issuer", "ends", "denied", "by", "description"):
        table.add_column(heading, overflow="fold")
    for each in found:
        times = clock_time(each.ends_at) or NEVER, clock_time(each.denied_at)
        table.add_row(
            escape(each.jwt_id), escape(each.issuer), *times, escape(each.denied_by), escape(each.description)
        )
    out.print(table)


def _named(issuer: str, jwt_id: str, file: Path | None) -> tuple[str, str, datetime | None]:
    """Return the issuer, the id and the expiry of the JWT that the options identify; the expiry is known only from a
    file. End the command if they identify none."""
    if file is None:
        if not issuer or not jwt_id:
            raise typer.BadParameter(security_messages.NAME_A_JWT, param_hint="--file")
        return issuer, jwt_id, None
    if issuer or jwt_id:
        raise typer.BadParameter(security_messages.NAME_A_JWT, param_hint="--file")
    claims = _claims(file)
    found = [claims.get(name) for name in ("iss", "jti")]
    if not all(isinstance(each, str) and each for each in found):
        fail(security_messages.jwt_without_id(absolute(file), str(claims.get("iss", "")), str(claims.get("sub", ""))))
    try:
        ends_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        ends_at = None
    return str(found[0]), str(found[1]), ends_at


def _claims(file: Path) -> dict[str, Any]:
    """Return the claims of the JWT in a file. They are not verified, because the command only denies the JWT."""
    from grid_hosting.access.jwt_form import InvalidJwtError, read_jwt

    try:
        return dict(read_jwt(file.read_text(encoding="ascii").strip()).claims)
    except OSError as error:
        fail(f"{absolute(file)}: {reason(error)}")
    except (InvalidJwtError, UnicodeDecodeError):
        fail(security_messages.not_a_jwt(absolute(file)))


def _report(found: DeniedJwtInfo, said: str, as_json: bool) -> None:
    if as_json:
        print_json(_document(found))
    else:
        show(said)


def _document(each: DeniedJwtInfo) -> dict[str, object]:
    return {name: getattr(each, name) for name in each.__dataclass_fields__}
