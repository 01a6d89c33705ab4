"""The security settings that all programs share: the table `[security]` of `tron.toml`, the variables TRON_SECURITY_*,
and flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import CliImplicitFlag, CliSuppress, NoDecode

from grid_hosting.credential import CertificateRules
from grid_hosting.http_hosts import check_host_name
from grid_hosting.http_rules import parse_network, parse_origin
from grid_hosting.jwt_settings import JwtIssuers
from grid_hosting.oidc_settings import Oidc
from grid_hosting.start import SECURITY, StartError
from grid_hosting.variables import unknown_variables


def _none_if_empty(path: Any) -> Any:
    return None if path == "" else path


OptionalFile = Annotated[Path | None, BeforeValidator(_none_if_empty)]
"""A setting that is the path of a file. An empty text means no file."""


def _split(words: Any) -> Any:
    return [word.strip() for word in words.split(",") if word.strip()] if isinstance(words, str) else words


def _checked_hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(check_host_name, names))


def _checked_networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(parse_network(each)) for each in texts)


HostNameList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_checked_hosts)]
"""Host names and IP addresses; in a variable or a flag, they are separated by commas."""

NetworkList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_checked_networks)]
"""IP addresses and networks; in a variable or a flag, they are separated by commas."""


def _checked_origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(parse_origin, texts))


OriginList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_checked_origins)]
"""Origins of pages; in a variable or a flag, they are separated by commas."""

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")


def _checked_domains(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if not _TRUST_DOMAIN.fullmatch(text):
            why = "it must have 1 to 255 characters (a-z, 0-9, dot, dash, underscore), such as NAME in spiffe://NAME/worker-1"
            raise ValueError(f"{text!r} is not a trust domain: {why}")
    return tuple(dict.fromkeys(texts))


TrustDomainList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_checked_domains)]
"""SPIFFE trust domains; in a variable or a flag, they are separated by commas."""


class SecuritySettings(BaseModel):
    """How the ports of a program are secured, and which servers its own clients trust."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    cert: OptionalFile = None
    """File with the certificate of this server in PEM, followed by those of its issuers. With it, all ports of the
    program speak TLS only. A renewed file is used without a restart."""
    key: OptionalFile = None
    """File with the private key of `cert` in PEM, without a passphrase. Only its owner may have access to it."""
    client_ca: OptionalFile = None
    """CA bundle in PEM. With it, all ports require a client certificate that one of these CAs issued."""
    ca: OptionalFile = None
    """CA bundle in PEM with which the program verifies the servers that it connects to. Default: `client_ca`."""
    authentication: CliImplicitFlag[bool] = False
    """Serve only callers that authenticate with a token or a client certificate, and permit them only what their grants
    allow. Without authentication, every caller may do everything. A registry whose data directory has principals, and a
    program with a token of its own, start without authentication only if this is explicitly set to false."""
    trust_domains: TrustDomainList = ()
    """SPIFFE trust domains: a client certificate with one URI `spiffe://TRUST_DOMAIN/NAME` authenticates the principal
    `spiffe:TRUST_DOMAIN/NAME`. Needs `client_ca`."""
    accept_common_name: CliImplicitFlag[bool] = False
    """Let a client certificate without any URI authenticate the principal `cn:COMMON_NAME`. Needs `client_ca`."""
    max_connection_age: float = Field(default=3600.0, ge=0.0, le=30 * 86_400.0)
    """Seconds after which clients of gRPC ports open another connection, so that a client certificate that has expired,
    or whose CA was removed, is refused. With 0, connections have no maximum age. It has an effect only with `client_ca`
    and `authentication`."""
    legacy_open_to: NetworkList = ()
    """Addresses and networks from which clients of the legacy ports are served without a credential. They act as the
    principal `token:legacy`, with its grants. A request through a proxy is never served in this way. Needs
    `authentication`."""
    jwt: CliSuppress[Annotated[JwtIssuers, NoDecode]] = ()
    """Issuers whose JSON Web Tokens authenticate callers at the registry and, through it, at all other servers; each is
    a table `[[security.jwt]]`. Needs `authentication`."""
    oidc: CliSuppress[Annotated[Oidc, NoDecode]] = None
    """The issuer at which people log in to the dashboard by OpenID Connect: the table `[security.oidc]`. Needs
    `authentication`, and a table `[[security.jwt]]` for the issuer."""
    http_origins: OriginList = ()
    """Origins, such as `https://hmi.example:8443`, whose pages may send requests with a token to the HTTP ports of the
    gateway. Needs `authentication`."""
    insecure_listen: CliImplicitFlag[bool] = False
    """Allow listening without authentication, with or without TLS, on addresses that other machines can reach. Anyone
    who reaches such an address can then act as any service, and can read everything."""
    http_hosts: HostNameList = ()
    """Further host names and IP addresses for which the HTTP ports answer: those by which clients or a reverse proxy
    reach them. `*.NAME` matches every name below NAME. `localhost`, loopback addresses, the host of the listen address
    and the names in `cert` need not be listed."""
    trusted_proxies: NetworkList = ()
    """Addresses and networks of reverse proxies whose `X-Forwarded-Host` and `X-Forwarded-Proto` are trusted, and whose
    `X-Forwarded-For` is recorded."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.cert is not None and self.key is None:
            raise ValueError("[security] key: is missing; `cert` needs the private key that belongs to it")
        if self.key is not None and self.cert is None:
            raise ValueError("[security] cert: is missing; `key` needs the certificate that belongs to it")
        if self.client_ca is not None and self.cert is None:
            raise ValueError("[security] cert: is missing; `client_ca` needs a server certificate and its key")
        for name in ("trust_domains", "accept_common_name"):
            if getattr(self, name) and not self.authentication:
                raise ValueError(
                    f"[security] authentication: is false; `{name}` has an effect only with authentication"
                )
            if getattr(self, name) and self.client_ca is None:
                raise ValueError(f"[security] client_ca: is missing; `{name}` needs client certificates")
        for name in ("legacy_open_to", "http_origins", "jwt", "oidc"):
            if getattr(self, name) and not self.authentication:
                raise ValueError(
                    f"[security] authentication: is false; `{name}` has an effect only with authentication"
                )
        self._check_oidc()
        return self

    def _check_oidc(self) -> None:
        """Raise ValueError if the registry would refuse the tokens of the login at the dashboard."""
        if self.oidc is None:
            return
        verified = next((each for each in self.jwt if each.issuer == self.oidc.issuer), None)
        if verified is None:
            raise ValueError(
                f"[security.oidc] issuer: {self.oidc.issuer} has no table [[security.jwt]], which is needed to "
                "verify its tokens and to give them rights"
            )
        if verified.audience != self.oidc.client_id:
            raise ValueError(
                f"[security.oidc] client_id: is {self.oidc.client_id!r}, but the audience in the table "
                f"[[security.jwt]] of {self.oidc.issuer} is {verified.audience!r}; ID tokens are issued for the "
                "client, so both must be the same"
            )

    @property
    def open_on_purpose(self) -> bool:
        """Whether `authentication` was explicitly set to false, and is not merely missing."""
        return not self.authentication and "authentication" in self.model_fields_set

    @property
    def certificate_rules(self) -> CertificateRules:
        """The rules for which client certificates are accepted as credentials."""
        return CertificateRules(frozenset(self.trust_domains), self.accept_common_name)

    @property
    def trusted(self) -> Path | None:
        """The CA bundle with which the clients of this program verify servers; None if there is none."""
        return self.ca or self.client_ca


def from_file(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in the table `[security]` of a settings file with these tables."""
    return dict(tables.get("security", {}))


