"""The requests and answers of a login by OpenID Connect (authorization code flow with PKCE: OpenID Connect Core 1.0,
RFC 7636, RFC 9207). Pure: the caller supplies the random strings and the time.

The registry verifies the ID token. This module only checks that the token belongs to this login.
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
"""Maximum length of an authorization code, in characters."""

MOST_URL = 2048
"""Maximum length of an endpoint's URL, in characters."""


class LoginRefused(Unauthenticated):
    """A login failed. The message is a sentence for the person who tried to log in."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One login in progress. It is stored in a cookie of the browser, so that nobody can fill the gateway's memory with
    logins."""

    state: str
    """A random string that must come back with the issuer's answer; pages of other sites cannot know it."""
    nonce: str = field(repr=False)
    """A random string that the ID token must contain."""
    verifier: str = field(repr=False)
    """The secret of PKCE: only the browser that began the login can use the code."""
    former: tuple[str, ...] = ()
    """The keys of the sessions that the browser had when the login began; they end when it succeeds. The issuer's
    answer arrives without the session cookie, because another site caused the request."""


@dataclass(frozen=True, slots=True)
class Provider:
    """The settings of an issuer, as its discovery document states them."""

    authorization_endpoint: str
    token_endpoint: str
    basic: bool
    """Whether the issuer accepts the client secret by HTTP Basic; otherwise the secret is sent in the form."""
    names_itself: bool
    """Whether the issuer's answers contain the parameter `iss` (RFC 9207)."""


def read_provider(content: bytes, issuer: str) -> Provider:
    """Return the settings in the discovery document of an issuer. Raises ValueError with the reason if the document is
    invalid or belongs to another issuer."""
    found = read_object(content.decode("utf-8"))
    if found.get("issuer") != issuer:
        raise ValueError(f"has the issuer {shown(found.get('issuer'))}, which differs from [security.oidc] issuer")
    endpoints = {}
    for name in ("authorization_endpoint", "token_endpoint"):
        url = found.get(name)
        if not isinstance(url, str) or len(url) > MOST_URL:
            raise ValueError(f"has no valid {name}")
        try:
            endpoints[name] = checked_url(url)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    basic = not isinstance(methods, list) or "client_secret_post" not in methods or "client_secret_basic" in methods
    names_itself = found.get("authorization_response_iss_parameter_supported") is True
    return Provider(endpoints["authorization_endpoint"], endpoints["token_endpoint"], basic, names_itself)


def authorization_url(provider: Provider, settings: OidcSettings, flow: Flow, redirect_uri: str) -> str:
    """Return the URL of the issuer to which the browser goes to log in."""
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
    """Return the authorization code in the issuer's answer. Raises LoginRefused if the answer comes from another
    issuer, reports an error, or has no valid code."""
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
    """Return the ID token in the answer of the token endpoint. Raises ValueError if there is no readable token, and
    LoginRefused if the token belongs to another login, client or issuer. The registry verifies the token's signature,
    expiry and issuer."""
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
    """Return the OAuth error code in the answer of a token endpoint, safe to show; an empty string if there is none."""
    try:
        found = read_object(content.decode("utf-8")).get("error")
    except ValueError:
        return ""
    return shown(found) if isinstance(found, str) else ""


def shown(text: Any) -> str:
    """Return a received text in a form that is safe to show in a log and on a page: at most 200 characters of printable
    ASCII. Other characters become `?`; a value that is not a string becomes `nothing`."""
    if not isinstance(text, str):
        return "nothing"
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in text[:200])


def is_same(one: str, other: str) -> bool:
    """Return whether two texts are equal; the comparison takes constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
