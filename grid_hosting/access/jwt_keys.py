"""The public keys of an issuer: read from a JSON Web Key Set (RFC 7517), and found by their id. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from grid_hosting.access.jwt_form import MOST_KEY_ID, read_object

Algorithm = Literal["RS256", "ES256"]
PublicKey = RSAKey | ECKey

MOST_BYTES = 256 * 1024
"""Maximum size of a key set in bytes."""
MOST_KEYS = 100
"""Maximum number of keys in a key set, including those that are not used."""

RSA_BITS = range(2048, 4096 + 1)
"""The accepted sizes of RSA keys in bits. With a larger key, each token would take longer to verify."""
MOST_RSA_EXPONENT = 1 << 32
"""The largest accepted public exponent of an RSA key. With a larger one, each token would take longer to verify."""

_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "k", "oth"})


@dataclass(frozen=True, slots=True)
class KeySet:
    """The public keys of one issuer. They verify tokens that are signed with the algorithm of the issuer."""

    keys: Mapping[str, PublicKey] = field(repr=False)
    """The keys by their ids; a key without an id has an empty id."""

    def find(self, key_id: str) -> PublicKey | None:
        """Return the key with this id; None if there is none. If `key_id` is empty and the set has only one key, return
        that key."""
        if not key_id and len(self.keys) == 1:
            return next(iter(self.keys.values()))
        return self.keys.get(key_id)

    def has(self, key: PublicKey) -> bool:
        """Return whether a key is still in the set."""
        return any(each == key for each in self.keys.values())


def read_keys(content: bytes, algorithm: Algorithm) -> KeySet:
    """Return the keys in a JSON Web Key Set that can verify tokens of an algorithm; other keys are left out.

    Raises ValueError if the content is not a key set, or if it has no such key, two such keys with the same id, or a
    private key. The message is written to follow the name of a file or a URL.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES >> 10} KB")
    try:
        document = read_object(content.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"is not a JSON Web Key Set: {_short(error)}") from None
    found = document.get("keys")
    if not isinstance(found, list):
        raise ValueError("is not a JSON Web Key Set: it has no list `keys`")
    if len(found) > MOST_KEYS:
        raise ValueError(f"has {len(found)} keys; at most {MOST_KEYS} are allowed")
    keys: dict[str, PublicKey] = {}
    for key_id, key in _usable(found, algorithm):
        if key_id in keys:
            raise ValueError(f"has two {algorithm} keys with the same kid {key_id!r}")
        keys[key_id] = key
    if not keys:
        raise ValueError(f"has no key that can verify {algorithm} signatures")
    return KeySet(keys)


def _usable(found: list[Any], algorithm: Algorithm) -> Iterator[tuple[str, PublicKey]]:
    for number, each in enumerate(found):
        if not isinstance(each, dict) or not isinstance(each.get("kty"), str):
            raise ValueError(f"keys[{number}] is not a JSON Web Key")
        if _PRIVATE & each.keys():
            raise ValueError(f"keys[{number}] is a private key; give this program public keys only")
        if each["kty"] != ("RSA" if algorithm == "RS256" else "EC") or each.get("alg", algorithm) != algorithm:
            continue
        if each.get("use", "sig") != "sig" or "verify" not in each.get("key_ops", ("verify",)):
            continue
        if algorithm == "ES256" and each.get("crv") != "P-256":
            continue
        key_id = each.get("kid", "")
        if not isinstance(key_id, str) or len(key_id) > MOST_KEY_ID:
            raise ValueError(f"keys[{number}].kid is not a string of at most {MOST_KEY_ID} characters")
        yield key_id, _public_key(number, each, algorithm)


def _public_key(number: int, found: dict[str, Any], algorithm: Algorithm) -> PublicKey:
    try:
        if algorithm == "ES256":
            return ECKey.import_key({name: found[name] for name in ("kty", "crv", "x", "y")})
        exponent_bits = MOST_RSA_EXPONENT.bit_length() - 1
        # A number that is much too long is not even decoded; each character has 6 bits.
        if len(found["n"]) > RSA_BITS[-1] // 5:
            raise ValueError(f"it has about {len(found['n']) * 6} bits; at most {RSA_BITS[-1]} are allowed")
        if len(found["e"]) > 10:
            raise ValueError(f"its exponent has about {len(found['e']) * 6} bits; at most {exponent_bits} are allowed")
        numbers = RSAKey.binding.import_public_key({"n": found["n"], "e": found["e"]})
        if numbers.key_size not in RSA_BITS:
            raise ValueError(f"it has {numbers.key_size} bits; {RSA_BITS[0]} to {RSA_BITS[-1]} are allowed")
        if (exponent := numbers.public_numbers().e) > MOST_RSA_EXPONENT:
            raise ValueError(f"its exponent has {exponent.bit_length()} bits; at most {exponent_bits} are allowed")
        return RSAKey.import_key({name: found[name] for name in ("kty", "n", "e")})
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"keys[{number}] is not a usable {algorithm} key: {_short(error)}") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or "it is malformed"
