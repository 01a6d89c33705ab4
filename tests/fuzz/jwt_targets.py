"""JSON Web Tokens and the key sets of issuers, as callers and issuers may send them: through the real reader of the
header, the real checks, and the real verification of signatures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from grid_model.errors import Unauthenticated
from hypothesis import strategies as st

from grid_hosting.access.jwt_form import InvalidJwtError, is_jwt
from grid_hosting.access.jwt_keys import read_keys
from grid_hosting.access.verified_jwts import KeysMissingError, VerifiedJwts
from grid_hosting.credential import bearer_token
from tests.fuzz.alarms import raised
from tests.fuzz.cases import Case
from tests.fuzz.http_bytes import VALUES
from tests.fuzz.mutation import changed
from tests.fuzz.targets import Target, sequences, step
from tests.support.issuer import URL, claims, ec_key, encoded, key_set, settings, sign

NOW = 4e9
"""When the tokens are sent, in seconds since the epoch: they are the same in each run."""

CLAIMS = {**claims("fuzzed", team="blue", groups=["readers"]), "iat": int(NOW), "exp": int(NOW) + 600}


class JwtRig:
    """The issuers of a registry; a new one for each case."""

    _signed: set[str]
    """What the issuer has signed: the tokens without their signatures, which differ each time."""

    def run(self, case: Case) -> None:
        """Send each token; replace the keys of the issuer."""
        self._signed = {_content(genuine())}
        verified = VerifiedJwts([settings(group_claim="team").description()])
        verified.replace_keys(URL, read_keys(key_set(ec_key()), "ES256"))
        for name, data in case:
            if name == "keys":
                with suppress(ValueError):
                    verified.replace_keys(URL, read_keys(data, "ES256"))
            elif name == "claims":
                text = sign(data)
                self._signed.add(_content(text))
                self._send(verified, text.encode())
            else:
                self._send(verified, data)

    def _send(self, verified: VerifiedJwts, data: bytes) -> None:
        try:
            text = bearer_token(b"Bearer " + data)
        except Unauthenticated:
            return
        if not is_jwt(text) or verified.known(text, NOW) is not None:
            return
        try:
            proven = verified.prepare(text, NOW).verify()
            verified.keep(text, proven)
        except (InvalidJwtError, KeysMissingError):
            return
        assert _content(text) in self._signed, "a token was accepted that the issuer has not signed"
        assert proven.principal.startswith(f"jwt:{URL}#"), proven.principal
        assert verified.known(text, NOW) == proven


def _content(text: str) -> str:
    return text.rpartition(".")[0]


def genuine() -> str:
    """Return a valid token."""
    return sign(CLAIMS)


def _claims() -> st.SearchStrategy[bytes]:
    """Claims that the issuer signs, whatever they are."""
    values = st.sampled_from(VALUES).map(_parsed)
    replaced = st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "other"]), values, min_size=1, max_size=3)
    usual = json.dumps(CLAIMS).encode()
    return changed(st.just(usual)) | replaced.map(lambda found: json.dumps({**CLAIMS, **found}).encode())


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text[:100]


def _tokens() -> st.SearchStrategy[bytes]:
    """Tokens with changed bytes, other headers, and parts that are no JSON."""
    valid = genuine()
    _, payload, signature = valid.split(".")
    headers = st.builds(
        lambda algorithm, more: {"alg": algorithm, **more},
        st.sampled_from(["none", "None", "HS256", "RS256", "ES256", "ES512", "", 1, None]),
        st.dictionaries(st.sampled_from(["kid", "jku", "x5u", "jwk", "crit", "typ", "b64"]), st.text(max_size=20)),
    )
    forged = headers.map(lambda header: f"{encoded(header)}.{payload}.{signature}".encode())
    parts = st.binary(max_size=60).map(lambda part: f"{encoded(part)}.{payload}.{signature}".encode())
    return changed(st.just(valid.encode())) | forged | parts | st.just(valid.encode()) | changed(forged)


def _key_sets() -> st.SearchStrategy[bytes]:
    return changed(st.just(key_set(ec_key()))) | st.just(key_set(ec_key())) | st.sampled_from(VALUES).map(str.encode)


@contextmanager
def open_jwts() -> Iterator[JwtRig]:
    """Verify tokens until the block ends."""
    with raised() as alarms:
        yield JwtRig()
        alarms.check()


JWT_TARGET = Target(
    "json web tokens",
    st.deferred(lambda: sequences(step("token", _tokens()), step("claims", _claims()), step("keys", _key_sets()))),
    open_jwts,
)
