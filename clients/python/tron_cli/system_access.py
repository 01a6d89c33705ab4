"""Creates the credentials of the programs of `tron up` before they start, in files that only their owner can read."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from grid_hosting.start import StartError, absolute, reason
from grid_hosting.whole_file import write_whole
from tron_cli.output import fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from grid_hosting.security import SecuritySettings

REGISTRY_FOLDER = "registry"
"""The folder of the registry, below the data directory."""


def issue_credentials(
    data_dir: Path, security: Mapping[str, SecuritySettings], programs: Iterable[str]
) -> dict[str, Path]:
    """Create a token for each program, revoke the earlier tokens of the program, and return the files with the new
    tokens, by program.

    If callers need not authenticate, no tokens are created. If a certificate authenticates the programs, no tokens are
    created either; instead, the rights of the programs are granted to the principal of the certificate. `programs`: the
    names of all programs except the registry, which creates its own token. Ends the command with one line if the tokens
    cannot be created.
    """
    settings = security["registry"]
    if not settings.authentication:
        return {}
    from grid_hosting.access import programs as rights  # these take cryptography, which few commands need
    from grid_hosting.access.store import AccessStore
    from grid_hosting.own_credential import own_principal

    files = {}
    try:
        certified = own_principal(settings, os.environ)
        with closing(AccessStore(data_dir / REGISTRY_FOLDER)) as store:
            for program in programs:
                if certified:
                    store.change(partial(rights.admit, program=program, principal=certified))
                    continue
                secret = new_secret()
                store.change(partial(rights.issue, program=program, secret=secret, now=time.time()))
                files[program] = write_token(data_dir / f"{program}.token", secret)
    except StartError as error:
        fail(str(error))
    return files


def new_secret() -> str:
    """Return a new random token."""
    from grid_hosting.access.tokens import RANDOM_BYTES, make_secret

    return make_secret(secrets.token_bytes(RANDOM_BYTES))


def write_token(path: Path, secret: str) -> Path:
    """Write a token to a file that only its owner can read; return the path. Raises StartError if that fails."""
    try:
        write_whole(path, secret + "\n", durable=True, mode=0o600)
    except OSError as error:
        raise StartError(f"{absolute(path)}: {reason(error)}") from error
    return path
