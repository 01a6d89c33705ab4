"""The settings of the issuers whose JSON Web Tokens authenticate callers: each `[[security.jwt]]` of `tron.toml`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from grid_hosting.access.jwt_issuers import ClaimRule, Issuer, checked_issuer, parse_claim, parse_rule
from grid_hosting.access.jwt_keys import Algorithm

MOST_ISSUERS = 20
MOST_RULES = 1000


def checked_url(text: str) -> str:
    """Return a URL of an issuer unchanged. Raises ValueError if it is not a valid https URL."""
    rest, printable = text.removeprefix("https://"), text.isascii() and text.isprintable()
    if rest == text or not rest.strip("/") or not printable or {" ", "#", "@"} & set(text):
        raise ValueError(f"{text!r} is not a valid https URL; write, for example, https://login.example/keys")
    return text


def _checked_claim(text: str) -> str:
    parse_claim(text)
    return text


def _rules(roles: dict[str, list[str]]) -> tuple[ClaimRule, ...]:
    return tuple(parse_rule(condition, grants) for condition, grants in roles.items())


def _checked_roles(roles: dict[str, list[str]]) -> dict[str, list[str]]:
    if len(roles) > MOST_RULES:
        raise ValueError(f"has {len(roles)} rows; at most {MOST_RULES} are allowed")
    _rules(roles)
    return roles


class JwtIssuer(BaseModel):
    """The settings of one issuer of JSON Web Tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    issuer: Annotated[str, AfterValidator(checked_issuer)]
    """URL of the issuer, exactly as its tokens have it in `iss`."""
    audience: Annotated[str, Field(min_length=1, max_length=512)]
    """The text that tokens must have in `aud`: the name of this system at the issuer."""
    algorithm: Algorithm
    """RS256 or ES256: the only algorithm that is accepted from this issuer."""
    keys_file: Path | None = None
    """File with the public keys of the issuer, as a JSON Web Key Set. Only its owner may write to it. A changed file is
    used without a restart."""
    keys_url: Annotated[str, AfterValidator(checked_url)] | None = None
    """https URL of the key set. It is read every 5 minutes; if it cannot be read, the last keys remain valid for 24
    hours."""
    keys_ca: Path | None = None
    """CA bundle in PEM with which the server of `keys_url` is verified. By default, the public CAs are trusted."""
    group_claim: Annotated[str, AfterValidator(_checked_claim)] | None = None
    """The claim that has the group of the principal. Principals with the same group own ids together."""
    roles: Annotated[dict[str, list[str]], AfterValidator(_checked_roles)] = Field(default_factory=dict)
    """The grants for claims: `"groups=operators" = ["operator *"]` gives the grant `operator *` to tokens whose claim
    `groups` is, or contains, the text `operators`. `/kubernetes.io/namespace` is a claim inside of another claim."""

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if (self.keys_file is None) == (self.keys_url is None):
            raise ValueError(f"{self.issuer}: set either keys_file or keys_url")
        if self.keys_ca is not None and self.keys_url is None:
            raise ValueError(f"{self.issuer}: keys_ca has an effect only with keys_url")
        return self

    def description(self) -> Issuer:
        """Return the issuer as the object that verifies its tokens."""
        group = None if self.group_claim is None else parse_claim(self.group_claim)
        return Issuer(self.issuer, self.audience, self.algorithm, _rules(self.roles), group)


def parsed(given: Any) -> Any:
    """Return a setting that has tables. Text, from a variable or a flag, is parsed as JSON; any other value is returned
    unchanged. Raises ValueError if the text is not JSON."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None


def _checked_issuers(issuers: tuple[JwtIssuer, ...]) -> tuple[JwtIssuer, ...]:
    if len(issuers) > MOST_ISSUERS:
        raise ValueError(f"has {len(issuers)} issuers; at most {MOST_ISSUERS} are allowed")
    names = [each.issuer for each in issuers]
    if twice := sorted(name for name in set(names) if names.count(name) > 1):
        raise ValueError(f"{twice[0]} is configured twice; an issuer has one algorithm and one key set")
    return issuers


JwtIssuers = Annotated[tuple[JwtIssuer, ...], BeforeValidator(parsed), AfterValidator(_checked_issuers)]
"""A setting with the tables of all issuers; in a variable or a flag, they are JSON."""
