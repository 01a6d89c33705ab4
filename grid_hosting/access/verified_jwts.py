"""A cache of verified tokens, so that a token is verified once and not for each call. It also holds the issuers and
their keys. Pure. Times are in seconds since the epoch.

A verified token is dropped when it expires, and when its issuer no longer publishes the key that verified it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from grid_hosting.access.jwt_form import InvalidJwtError, Unverified, read_jwt
from grid_hosting.access.jwt_issuers import Issuer, Proven
from grid_hosting.access.jwt_keys import KeySet, PublicKey

MOST_KEPT = 10_000
"""Maximum number of verified tokens that are cached. Overflow rule: the least recently used token is dropped, and
verified again when it is needed."""


class KeysMissingError(Exception):
    """The keys of an issuer are not available now."""


@dataclass(frozen=True, slots=True)
class ToVerify:
    """A token that has passed all checks except the check of its signature."""

    issuer: Issuer
    token: Unverified
    key: PublicKey

    def verify(self) -> Proven:
        """Verify the signature, and return what the token proves. Raises InvalidJwtError. This must not run on an event
        loop."""
        return self.issuer.verify(self.token, self.key)


class VerifiedJwts:
    """The issuers by name, their keys, and the verified tokens."""

    def __init__(self, issuers: Iterable[Issuer]) -> None:
        self.issuers = {each.name: each for each in issuers}
        self.generation = 0
        """A number that grows when verified tokens were dropped because their key is no longer valid."""
        self._keys: dict[str, KeySet] = {}
        self._kept: OrderedDict[bytes, Proven] = OrderedDict()
        self._of_principal: dict[str, tuple[bytes, Proven]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def replace_keys(self, issuer: str, keys: KeySet | None) -> bool:
        """Set the current keys of an issuer, or None if they are not known, and drop the verified tokens whose key is
        not among them. Return whether any were dropped."""
        if keys is None:
            self._keys.pop(issuer, None)
        else:
            self._keys[issuer] = keys
        valid: dict[int, bool] = {}  # by the identity of the key: thousands of tokens have one

        def is_valid(key: PublicKey) -> bool:
            if id(key) not in valid:
                valid[id(key)] = keys is not None and keys.has(key)
            return valid[id(key)]

        dropped = [digest for digest, each in self._kept.items() if each.issuer == issuer and not is_valid(each.key)]
        for digest in dropped:
            self._drop(digest)
        self.generation += bool(dropped)
        return bool(dropped)

    def keys_of(self, issuer: str) -> KeySet | None:
        """Return the keys of an issuer; None if they are not known."""
        return self._keys.get(issuer)

    def known(self, text: str, now: float) -> Proven | None:
        """Return what a token proves if it was verified before and has not expired; otherwise None."""
        digest = _digest(text)
        found = self._kept.get(digest)
        if found is None:
            return None
        if found.end(now) is None:
            self._drop(digest)
            return None
        self._kept.move_to_end(digest)
        return found

    def of_principal(self, name: str, now: float) -> Proven | None:
        """Return what the verified token of a principal proves. If the principal has several verified tokens, use the
        one that expires last. Return None if there is none, or if it has expired."""
        found = self._of_principal.get(name)
        if found is None or found[1].end(now) is None:
            return None
        self._kept.move_to_end(found[0])
        return found[1]

    def prepare(self, text: str, now: float) -> ToVerify:
        """Check everything about a token except its signature, and return it for verification. Raises InvalidJwtError,
        or KeysMissingError if the keys of its issuer are not available."""
        token = read_jwt(text)
        issuer = self.issuers.get(token.issuer)
        if issuer is None:
            raise InvalidJwtError("comes from an issuer that is not configured")
        issuer.check(token, now)
        keys = self._keys.get(issuer.name)
        if keys is None:
            raise KeysMissingError(issuer.name)
        key = keys.find(token.key_id)
        if key is None:
            raise InvalidJwtError("is signed with a key that its issuer does not publish")
        return ToVerify(issuer, token, key)

    def keep(self, text: str, proven: Proven) -> None:
        """Add a verified token to the cache. Raises InvalidJwtError if its issuer no longer publishes the key that
        verified it."""
        keys = self._keys.get(proven.issuer)
        if keys is None or not keys.has(proven.key):
            raise InvalidJwtError("is signed with a key that its issuer no longer publishes")
        digest = _digest(text)
        self._kept[digest] = proven
        newest = self._of_principal.get(proven.principal)
        if newest is None or newest[1].ends_at <= proven.ends_at:
            self._of_principal[proven.principal] = digest, proven
        if len(self._kept) > MOST_KEPT:
            self._drop(next(iter(self._kept)))

    def _drop(self, digest: bytes) -> None:
        proven = self._kept.pop(digest)
        newest = self._of_principal.get(proven.principal)
        if newest is not None and newest[0] == digest:
            del self._of_principal[proven.principal]


def _digest(text: str) -> bytes:
    """Return the SHA-256 of a token: a copy of the memory shows no token that somebody could send."""
    return hashlib.sha256(text.encode()).digest()
