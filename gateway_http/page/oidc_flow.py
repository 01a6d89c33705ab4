"""What a login by OpenID Connect sends, keeps and accepts (authorization code flow with PKCE: OpenID Connect Core 1.0,
RFC 7636, RFC 9207). Pure: the caller draws the random texts, and brings the time.

The registry verifies the ID token. Here it is checked that the token answers this login, and no other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from grid_model.errors import Unauthenticated

from gateway_http.page import messages
from grid_hosting.access.jwt_form import InvalidJwtError, read_jwt, read_object
from grid_hosting.jwt_settings import checked_url
from grid_hosting.oidc_settings import OidcSettings

MOST_CODE = 4096
"""Characters of an authorization code."""

MOST_URL = 2048
"""Characters of the address of an endpoint."""


class LoginRefused(Unauthenticated):
    """A login does not go on. The text is a sentence for the person."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One login that is under way. Its cookie carries it, so nobody can fill the memory of the gateway with logins."""

    state: str
    """It must come back with the answer of the issuer: a page of others cannot know it."""
    nonce: str = field(repr=False)
    """It must be in the ID token."""
    verifier: str = field(repr=False)
    """The secret of PKCE: only the browser that began the login can use the code."""
    former: tuple[str, ...] = ()
    """The keys of the sessions that the browser had at the start; they end with the login. The answer of the issuer
    comes without the cookie of a session, because another site has caused it."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What an issuer says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    basic: bool
    """Whether it takes the secret of a client by HTTP Basic, else in the form."""
    names_itself: bool
    """Whether its answers have `iss` (RFC 9207)."""


def read_provider(content: bytes, issuer: str) -> Provider:
    """Return what the document of an issuer says. Raises ValueError that explains the mistake."""
    found = read_object(content.decode("utf-8"))
    if found.get("issuer") != issuer:
        raise ValueError(f"names another issuer ({shown(found.get('issuer'))}); [security.oidc] issuer must be equal")
    endpoints = {}
    for name in ("authorization_endpoint", "token_endpoint"):
        url = found.get(name)
        if not isinstance(url, str) or len(url) > MOST_URL:
            raise ValueError(f"has no usable {name}")
        try:
            endpoints[name] = checked_url(url)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    basic = not isinstance(methods, list) or "client_secret_post" not in methods or "client_secret_basic" in methods
    names_itself = found.get("authorization_response_iss_parameter_supported") is True
    return Provider(endpoints["authorization_endpoint"], endpoints["token_endpoint"], basic, names_itself)


def authorization_url(provider: Provider, settings: OidcSettings, flow: Flow, redirect_uri: str) -> str:
    """Return the address at the issuer to which the browser goes."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(settings.scopes),
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    separator = "&" if "?" in provider.authorization_endpoint else "?"
    return f"{provider.authorization_endpoint}{separator}{urlencode(asked)}"


def read_code(answer: Mapping[str, Sequence[str]], provider: Provider, issuer: str) -> str:
    """Return the code in the answer of an issuer to this login. Raises LoginRefused."""
    named = answer.get("iss", ())
    if len(named) > 1 or any(each != issuer for each in named) or (provider.names_itself and not named):
        raise LoginRefused(messages.OTHER_LOGIN)
    errors, codes = answer.get("error", ()), answer.get("code", ())
    if errors:
        raise LoginRefused(messages.refused_by_issuer(shown(errors[0])))
    if len(codes) != 1 or not 0 < len(codes[0]) <= MOST_CODE:
        raise LoginRefused(messages.NO_CODE)
    return codes[0]


def read_id_token(content: bytes, flow: Flow, settings: OidcSettings) -> str:
    """Return the ID token in the answer of the token endpoint, if it answers this login. Its signature, its end and its
    issuer are verified by the registry. Raises ValueError if there is none, and LoginRefused."""
    token = read_object(content.decode("utf-8")).get("id_token")
    if not isinstance(token, str):
        raise ValueError("has no id_token")
    try:
        claims = read_jwt(token).claims
    except InvalidJwtError as error:
        raise ValueError(f"id_token: {error}") from None
    nonce, audience = claims.get("nonce"), claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    party = claims.get("azp", settings.client_id if len(audiences) == 1 else None)
    if not isinstance(nonce, str) or not is_same(nonce, flow.nonce):
        raise LoginRefused(messages.OTHER_NONCE)
    if claims.get("iss") != settings.issuer or settings.client_id not in audiences or party != settings.client_id:
        raise LoginRefused(messages.OTHER_AUDIENCE)
    return token


def error_in(content: bytes) -> str:
    """Return the error that a token endpoint names, fit to be shown; empty if it names none."""
    try:
        found = read_object(content.decode("utf-8")).get("error")
    except ValueError:
        return ""
    return shown(found) if isinstance(found, str) else ""


def shown(text: Any) -> str:
    """Return a text of others as a log and a page may show it: the codes of OAuth are short ASCII."""
    if not isinstance(text, str):
        return "nothing"
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in text[:200])


def is_same(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
