"""The commands `tron security`, which work on the data directory and need no running server."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grid_hosting.start import StartError, absolute, read_settings, reason
from grid_hosting.whole_file import write_whole
from tron_cli import security_messages
from tron_cli.ca import CA_FOLDER, SERVERS, server_files
from tron_cli.ca_contents import LEAF_DAYS
from tron_cli.help_pages import CommandLine
from tron_cli.output import fail, out
from tron_cli.system_access import REGISTRY_FOLDER, new_secret, write_token

if TYPE_CHECKING:
    from grid_hosting.access.book import AccessBook
    from grid_hosting.access.store import AccessStore

app = CommandLine(
    no_args_is_help=True,
    help="Secure a system and create its first tokens. The commands work on the data directory; no server needs "
    "to be running.",
)

DATA_DIR = Path("tron-data")
SETTINGS = Path("tron.toml")
ADMIN_FILE = "admin.token"
_DATABASE = "registry.db"

DataDirOption = Annotated[
    Path,
    typer.Option(
        "--data-dir", metavar="DIR", help="The data directory of tron up, or of a registry that runs without it."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="The file to which the token is written, with mode 0600. Default: admin.token in the data directory.",
        show_default=False,
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]


@app.command()
def enable(
    data_dir: DataDirOption = DATA_DIR,
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="The settings file to which the settings are added.")
    ] = SETTINGS,
    ca_dir: Annotated[
        Path,
        typer.Option(
            "--ca-dir",
            metavar="DIR",
            help="The directory of the private CA that issues the certificate if the settings contain none.",
        ),
    ] = CA_FOLDER,
    dns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A DNS name at which clients reach the servers; the certificate includes it. May be repeated.",
        ),
    ] = None,
    ip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDR",
            help="An IP address at which clients reach the servers; the certificate includes it. May be repeated.",
        ),
    ] = None,
    keep_access: Annotated[
        bool, typer.Option("--keep-access", help="Keep the principals and tokens that the data directory already has.")
    ] = False,
    revoke_access: Annotated[
        bool,
        typer.Option("--revoke-access", help="Delete the principals and tokens that the data directory already has."),
    ] = False,
) -> None:
    """Secure a system with TLS on all ports and authentication of all callers.

    Registrations and events are kept. If the settings contain no certificate, the command creates one with a private CA
    (see: tron ca). It also creates an administrator token for the first steps, valid for one hour.

    If the data directory already has principals, their tokens would be accepted from now on, no matter who created
    them. In this case the command lists the principals and changes nothing, until you decide with --keep-access or
    --revoke-access.
    """
    if keep_access and revoke_access:
        raise typer.BadParameter(security_messages.KEEP_OR_REVOKE, param_hint="--keep-access")
    with _failing():
        folder = _registry_folder(data_dir)
        tables = read_settings(config)
        before = _security(config, tables)
        if before.get("authentication") is True:
            fail(security_messages.secured_already(absolute(config)))
        found = _found_access(folder)
        if found and not (keep_access or revoke_access):
            _print(security_messages.ACCESS_LISTED, *(f"  {name}: {text}" for name, text in found.items()))
            fail(security_messages.access_exists(absolute(folder)))
        wanted: dict[str, str | bool] = {}
        if "cert" not in before:
            ca, cert, key = server_files(ca_dir, dns=_names(dns), ips=["127.0.0.1", "::1", *(ip or ())])
            wanted |= {"cert": absolute(cert), "key": absolute(key), "ca": absolute(ca)}
        wanted["authentication"] = True
        trusted = _check({**before, **wanted})
        if revoke_access:
            _revoke(folder, found)
        token = _admin_token(folder, data_dir / ADMIN_FILE)
        text = "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in wanted.items())
        written = "security" not in (tables or {})
        if written:
            _add_table(config, text)
    _print(security_messages.TOKEN_OF_ONE_HOUR.format(absolute(token)))
    if found:
        _print(
            security_messages.access_kept(len(found)) if keep_access else security_messages.access_revoked(len(found))
        )
    if written:
        _print(security_messages.settings_written(absolute(config)))
    else:
        _print(security_messages.settings_to_write(absolute(config)), *(f"  {line}" for line in text.splitlines()))
    _print(*security_messages.secured_next(trusted, absolute(token)))
    if "cert" in wanted:
        folder_option = "" if ca_dir == CA_FOLDER else f" --dir {shlex.quote(str(ca_dir))}"
        _print(security_messages.renew_certificate(SERVERS, LEAF_DAYS, folder_option))


@app.command("admin-token")
def admin_token(data_dir: DataDirOption = DATA_DIR, file: OutOption = None, force: ForceOption = False) -> None:
    """Create an administrator token, valid for one hour.

    The command needs no other token, only write access to the data directory of the registry. Use this command to
    create the first token, or if the tokens of all administrators are lost. The registry may be running. The audit log
    records that the token was created.
    """
    with _failing():
        folder = _registry_folder(data_dir, existing=True)
        path = _admin_token(folder, file or data_dir / ADMIN_FILE, force=force)
    _print(security_messages.TOKEN_OF_ONE_HOUR.format(absolute(path)), security_messages.token_use(absolute(path)))


@app.command("grant-admin")
def grant_admin(
    principal: Annotated[
        str, typer.Argument(metavar="PRINCIPAL", help="The principal, such as spiffe:tron/alice or token:ops.")
    ],
    data_dir: DataDirOption = DATA_DIR,
) -> None:
    """Make the principal of a client certificate an administrator.

    Use this if client certificates authenticate callers, because a caller with such a certificate cannot also send a
    token. Otherwise use: tron security admin-token
    """
    from grid_hosting.access import programs

    with _failing(), _store(_registry_folder(data_dir, existing=True)) as store:
        store.change(lambda book: programs.make_admin(book, principal))
        _record(store, "grant-admin", principal)
    _print(security_messages.admin_now(principal))


@app.command("program-token")
def program_token(
    program: Annotated[str, typer.Argument(metavar="PROGRAM", help="The program: monitor (which is TRON) or gateway.")],
    file: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file to which the token is written, with mode 0600.")
    ],
    data_dir: DataDirOption = DATA_DIR,
    force: ForceOption = False,
) -> None:
    """Create the token with which TRON or the gateway authenticates.

    Use this only for programs that run without tron up, which creates the tokens of its own programs. Former tokens of
    the program are revoked.
    """
    from grid_hosting.access import programs

    if program not in (programs.MONITOR, programs.GATEWAY):
        raise typer.BadParameter(security_messages.not_a_program(program), param_hint="PROGRAM")
    with _failing():
        folder = _registry_folder(data_dir, existing=True)
        _check_file(file, force=force)
        secret = new_secret()
        with _store(folder) as store:
            store.change(lambda book: programs.issue(book, program, secret, time.time()))
            _record(store, "program-token", programs.principal_of(program))
        write_token(file, secret)
    _print(security_messages.program_token_made(program, absolute(file)))


def _admin_token(folder: Path, path: Path, *, force: bool = False) -> Path:
    from grid_hosting.access import programs

    if not (path.name == ADMIN_FILE and path.parent.resolve() in (folder.resolve(), folder.resolve().parent)):
        _check_file(path, force=force)  # ours is replaced, because its token has ended or ends soon
    secret = new_secret()
    with _store(folder) as store:
        store.change(lambda book: programs.issue_admin(book, secret, time.time()))
        _record(store, "admin-token", programs.ADMIN)
    return write_token(path, secret)


def _found_access(folder: Path) -> dict[str, str]:
    """Return the principals that exist already, by name, each with its grants and tokens as text."""
    from grid_hosting.access import programs
    from grid_hosting.access.store import FILE

    if not (folder / FILE).exists():
        return {}
    with _store(folder) as store:
        found = programs.found_access(store.book, time.time())
    return {name: security_messages.access_of(principal.grants, tokens) for name, (principal, tokens) in found.items()}


def _revoke(folder: Path, principals: Iterable[str]) -> None:
    def delete(book: AccessBook) -> None:
        for each in principals:
            if each in book.principals:
                book.delete(each)

    with _store(folder) as store:
        store.change(delete)
        for each in principals:
            _record(store, "enable --revoke-access", each)


def _store(folder: Path) -> closing[AccessStore]:
    from grid_hosting.access.store import AccessStore

    return closing(AccessStore(folder))


def _record(store: AccessStore, command: str, target: str) -> None:
    from grid_hosting.access.audit import AuditKind, AuditRecord
    from grid_hosting.access.programs import OFFLINE

    store.append_audit([AuditRecord(time.time(), AuditKind.ACT, OFFLINE, f"tron security {command}", target)])


def _registry_folder(data_dir: Path, *, existing: bool = False) -> Path:
    """Return the folder of the registry. Ends the command unless this user owns it: the registry could not read files
    of another user."""
    folder = data_dir if (data_dir / _DATABASE).exists() else data_dir / REGISTRY_FOLDER
    if existing and not folder.is_dir():
        fail(security_messages.no_registry_in(absolute(data_dir)))
    owned = next(each for each in (folder, data_dir, *data_dir.absolute().parents) if each.exists())
    owner = owned.stat().st_uid
    if owned in (folder, data_dir) and owner != os.geteuid():
        fail(security_messages.not_your_directory(absolute(owned), _user_name(owner)))
    return folder


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"


def _security(config: Path, tables: Mapping[str, Any] | None) -> dict[str, Any]:
    if tables is None and config != SETTINGS and not config.absolute().parent.is_dir():
        fail(security_messages.no_folder(absolute(config.absolute().parent)))
    return dict((tables or {}).get("security", {}))


def _check(security: Mapping[str, Any]) -> str:
    """Return the path of the CA bundle that clients need. Raises StartError if the programs would refuse these
    settings."""
    from grid_hosting.security import read_security
    from grid_hosting.transport_security import TransportSecurity

    settings = read_security("registry", {"security": security}, {}, {})
    TransportSecurity("the registry", settings)
    return "" if settings.trusted is None else absolute(settings.trusted)


def _names(given: list[str] | None) -> list[str]:
    from tron_cli.ca_contents import is_dns_name

    own = socket.gethostname()
    return ["localhost", *([own] if is_dns_name(own) else []), *(given or ())]


def _add_table(config: Path, text: str) -> None:
    try:
        before = config.read_text(encoding="utf-8") if config.exists() else ""
        gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
        mode = config.stat().st_mode & 0o777 if before else 0o644
        write_whole(config, f"{before}{gap}[security]\n{text}", durable=True, mode=mode)
    except OSError as error:
        raise StartError(f"{absolute(config)}: {reason(error)}") from error


def _check_file(path: Path, *, force: bool) -> None:
    if not force and os.path.lexists(path):
        fail(security_messages.token_file_exists(absolute(path)))
    if not path.absolute().parent.is_dir():
        fail(security_messages.no_folder(absolute(path.absolute().parent)))


@contextmanager
def _failing() -> Iterator[None]:
    """End the command with one line if a file or a directory cannot be used, or a setting is invalid."""
    from grid_model.errors import TronError

    try:
        yield
    except (StartError, TronError, ValueError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {reason(error)}" if error.filename else str(error))


def _print(*lines: str) -> None:
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
