"""The credential with which a program authenticates to the other programs: a token in a file, or its client
certificate."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

from tron_client import bearer
from tron_client.address import parse_address

from grid_hosting.credential import principal_of_certificate
from grid_hosting.security import SecuritySettings
from grid_hosting.start import StartError, absolute, reason, shared_file


def own_principal(settings: SecuritySettings, environ: Mapping[str, str]) -> str:
    """Return the name of the principal that the client certificate of this program authenticates at the servers of this
    system; empty if the certificate authenticates none. Raises StartError if the file cannot be read."""
    path = environ.get("TRON_CERT", "").strip() or settings.cert
    if settings.client_ca is None or path is None:
        return ""
    try:
        pem = Path(path).read_bytes()
        return principal_of_certificate(pem, settings.certificate_rules)
    except OSError as error:
        raise StartError(f"{absolute(Path(path))}: {reason(error)}") from error
    except ValueError as error:
        raise StartError(f"{absolute(Path(path))}: {error}") from error


def use_own_credential(
    table: str,
    settings: SecuritySettings,
    token_file: Path | None,
    servers: Iterable[str],
    environ: MutableMapping[str, str],
) -> None:
    """Let the clients of a program send the token of the program to the servers with these addresses. The token is read
    from `token_file`; if that is None, it comes from the environment. `table` is the name of the program in the
    settings.

    Raises StartError in each of these cases: the program needs a credential and has none; the program has a token, but
    its own callers need not authenticate and the settings do not say so explicitly; the certificate of the program
    already authenticates it, and it has a token too; the token cannot be used, or would be sent in plaintext.
    """
    setting = f"[{table}] token_file"
    if token_file is not None:
        check_token_file(setting, token_file)
        environ[bearer.FILE_VARIABLE] = absolute(token_file)
        environ.pop(bearer.VARIABLE, None)
    certified = own_principal(settings, environ) if settings.authentication else ""
    try:
        token = bearer.of_environment(environ)
        if token is not None:
            bearer.read_token(token)
            tls = settings.trusted is not None or bool(environ.get("TRON_CA"))
            for each in servers:
                bearer.require_protected(parse_address(each, "address"), token, tls=tls)
    except ValueError as error:
        raise StartError(str(error)) from error
    if settings.authentication and token is None and not certified:
        raise StartError(
            f"{setting}: is missing; with [security] authentication, {table} needs a token of its own "
            "(to create one: tron security program-token)"
        )
    if token is not None and not settings.authentication and not settings.open_on_purpose:
        raise StartError(
            f"[security] authentication: is missing, but {table} has a token of its own ({token}), so everyone who "
            f"reaches {table} would act with the rights of this token; set authentication to true, or to false if that "
            "is intended (--no-authentication)"
        )
    if token is not None and certified:
        raise StartError(
            f"{setting}: a caller may have only one credential, and the certificate of {table} already authenticates "
            f"it as {certified}; remove the token"
        )


def check_token_file(setting: str, path: Path) -> None:
    """Raise StartError, with the name of the setting, unless the file has exactly one token and only its owner has
    access to it."""
    try:
        with path.open("rb") as file:
            why = shared_file(path, os.fstat(file.fileno()))
            content = file.read(bearer.MOST_BYTES + 3)
    except OSError as error:
        raise StartError(f"{setting}: {absolute(path)}: {reason(error)}") from error
    if why:
        raise StartError(f"{setting}: {why}")
    try:
        bearer.checked_token(bearer.TokenSource(absolute(path), named=f"{setting}:"), content)
    except ValueError as error:
        raise StartError(str(error)) from error
