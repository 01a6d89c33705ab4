"""The settings for logins to the dashboard with OpenID Connect: `[security.oidc]` of `tron.toml`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from grid_hosting.access.jwt_issuers import checked_issuer
from grid_hosting.jwt_settings import parsed
from grid_hosting.start import StartError, absolute, reason, shared_file

SECRET = "[security.oidc] client_secret_file"
CA = "[security.oidc] ca"
"""The names of these settings in error messages."""

MOST_SECRET = 1024
"""Maximum size of the client secret in bytes."""

MOST_SCOPES = 20

_SCOPE = re.compile(r"[!#-\[\]-~]{1,128}")  # RFC 6749, section 3.3


def _checked_client(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("has characters that are not printable ASCII; RFC 6749 does not allow them in a client id")
    return text


def _checked_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    for each in scopes:
        if not _SCOPE.fullmatch(each):
            raise ValueError(f"{each!r} is not a scope; write, for example, ['openid', 'groups']")
    if "openid" not in scopes:
        raise ValueError("openid is missing; without it, an issuer returns no ID token")
    return tuple(dict.fromkeys(scopes))


class OidcSettings(BaseModel):
    """The settings of the issuer at which people log in, and of this system as its client."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    issuer: Annotated[str, AfterValidator(checked_issuer)]
    """URL of the issuer, exactly as its tokens have it in `iss`. The issuer needs a table `[[security.jwt]]` too, with
    which its tokens are verified and receive grants."""
    client_id: Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_checked_client)]
    """The id of this system at the issuer. It must be the same as `audience` in the issuer's table
    `[[security.jwt]]`."""
    client_secret_file: Path | None = None
    """File with the client secret; only its owner may have access to it. It is read for each login. If it is not set,
    this system is a public client of the issuer."""
    scopes: Annotated[tuple[str, ...], Field(max_length=MOST_SCOPES), AfterValidator(_checked_scopes)] = ("openid",)
    """Scopes that are requested from the issuer. Some issuers put groups into tokens only if a certain scope is
    requested."""
    ca: Path | None = None
    """CA bundle in PEM with which the issuer is verified. By default, the public CAs are trusted."""

    def secret(self) -> str | None:
        """Return the client secret; None for a public client. Raises StartError if the file cannot be used."""
        return None if self.client_secret_file is None else _read_secret(self.client_secret_file)


def _read_secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            why = shared_file(path, os.fstat(file.fileno()))
            content = file.read(MOST_SECRET + 1)
    except OSError as error:
        raise StartError(f"{SECRET}: {absolute(path)}: {reason(error)}") from error
    if why:
        raise StartError(f"{SECRET}: {why}")
    text = content.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")
    if not text or len(content) > MOST_SECRET or not text.isascii() or not text.isprintable():
        what = f"does not have one secret: 1 to {MOST_SECRET} printable ASCII characters, and at most one line break"
        raise StartError(f"{SECRET}: {absolute(path)} {what}")
    return text


Oidc = Annotated[OidcSettings | None, BeforeValidator(parsed)]
"""A setting with the issuer for logins, or None; in a variable or a flag, it is JSON."""
