"""The settings of the login by OpenID Connect at the dashboard: `[security.oidc]` of `tron.toml`."""

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
"""How errors name the settings."""

MOST_SECRET = 1024
"""Bytes of the secret of a client."""

MOST_SCOPES = 20

_SCOPE = re.compile(r"[!#-\[\]-~]{1,128}")  # RFC 6749, section 3.3


def _checked_client(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("has characters that a client id cannot have (RFC 6749: printable ASCII)")
    return text


def _checked_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    for each in scopes:
        if not _SCOPE.fullmatch(each):
            raise ValueError(f"{each!r} is not a scope; write, for example, ['openid', 'groups']")
    if "openid" not in scopes:
        raise ValueError("openid is missing; without it, an issuer gives no ID token")
    return tuple(dict.fromkeys(scopes))


class OidcSettings(BaseModel):
    """The issuer at which people log in, and this system as its client."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    issuer: Annotated[str, AfterValidator(checked_issuer)]
    """Its URL, exactly as tokens have it in `iss`. It needs a table `[[security.jwt]]` too, which verifies its tokens
    and says what they grant."""
    client_id: Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_checked_client)]
    """The id of this system at the issuer. It is the `audience` in the table `[[security.jwt]]` of the issuer."""
    client_secret_file: Path | None = None
    """File with the secret of the client; only its owner may have access to it. It is read for each login. Not set: the
    issuer knows this system as a public client."""
    scopes: Annotated[tuple[str, ...], Field(max_length=MOST_SCOPES), AfterValidator(_checked_scopes)] = ("openid",)
    """What is requested of the issuer; some issuers put groups into tokens only for a scope."""
    ca: Path | None = None
    """CA bundle in PEM by which the issuer is verified. Default: the public CAs."""

    def secret(self) -> str | None:
        """Return the secret of the client; None for a public client. Raises StartError for a file that cannot be
        used."""
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
        what = f"has not one secret: 1 to {MOST_SECRET} printable ASCII characters, and at most one line break"
        raise StartError(f"{SECRET}: {absolute(path)} {what}")
    return text


Oidc = Annotated[OidcSettings | None, BeforeValidator(parsed)]
"""The issuer, or None; in a variable or a flag, as JSON."""
