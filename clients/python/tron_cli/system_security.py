"""Checks the security settings of `tron up` before any program starts, and passes them on to the programs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from tron_client.bearer import FILE_VARIABLE, VARIABLE
from tron_client.profiles import VARIABLE as PROFILE
from tron_client.tls import SERVER_NAME, VARIABLES

from grid_hosting.addresses import exposure_refusal, exposure_warning
from grid_hosting.listening import is_exposed
from grid_hosting.start import StartError
from tron_cli import security_messages
from tron_cli.output import fail

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grid_hosting.security import SecuritySettings

PROGRAMS = {"registry": "the registry", "monitor": "TRON", "gateway": "the gateway"}
"""The name of each program in warnings."""

LISTENERS = {
    "--registry-listen": "registry",
    "--tron-listen": "monitor",
    "--registry-http-listen": "gateway",
    "--tron-http-listen": "gateway",
    "--events-http-listen": "gateway",
    "--hmi-listen": "gateway",
    "--registry-metrics-listen": "registry",
    "--tron-metrics-listen": "monitor",
}
"""The program that listens at the address of each flag."""


def check_security(
    tables: Mapping[str, Any], given: Mapping[str, Path | bool | float | str], listens: Mapping[str, str]
) -> dict[str, SecuritySettings]:
    """Return the security settings of each program, and set the environment variables with which the programs connect
    to each other.

    `tables`: the content of the settings file; `given`: the settings from flags; `listens`: the listen addresses, by
    the flag of each address. Ends the command with one line if the settings are invalid, or if an address that other
    machines can reach would lack TLS or authentication although --insecure-listen is not given.
    """
    from grid_hosting.security import client_environment, read_security  # it takes pydantic, which few commands need

    try:
        security = {name: read_security(name, tables, os.environ, given) for name in PROGRAMS}
    except StartError as error:
        fail(str(error), code=2)
    for flag, address in listens.items():
        settings = security[LISTENERS[flag]]
        refusal = exposure_refusal(
            PROGRAMS[LISTENERS[flag]],
            address,
            tls=settings.cert is not None,
            authentication=settings.authentication,
            insecure=settings.insecure_listen,
        )
        if refusal is not None and is_exposed(address):
            fail(f"{flag}: {refusal}")
    if len({each.authentication for each in security.values()}) > 1:
        fail(security_messages.AUTHENTICATION_DIFFERS, code=2)
    if any(each.cert is not None for each in security.values()):
        from grid_hosting.transport_security import TransportSecurity  # it takes gRPC

        try:
            for name, settings in security.items():
                TransportSecurity(PROGRAMS[name], settings)
        except StartError as error:
            fail(str(error))
    elif any(each.trusted is not None for each in security.values()):
        # Else our programs would use TLS for the plaintext ports of each other.
        fail(
            "[security] ca and client_ca require cert and key too, because tron up serves plaintext without them",
            code=2,
        )
    else:
        # They are for another system: our programs would use TLS for the plaintext ports of each other.
        for name in (*VARIABLES.values(), SERVER_NAME, PROFILE):
            os.environ.pop(name, None)
    if security["registry"].jwt:
        from grid_hosting.access.jwt_key_sources import check_keys

        try:
            check_keys(security["registry"].jwt)
        except StartError as error:
            fail(str(error))
    oidc = security["gateway"].oidc
    if oidc is not None:
        from grid_hosting.issuer_http import IssuerHttp
        from grid_hosting.oidc_settings import CA

        try:
            oidc.secret()
            IssuerHttp(oidc.ca, CA)
        except StartError as error:
            fail(str(error))
    os.environ.update(client_environment(security["registry"], os.environ))
    for name in (FILE_VARIABLE, VARIABLE):
        os.environ.pop(name, None)  # the token of the user: the programs have their own
    return security


def warn_of_exposure(security: Mapping[str, SecuritySettings], listens: Mapping[str, str]) -> None:
    """Print a warning for each address that other machines can reach without authentication."""
    for flag, address in listens.items():
        name = LISTENERS[flag]
        if not security[name].authentication and is_exposed(address):
            text = exposure_warning(PROGRAMS[name], address, tls=security[name].cert is not None)
            print(f"tron up: WARNING: {text}", file=sys.stderr, flush=True)


def as_flags(given: Mapping[str, Path | bool | float | str]) -> list[str]:
    """Return settings as flags for a program, such as `--cert FILE` and `--no-authentication`."""
    words = []
    for name, value in given.items():
        name = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{name}"] if isinstance(value, bool) else [f"--{name}", str(value)]
    return words


def scheme(name: str, security: Mapping[str, SecuritySettings]) -> str:
    """Return the scheme of the HTTP addresses of a program: https if it has a certificate, else http."""
    return "https" if name in security and security[name].cert is not None else "http"


def exports(security: Mapping[str, SecuritySettings]) -> str:
    """Return the shell command that sets the variables with which clients connect; empty if they need none."""
    from grid_hosting.security import client_environment

    registry = security["registry"]
    variables = client_environment(registry, {})
    if registry.authentication:
        # The certificate of the servers would make every client one of the programs.
        variables = {name: path for name, path in variables.items() if name == VARIABLES["ca"]}
    return f"export {' '.join(f'{name}={path}' for name, path in variables.items())}" if variables else ""
