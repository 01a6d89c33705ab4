"""The command `tron ca`: a small private CA for users who have no other CA."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tron_cli import security_messages
from tron_cli.ca_contents import LEAF_DAYS, MOST_DAYS, ca_contents, checked_name, leaf_contents, renewed_contents
from tron_cli.ca_files import Pair, make_folder, pair_in, require_private, write_certificate, write_pair
from tron_cli.connection import JsonOption
from tron_cli.help_pages import CommandLine
from tron_cli.output import fail, out, print_json

if TYPE_CHECKING:
    from tron_cli.ca_contents import Contents
    from tron_cli.ca_signing import Authority

CA_FOLDER = Path("tron-ca")
SERVERS = "servers"
"""The name of the certificate that all programs of one system share."""

app = CommandLine(no_args_is_help=True, help="Create certificates for TLS, with a private CA of your own.")

FolderOption = Annotated[Path, typer.Option("--dir", metavar="DIR", help="The directory of the CA.")]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of the server or client; also the name of its files.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the files if they exist.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The directory of the CA.")] = CA_FOLDER,
    trust_domain: Annotated[
        str,
        typer.Option(
            metavar="DOMAIN",
            help="The SPIFFE trust domain of all certificates of the CA. Default: a random name.",
            show_default=False,
        ),
    ] = "",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a CA that is valid for 10 years.

    Every certificate that the CA signs contains the trust domain of the CA, so that a certificate of another system is
    never accepted as one of this system. The file ca-key.pem is used to sign certificates, so keep the directory of the
    CA on a machine that runs no agents.
    """
    with _failing():
        signing = _signing()
        authority = signing.Authority.create(ca_contents(trust_domain or secrets.token_hex(8), _now()))
        make_folder(folder)
        pair = pair_in(folder, "ca")
        write_pair(pair, *authority.files, force=force)
    if as_json:
        print_json({"ca": str(pair.cert), "key": str(pair.key), **_facts(authority.contents)})
        return
    shown = "" if folder == CA_FOLDER else f" --dir {shlex.quote(str(folder))}"
    _print(security_messages.ca_made(str(pair.cert), authority.contents.spiffe_id), *security_messages.ca_next(shown))


@app.command()
def issue(
    name: NameArgument,
    folder: FolderOption = CA_FOLDER,
    dns: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With --server: a DNS name of the server. May be repeated.")
    ] = None,
    ip: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDR", help="With --server: an IP address of the server. May be repeated."),
    ] = None,
    server: Annotated[
        bool,
        typer.Option(
            "--server/--client",
            help="Whether the certificate is for a server, or only for a client. Without --dns and --ip, a "
            "server certificate is for localhost.",
        ),
    ] = False,
    days: Annotated[
        int, typer.Option(metavar="DAYS", min=1, max=MOST_DAYS, help="How many days the certificate is valid.")
    ] = LEAF_DAYS,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create a certificate and its private key for a server or a client."""
    with _failing():
        authority = _load(folder)
        contents = leaf_contents(
            name, authority.contents, _now(), dns=dns or (), ips=ip or (), server=server, days=days
        )
        pair = pair_in(folder, name)
        write_pair(pair, *authority.issue(contents), force=force)
    _report(folder, pair, contents, as_json)


@app.command()
def renew(
    name: NameArgument,
    folder: FolderOption = CA_FOLDER,
    days: Annotated[
        int | None,
        typer.Option(
            metavar="DAYS",
            min=1,
            max=MOST_DAYS,
            help="How many days the certificate is valid. Default: as long as the previous certificate was valid.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a certificate by a new one for the same key and the same names.

    Only one file changes, so no program can read a certificate and a key that do not match. Running servers and agents
    use the new certificate for their next connections. To replace the key as well, use: tron ca issue --force
    """
    with _failing():
        authority = _load(folder)
        pair = pair_in(folder, checked_name(name))
        former = pair.cert.read_bytes()
        contents = renewed_contents(_signing().read_contents(former), authority.contents, _now(), days)
        write_certificate(pair.cert, authority.renew(former, contents))
    _report(folder, pair, contents, as_json)


def server_files(folder: Path, *, dns: Sequence[str], ips: Sequence[str]) -> tuple[Path, Path, Path]:
    """Return the paths of the CA certificate, the server certificate and the key of the server. Missing files are
    created. Raises ValueError for an invalid name or address and for files that are damaged, and OSError for files that
    cannot be used. Ends the command if the CA has no key, or if the package cryptography is missing."""
    ca, servers = pair_in(folder, "ca"), pair_in(folder, SERVERS)
    if not (servers.cert.exists() and servers.key.exists()):
        if not ca.cert.exists():
            created = _signing().Authority.create(ca_contents(secrets.token_hex(8), _now()))
            make_folder(folder)
            write_pair(ca, *created.files, force=False)
        authority = _load(folder)
        contents = leaf_contents(SERVERS, authority.contents, _now(), dns=dns, ips=ips, server=True)
        write_pair(servers, *authority.issue(contents), force=False)
    return ca.cert, servers.cert, servers.key


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)  # certificates know whole seconds


def _load(folder: Path) -> Authority:
    pair = pair_in(folder, "ca")
    if not pair.key.exists():
        fail(security_messages.no_ca_in(folder))
    require_private(pair.key)
    found: Authority = _signing().Authority.load(pair.cert.read_bytes(), pair.key.read_bytes())
    return found


def _signing() -> Any:
    """Return the module that signs; end the command if its package is not installed."""
    try:
        from tron_cli import ca_signing
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "cryptography":
            raise
        fail(security_messages.NEEDS_CRYPTOGRAPHY)
    return ca_signing


@contextmanager
def _failing() -> Iterator[None]:
    """End the command with one line for an invalid argument, a damaged file, or a file that cannot be used."""
    try:
        yield
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _facts(contents: Contents) -> dict[str, str]:
    return {"spiffe_id": contents.spiffe_id, "not_after": contents.not_after.isoformat()}


def _report(folder: Path, pair: Pair, contents: Contents, as_json: bool) -> None:
    ca = pair_in(folder, "ca").cert
    if as_json:
        files = {"ca": str(ca), "cert": str(pair.cert), "key": str(pair.key)}
        print_json({**files, **_facts(contents), "dns": list(contents.dns), "ip": list(contents.ips)})
        return
    paths = [str(each.absolute()) for each in (ca, pair.cert, pair.key)]
    hosts = ", ".join((*contents.dns, *contents.ips))
    told = security_messages.certificate_made(contents.spiffe_id, f"{contents.not_after:%Y-%m-%d}", hosts)
    _print(told, *security_messages.certificate_settings(*paths, server=contents.server))


def _print(*lines: str) -> None:
    for line in lines:
        out.print(line, highlight=False, markup=False, soft_wrap=True)
