"""An issuer of JSON Web Tokens, for tests: its keys, its key set, and tokens with whatever claims and headers."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from grid_hosting.jwt_settings import JwtIssuer

URL = "https://issuer.test"
AUDIENCE = "tron"
OPERATORS = {"groups=operators": ["operator *"], "groups=readers": ["observer *"], "groups=workers": ["agent worker-*"]}

Key = RSAKey | ECKey


def rsa_key(number: int = 0) -> RSAKey:
    """A private key; it is made once for all tests."""
    return _rsa_key(number)


def ec_key(number: int = 0, curve: str = "P-256") -> ECKey:
    """The same, of another kind."""
    return _ec_key(number, curve)


@cache
def _rsa_key(number: int) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": f"rsa-{number}"})


@cache
def _ec_key(number: int, curve: str) -> ECKey:
    return ECKey.generate_key(curve, {"kid": f"ec-{number}"})


def key_set(*keys: Key, **more: Any) -> bytes:
    """The key set of an issuer: the public parts of its keys. `more`: further parameters of each key."""
    return json.dumps({"keys": [{**each.as_dict(private=False), **more} for each in keys]}).encode()


def settings(algorithm: str = "ES256", **more: Any) -> JwtIssuer:
    """The settings of the issuer."""
    keys = {} if {"keys_file", "keys_url"} & more.keys() else {"keys_file": "keys.json"}
    given = {"issuer": URL, "audience": AUDIENCE, "algorithm": algorithm, "roles": OPERATORS, **keys, **more}
    return JwtIssuer.model_validate(given)


def claims(subject: str = "alice", lifetime: float = 600, **more: Any) -> dict[str, Any]:
    """The claims of a usual token; None takes one out."""
    now = int(time.time())
    usual = {"iss": URL, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + int(lifetime), "jti": f"{subject}-1"}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


def sign(payload: Mapping[str, Any] | bytes, key: Key | None = None, **header: Any) -> str:
    """A token with a signature that fits its header."""
    signing = key or ec_key()
    algorithm = "RS256" if isinstance(signing, RSAKey) else "ES256"
    protected = {"alg": algorithm, "typ": "JWT", **({"kid": signing.kid} if signing.kid else {}), **header}
    protected = {name: value for name, value in protected.items() if value is not None}
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    registry = jws.JWSRegistry(algorithms=["RS256", "ES256"], strict_check_header=False)
    return jws.serialize_compact(protected, content, signing, registry=registry)


def token(subject: str = "alice", *, key: Key | None = None, groups: Sequence[str] = ("readers",), **more: Any) -> str:
    """A usual token."""
    return sign(claims(subject, **{"groups": list(groups), **more}), key)


def encoded(document: Mapping[str, Any] | bytes) -> str:
    """A part of a token."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
