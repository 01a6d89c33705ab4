"""The options --ca, --cert, --key and --profile, defined once for all commands with `--registry`."""

from __future__ import annotations

import functools
import inspect
import os
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tron_client.bearer import FILE_VARIABLE, of_environment, read_token
from tron_client.profiles import VARIABLE, find_profile
from tron_client.tls import NO_FILES, SERVER_NAME, VARIABLES, Pem, TlsFiles, choose, from_environment
from tron_client.tls_files import load_pair, read_files

from tron_cli.output import fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tron_client.profiles import Profile

_PANEL = "Connection"


def _declared(
    ca: Annotated[
        str,
        typer.Option(
            "--ca",
            metavar="FILE",
            envvar="TRON_CA",
            help="The CA certificate with which the certificates of the servers are verified. With it, "
            "connections use TLS.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = "",
    cert: Annotated[
        str,
        typer.Option(
            "--cert",
            metavar="FILE",
            envvar="TRON_CERT",
            help="The certificate of this client, for servers that require client certificates.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            "--key",
            metavar="FILE",
            envvar="TRON_KEY",
            help="The private key of --cert.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = "",
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="NAME",
            envvar=VARIABLE,
            help="The profile in ~/.config/tron/profiles.toml from which addresses, certificates and the "
            "token are taken.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = "",
) -> None:
    """Declare the options; their values are read in `_connected`."""


_OPTIONS = inspect.signature(_declared, eval_str=True).parameters
OPTION_NAMES = tuple(_OPTIONS)
"""The names of the parameters for --ca, --cert, --key and --profile."""

_CONTEXT = inspect.Parameter("tls_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)


def connects(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that also has the options --ca, --cert, --key and --profile. While the command runs, environment
    variables have the values of these options, so that the SDK, and programs that the command starts, use the
    values."""

    own = inspect.signature(command, eval_str=True)
    given = next((each.name for each in own.parameters.values() if each.annotation is typer.Context), None)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        context = values.pop(_CONTEXT.name) if given is None else values[given]
        options = {name: values.pop(name) for name in _OPTIONS}
        with _connected(context, options, values):
            command(**values)

    parameters: list[inspect.Parameter] = [_CONTEXT] if given is None else []  # Typer passes it to one parameter only
    for each in own.parameters.values():
        parameters.append(each)
        if each.name == "registry":
            parameters += _OPTIONS.values()
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def https_trust() -> ssl.SSLContext | None:
    """Return a TLS context for HTTPS that trusts the CA of TRON_CA and the public CAs, and presents the certificate of
    this client; None if the environment sets no TLS files. Raises ValueError if a file is invalid."""
    files = choose(from_environment(os.environ))
    if files is None:
        return None
    loaded, context = read_files(files), ssl.create_default_context()
    if loaded.ca is not None:
        context.load_verify_locations(cadata=loaded.ca.decode("ascii", "replace"))
    if loaded.cert is not None and loaded.key is not None:
        load_pair(context, loaded.cert, loaded.key)
    return context


@contextmanager
def _connected(context: typer.Context, options: Mapping[str, str], values: dict[str, Any]) -> Iterator[None]:
    """Put the addresses of the profile into `values`, and the certificates into the environment until the block ends.

    Ends the command with one line and code 2 if a profile or a file is invalid.
    """
    given = _source(context, "registry") in ("COMMANDLINE", "ENVIRONMENT")
    try:
        profile = find_profile({**os.environ, VARIABLE: options["profile"]}, address_given=given)
        given_files = {
            name: Pem(path, _name_of(context, name)) for name in VARIABLES if (path := options[name].strip())
        }
        found = TlsFiles.of(given_files, os.environ.get(SERVER_NAME, "").strip())
        files = choose(found, NO_FILES if profile is None else profile.files)
        if files is not None:
            read_files(files)  # what is wrong with them is said before anything starts
        if (token := of_environment(os.environ) or (None if profile is None else profile.token)) is not None:
            read_token(token)
    except ValueError as error:
        fail(str(error), code=2)
    if profile is not None and not given:
        values["registry"] = profile.registry or values["registry"]
        if "monitor" in values:
            values["monitor"] = values["monitor"] or profile.tron
    with _environment(profile, files):
        yield


@contextmanager
def _environment(profile: Profile | None, files: TlsFiles | None) -> Iterator[None]:
    if profile is None and files is None:
        yield
        return
    wanted: dict[str, str | None] = {VARIABLE: None}  # its files are among these
    for name, variable in VARIABLES.items():
        pem: Pem | None = getattr(files, name, None)
        wanted[variable] = None if pem is None else os.path.abspath(pem.path)  # noqa: PTH100
    wanted[SERVER_NAME] = None if files is None else files.server_name or None
    if profile is not None and profile.token is not None and of_environment(os.environ) is None:
        wanted[FILE_VARIABLE] = profile.token.path
    before = {name: os.environ.get(name) for name in wanted}
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _source(context: typer.Context, name: str) -> str:
    source = context.get_parameter_source(name)
    return "" if source is None else source.name


def _name_of(context: typer.Context, name: str) -> str:
    return VARIABLES[name] if _source(context, name) == "ENVIRONMENT" else f"--{name}"