def from_environment(environ: Mapping[str, str], table: str = "security") -> dict[str, str]:
    """Return the security settings in the variables TRON_SECURITY_*, or in those of one program (TRON_TABLE_*). An
    empty variable counts as not given. The names may be in upper or lower case, as for all settings."""
    names = {f"TRON_{table}_{name}".upper(): name for name in SECURITY}
    return {names[name.upper()]: value for name, value in environ.items() if value and name.upper() in names}


def read_security(
    table: str, tables: Mapping[str, Any], environ: Mapping[str, str], flags: Mapping[str, Any]
) -> SecuritySettings:
    """Return the security settings that a program will have, combined from the settings file, the environment and
    flags. Raises StartError if they are invalid."""
    own = {name: value for name, value in tables.get(table, {}).items() if name in SECURITY}
    given = from_environment(environ, table)
    merged = {**from_file(tables), **own, **from_environment(environ), **given, **flags}
    if unknown := unknown_variables(environ, "security", SECURITY):
        raise StartError("; ".join(unknown))
    try:
        return SecuritySettings.model_validate(merged)
    except ValidationError as error:
        raise StartError("; ".join(problems_of(error))) from error


def problems_of(error: ValidationError) -> list[str]:
    """Return one message for each invalid setting; it begins with the name of the setting."""
    found = []
    for each in error.errors():
        name = ".".join(map(str, each["loc"]))
        message = each["msg"].removeprefix("Value error, ")
        found.append(f"{name}: {message}" if name else message)
    return found


def client_environment(settings: SecuritySettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that the clients of a program, and of programs that it starts, need to connect
    to secured servers. Variables that are already set are left out."""
    wanted = {"TRON_CA": settings.trusted}
    if settings.client_ca is not None and not (environ.get("TRON_CERT") or environ.get("TRON_KEY")):
        wanted |= {"TRON_CERT": settings.cert, "TRON_KEY": settings.key}
    return {name: str(path.absolute()) for name, path in wanted.items() if path is not None and not environ.get(name)}
