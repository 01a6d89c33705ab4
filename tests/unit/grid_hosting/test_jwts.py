"""JSON Web Tokens: only what a configured issuer has signed authenticates, and only the table of claims grants."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from grid_model.access import Grant, Role
from grid_model.errors import InvalidRequest, QuotaExceeded, TokenNotFound
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey
from pydantic import ValidationError

from grid_hosting.access import denied_jwts
from grid_hosting.access.book import AccessBook, Registered
from grid_hosting.access.denied_jwts import DeniedJwt
from grid_hosting.access.jwt_form import MOST_BYTES, InvalidJwtError, is_jwt
from grid_hosting.access.jwt_issuers import SKEW, Proven, parse_claim, parse_rule
from grid_hosting.access.jwt_keys import MOST_KEYS, read_keys
from grid_hosting.access.tokens import make_secret
from grid_hosting.access.verified_jwts import KeysMissingError, VerifiedJwts
from tests.support import issuer
from tests.support.issuer import AUDIENCE, URL, claims, ec_key, encoded, key_set, rsa_key, settings, sign, token


def known(*keys: Any, algorithm: str = "ES256", **more: Any) -> VerifiedJwts:
    """The issuer of the tests, with these keys."""
    found = VerifiedJwts([settings(algorithm, **more).description()])
    found.replace_keys(URL, read_keys(key_set(*(keys or (ec_key(),))), algorithm))  # type: ignore[arg-type]
    return found


def verify(jwts: VerifiedJwts, text: str, now: float | None = None) -> Proven:
    """What a token proves. Raises InvalidJwtError."""
    proven = jwts.prepare(text, now or time.time()).verify()
    jwts.keep(text, proven)
    return proven


def test_a_token_of_the_issuer_proves_its_principal_and_what_the_table_grants_for_its_claims() -> None:
    proven = verify(known(group_claim="team"), token("alice", groups=["readers", "others"], team="blue"))
    assert (proven.principal, proven.group, proven.jwt_id) == (f"jwt:{URL}#alice", "blue", "alice-1")
    assert proven.grants == (Grant(Role.OBSERVER, "*"),)


def test_each_algorithm_verifies_only_its_own_tokens() -> None:
    rsa = known(rsa_key(), algorithm="RS256")
    assert verify(rsa, token(key=rsa_key())).principal == f"jwt:{URL}#alice"
    for jwts, text in ((rsa, token()), (known(), token(key=rsa_key()))):
        with pytest.raises(InvalidJwtError, match="signed with"):
            verify(jwts, text)


def hmac_of_public_key() -> str:
    """A token that is signed with the public key of the issuer as a secret, as a careless verification accepts it."""
    content = f"{encoded({'alg': 'HS256', 'kid': 'ec-0'})}.{encoded(claims())}"
    digest = hmac.new(ec_key().as_pem(private=False), content.encode(), hashlib.sha256).digest()
    return f"{content}.{encoded(digest)}"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([URL, AUDIENCE]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=5,
)


def at(offset: float = 0.0) -> int:
    """Return the time `offset` seconds from now. Tests read it, because the module may be imported long before."""
    return int(time.time() + offset)


TWO_ALGORITHMS = b'{"alg": "none", "alg": "ES256"}'
BAD_TOKENS: dict[str, Callable[[], str]] = {
    "none": lambda: f"{encoded({'alg': 'none'})}.{encoded(claims())}.",
    "none with a signature": lambda: f"{encoded({'alg': 'none'})}.{encoded(claims())}.{token().rpartition('.')[2]}",
    "the public key as a secret": hmac_of_public_key,
    "another key under the same id": lambda: sign(claims(), ec_key(1), kid="ec-0"),
    "an unknown key": lambda: token(key=ec_key(1)),
    "a path as the id of a key": lambda: sign(claims(), kid="../../../dev/null"),
    "a key of its own": lambda: sign(claims(), ec_key(1), jwk=ec_key(1).as_dict(private=False), kid="ec-1"),
    "the address of a key": lambda: sign(claims(), ec_key(1), jku="https://attacker.test/keys", kid="ec-0"),
    "a certificate of its own": lambda: sign(claims(), ec_key(1), x5u="https://attacker.test/cert", kid="ec-0"),
    "critical parameters": lambda: f"{encoded({'alg': 'ES256', 'crit': ['exp']})}.{encoded(claims())}.AAAA",
    "unencoded content": lambda: f"{encoded({'alg': 'ES256', 'b64': False, 'crit': ['b64']})}.{{}}.AAAA",
    "a token inside": lambda: sign(token().encode(), cty="JWT"),
    "a token inside, unmarked": lambda: sign(token().encode()),
    "a logout token": lambda: sign(claims(), typ="logout+jwt"),
    "a type that is no text": lambda: sign(claims(), typ=None) and f"{encoded({'alg': 'ES256', 'typ': 1})}.e30.AAAA",
    "another issuer": lambda: sign(claims(iss="https://other.test")),
    "an issuer with a slash too many": lambda: sign(claims(iss=f"{URL}/")),
    "no issuer": lambda: sign(claims(iss=None)),
    "a list of issuers": lambda: sign(claims(iss=[URL])),
    "another audience": lambda: sign(claims(aud="other")),
    "a list of other audiences": lambda: sign(claims(aud=["other", "tron2"])),
    "an audience that is no text": lambda: sign(claims(aud=[AUDIENCE, 1])),
    "no audience": lambda: sign(claims(aud=None)),
    "an empty list of audiences": lambda: sign(claims(aud=[])),
    "no end": lambda: sign(claims(exp=None)),
    "expired": lambda: sign(claims(exp=at(-SKEW - 1))),
    "an end that is a text": lambda: sign(claims(exp=str(at(600)))),
    "an end that is true": lambda: sign(claims(exp=True)),
    "an end that is no number": lambda: sign(json.dumps(claims(exp="X")).replace('"X"', "NaN").encode()),
    "an end that is infinite": lambda: sign(json.dumps(claims(exp="X")).replace('"X"', "1e999").encode()),
    "an end beyond all calendars": lambda: sign(claims(exp=10**30)),
    "not yet valid": lambda: sign(claims(nbf=at(SKEW + 60))),
    "issued in the future": lambda: sign(claims(iat=at(SKEW + 60))),
    "no subject": lambda: sign(claims(sub=None)),
    "an empty subject": lambda: sign(claims(sub="")),
    "a subject that is a number": lambda: sign(claims(sub=1)),
    "a subject that cannot be seen": lambda: sign(claims("ali\u200bce")),
    "a subject in another form": lambda: sign(claims("a\u0308")),
    "a subject with a space at its end": lambda: sign(claims("alice ")),
    "half of a character": lambda: sign(claims("\ud800")),
    "a subject that is too long": lambda: sign(claims("a" * 600)),
    "an id that is a number": lambda: sign(claims(jti=1)),
    "an id that is too long": lambda: sign(claims(jti="a" * 300)),
    "a claim twice": lambda: sign(json.dumps(claims()).replace('"sub"', '"sub": "root", "sub"').encode()),
    "a claim twice, inside": lambda: sign(json.dumps(claims(a="X")).replace('"X"', '{"b": 1, "b": 2}').encode()),
    "an algorithm twice": lambda: f"{encoded(TWO_ALGORITHMS)}.{encoded(claims())}.AAAA",
    "a list": lambda: sign(b"[]"),
    "no JSON": lambda: sign(b"hello"),
    "nested deeply": lambda: sign(b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}"),
    "a number of many digits": lambda: sign(b'{"exp":' + b"9" * 5000 + b"}"),
    "UTF-16": lambda: sign(json.dumps(claims()).encode("utf-16")),
    "five parts": lambda: f"{token()}.AAAA.AAAA",
    "two parts": lambda: token().rpartition(".")[0],
    "padded": lambda: f"{token()}=",
    "an empty signature": lambda: token().rpartition(".")[0] + ".",
    "a signature that is cut": lambda: token()[:-4],
    "other claims under a signature": lambda: ".".join(
        (token().split(".")[0], encoded(claims("root")), token().split(".")[2])
    ),
    "a byte too large": lambda: sign(claims(filler="x" * 6000))[:200] + "x" * (MOST_BYTES - 199),
    "dots": lambda: "..",
    "nothing": lambda: "",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_token_that_is_not_as_it_must_be_proves_nothing(name: str) -> None:
    jwts = known()
    with pytest.raises(InvalidJwtError):
        verify(jwts, BAD_TOKENS[name]())
    assert len(jwts) == 0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(lambda: sign(claims(aud=["other", AUDIENCE])), id="one of several audiences"),
        pytest.param(lambda: sign(claims(exp=at(-SKEW + 30))), id="ended within the skew"),
        pytest.param(lambda: sign(claims(nbf=at(SKEW - 30), iat=at(SKEW - 30))), id="begins within the skew"),
        pytest.param(lambda: sign(claims(), typ=None), id="no type"),
        pytest.param(lambda: sign(claims(), typ="at+jwt"), id="an access token"),
        pytest.param(lambda: sign(claims(), kid=None), id="no key named, and there is one"),
        pytest.param(lambda: sign(claims(jti=None, iat=None)), id="only what is required"),
        pytest.param(lambda: sign(claims(), jku="https://attacker.test/keys"), id="the address of a key is ignored"),
        pytest.param(lambda: sign(claims(), x5u="https://attacker.test/cert"), id="that of a certificate too"),
        pytest.param(lambda: sign(claims(filler="x" * 5500)), id="large"),
    ],
)
def test_a_token_with_an_unusual_form_is_valid(text: Any) -> None:
    found = text()
    assert len(found) <= MOST_BYTES
    assert verify(known(), found).principal == f"jwt:{URL}#alice"


def changed(text: str) -> st.SearchStrategy[str]:
    """A text with some characters replaced, cut out or added."""
    edits = st.tuples(st.integers(0, len(text)), st.integers(0, 40), st.text("AZaz09-_.=+{}\u00e9\x00", max_size=4))

    def apply(found: list[tuple[int, int, str]]) -> str:
        new = text
        for start, length, more in found:
            new = new[:start] + more + new[start + length :]
        return new

    return st.lists(edits, min_size=1, max_size=4).map(apply)


UNCHANGED = token("fuzzed", lifetime=86_400)
FUZZED = known()


@given(
    st.one_of(changed(UNCHANGED), st.text(max_size=60), st.binary(max_size=200).map(lambda b: f"{encoded(b)}.e30.A"))
)
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_changed_token_is_valid_and_none_raises_another_error(text: str) -> None:
    if text == UNCHANGED:
        return
    with pytest.raises(InvalidJwtError):
        verify(FUZZED, text)


@given(st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "groups"]), JSON_VALUES))
@hypothesis_settings(max_examples=300, deadline=None)
def test_signed_claims_of_any_type_raise_no_other_error(found: dict[str, Any]) -> None:
    text = sign(json.dumps({**claims("fuzzed"), **found}).encode())
    with suppress(InvalidJwtError):
        assert verify(FUZZED, text).principal.startswith(f"jwt:{URL}#")


@given(changed(key_set(ec_key()).decode()))
@hypothesis_settings(max_examples=200, deadline=None)
def test_no_changed_key_set_raises_another_error(text: str) -> None:
    with suppress(ValueError):
        read_keys(text.encode(), "ES256")


def test_a_token_that_names_no_key_is_refused_if_there_are_several() -> None:
    with pytest.raises(InvalidJwtError, match="does not publish"):
        verify(known(ec_key(), ec_key(1)), sign(claims(), kid=None))


# --- what claims grant ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"groups": ["admin", "judge", "relay", "operator *", "*"]},
        {"groups": "operators2"},
        {"groups": {"operators": True}},
        {"groups": [["operators"]]},
        {"groups": True},
        {"group": ["operators"]},
        {"Groups": ["operators"]},
        {"roles": ["admin"], "grants": [["ADMIN", "*"]], "scope": "admin *", "principal": "token:admin"},
        {"groups": None},
    ],
)
def test_claims_that_the_table_does_not_have_grant_nothing(more: dict[str, Any]) -> None:
    proven = verify(known(), sign(claims(**more)))
    assert proven.grants == ()


def test_a_claim_inside_of_another_is_named_by_a_pointer() -> None:
    rules = {"/kubernetes.io/namespace=jobs": ["agent worker-*"], "https://example/team=blue": ["observer *"]}
    jwts = known(roles=rules, group_claim="/kubernetes.io/namespace")
    found: dict[str, Any] = {"kubernetes.io": {"namespace": "jobs"}, "https://example/team": "blue"}
    proven = verify(jwts, sign(claims("system:serviceaccount:jobs:worker", **found)))
    assert proven.principal == f"jwt:{URL}#system:serviceaccount:jobs:worker"
    assert (proven.group, list(map(str, proven.grants))) == ("jobs", ["agent worker-*", "observer *"])
    assert parse_claim("/a~1b/c~0d").path == ("a/b", "c~d")


@pytest.mark.parametrize("team", [["a", "b"], "te\u200bam", "x" * 201, "programs"])
def test_a_group_that_is_not_one_name_and_that_of_the_programs_are_refused(team: Any) -> None:
    with pytest.raises(InvalidJwtError, match="group"):
        verify(known(group_claim="team"), sign(claims(team=team)))


@pytest.mark.parametrize(
    ("condition", "grants", "said"),
    [
        ("groups", ["admin *"], "is not CLAIM=VALUE"),
        ("groups=", ["admin *"], "is not CLAIM=VALUE"),
        ("=a", ["admin *"], "is not the name of a claim"),
        ("/a//b=c", ["admin *"], "is not the name of a claim"),
        ("/a~2=c", ["admin *"], "not a JSON Pointer"),
        ("groups=a", [], "has no grants"),
        ("groups=a", ["admin"], "is not ROLE PATTERN"),
        ("groups=a", ["boss *"], "is not ROLE PATTERN"),
        ("groups=a", ["agent a*b"], "a . only at its end"),
    ],
)
def test_a_wrong_row_of_the_table_is_explained(condition: str, grants: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_rule(condition, grants)


# --- keys -------------------------------------------------------------------------------------------------------------


def test_keys_for_other_purposes_are_left_out() -> None:
    others = json.loads(key_set(rsa_key(), ec_key(1, "P-384")))["keys"]
    others += json.loads(key_set(ec_key(2), use="enc"))["keys"] + [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}]
    document = {"keys": [*others, *json.loads(key_set(ec_key()))["keys"]]}
    assert list(read_keys(json.dumps(document).encode(), "ES256").keys) == ["ec-0"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a JSON Web Key Set"),
        (b"<html>", "is not a JSON Web Key Set"),
        (b"\xff", "is not a JSON Web Key Set"),
        (b"[]", "is not an object"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "has no list"),
        (b'{"keys": {}}', "has no list"),
        (b'{"keys": [1]}', r"keys\[0\] is not a JSON Web Key"),
        (b'{"keys": [], "keys": []}', "the same name twice"),
        (b'{"keys": []}', "has no key that can verify ES256 signatures"),
        (json.dumps({"keys": [{"kty": "EC"}] * 1000}).encode(), f"has 1000 keys; at most {MOST_KEYS}"),
        (b'{"keys": [' + b" " * 300_000 + b"]}", "is larger than 256 KB"),
        (
            b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}]}',
            r"keys\[0\] is not a usable ES256 key",
        ),
        (b'{"keys": [{"kty": "EC", "crv": "P-256"}]}', r"keys\[0\] is not a usable ES256 key"),
        (b'{"keys": [{"kty": "EC", "crv": "P-256", "kid": 1}]}', r"keys\[0\].kid is not a string of at most 256"),
        (json.dumps({"keys": [ec_key().as_dict(private=True)]}).encode(), "is a private key"),
        (key_set(ec_key(), ec_key(), kid="same"), "two ES256 keys with the same kid"),
    ],
)
def test_a_key_set_that_cannot_be_used_is_explained(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_keys(content, "ES256")


def test_rsa_keys_that_are_weak_or_slow_are_refused() -> None:
    with pytest.warns(match="2048"):
        weak = RSAKey.generate_key(1024, {"kid": "weak"})
    good = rsa_key().as_dict(private=False)
    for key, said in (
        (weak.as_dict(private=False), "it has 1024 bits; 2048 to 4096 are allowed"),
        ({**good, "n": "A" * 2000}, "it has about 12000 bits; at most 4096 are allowed"),
        ({**good, "e": "A" * 300}, "its exponent has about 1800 bits; at most 32 are allowed"),
        (
            {**good, "e": encoded(((1 << 32) + 1).to_bytes(5, "big"))},
            "its exponent has 33 bits; at most 32 are allowed",
        ),
    ):
        with pytest.raises(ValueError, match=f"not a usable RS256 key: {said}"):
            read_keys(json.dumps({"keys": [key]}).encode(), "RS256")


def test_keys_that_are_not_known_refute_no_token() -> None:
    jwts = VerifiedJwts([settings().description()])
    with pytest.raises(KeysMissingError):
        jwts.prepare(token(), time.time())
    with pytest.raises(InvalidJwtError):
        jwts.prepare(sign(claims(iss="https://other.test")), time.time())


def test_a_rotation_keeps_the_tokens_of_keys_that_are_still_published() -> None:
    jwts, now = known(ec_key(0), ec_key(1)), time.time()
    old, new = token(), token("bob", key=ec_key(1))
    for text in (old, new):
        verify(jwts, text)
    assert not jwts.replace_keys(URL, read_keys(key_set(ec_key(0), ec_key(1), ec_key(2)), "ES256"))
    assert jwts.generation == 0
    assert jwts.replace_keys(URL, read_keys(key_set(ec_key(1), ec_key(2)), "ES256"))
    assert (jwts.known(old, now), jwts.generation) == (None, 1)
    assert jwts.known(new, now) is not None
    with pytest.raises(InvalidJwtError, match="does not publish"):
        verify(jwts, old)
    assert verify(jwts, token("carol", key=ec_key(2))).principal.endswith("#carol")
    assert jwts.replace_keys(URL, None)
    assert len(jwts) == 0


def test_a_token_whose_key_is_withdrawn_while_it_is_verified_is_not_kept() -> None:
    jwts = known()
    work = jwts.prepare(token(), time.time())
    jwts.replace_keys(URL, read_keys(key_set(ec_key(1)), "ES256"))
    with pytest.raises(InvalidJwtError, match="no longer"):
        jwts.keep(work.token.text, work.verify())


# --- verified tokens --------------------------------------------------------------------------------------------------


def test_a_verified_token_is_known_until_its_end_and_a_call_a_little_longer() -> None:
    jwts, text, now = known(), token(lifetime=600), time.time()
    proven = verify(jwts, text)
    assert jwts.known(text, now) == proven == jwts.of_principal(proven.principal, now)
    assert proven.end(proven.ends_at - 1) == proven.ends_at
    assert proven.end(proven.ends_at) == proven.ends_at + SKEW
    assert jwts.known(text, proven.ends_at + SKEW - 1) == proven
    assert jwts.of_principal(proven.principal, proven.ends_at + SKEW) is None
    assert jwts.known(text, proven.ends_at + SKEW) is None
    assert len(jwts) == 0


def test_the_verified_tokens_are_bounded_and_the_newest_of_a_principal_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid_hosting.access.verified_jwts.MOST_KEPT", 2)
    jwts, now = known(), time.time()
    first, second, third = (token("alice", lifetime=600 + number, jti=str(number)) for number in (1, 2, 3))
    for text in (first, third, second):
        verify(jwts, text)
    assert len(jwts) == 2
    assert jwts.known(first, now) is None
    newest = jwts.of_principal(f"jwt:{URL}#alice", now)
    assert newest is not None
    assert newest.jwt_id == "3"


def test_no_token_is_in_the_text_of_anything() -> None:
    jwts, text = known(), token()
    work = jwts.prepare(text, time.time())
    assert text not in repr(work)
    assert text not in repr(work.verify())


def test_a_token_of_this_system_is_never_read_as_a_jwt() -> None:
    assert not is_jwt(make_secret(bytes(range(32))))
    assert is_jwt(token())


# --- the book ---------------------------------------------------------------------------------------------------------

ALICE = f"jwt:{URL}#alice"


def test_the_grants_of_claims_and_of_the_book_are_combined() -> None:
    proven, book, now = verify(known(group_claim="team"), token(team="blue")), AccessBook(), time.time()
    found = book.of_jwt(proven, now)
    assert found is not None
    assert (found.name, found.owner, found.grants) == (ALICE, "group:blue", (Grant(Role.OBSERVER, "*"),))
    assert found.ends_at is not None
    assert found.ends_at.timestamp() == proven.ends_at
    book.put(Registered(ALICE, "red", (Grant(Role.AGENT, "a"), Grant(Role.OBSERVER, "*"))))
    found = book.of_jwt(proven, now)
    assert found is not None
    assert (found.owner, list(map(str, found.grants))) == ("group:red", ["observer *", "agent a"])
    book.change_grants(ALICE, [], [], disabled=True)
    assert book.of_jwt(proven, now) is None
    book.change_grants(ALICE, [], [], disabled=False)
    assert book.of_jwt(proven, now) is not None
    assert book.of_jwt(proven, proven.ends_at + SKEW) is None


def test_a_denied_token_is_refused_until_it_is_allowed() -> None:
    proven, book, now = verify(known(), token()), AccessBook(), time.time()
    other = dataclasses.replace(proven, jwt_id="")
    book.deny(DeniedJwt(URL, "alice-1", now, now + 60), now)
    assert book.of_jwt(proven, now) is None
    assert book.of_jwt(other, now) is not None
    assert book.copy().of_jwt(proven, now) is None
    book.allow(URL, "alice-1")
    assert book.of_jwt(proven, now) is not None
    with pytest.raises(TokenNotFound):
        book.allow(URL, "alice-1")


def test_denied_tokens_are_bounded_and_forgotten_after_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid_hosting.access.book.MOST_DENIED", 2)
    book = AccessBook()
    book.deny(DeniedJwt(URL, "1", 0, 100.0), 0)
    book.deny(DeniedJwt(URL, "2", 0, None), 0)
    book.deny(DeniedJwt(URL, "2", 0, None, "again"), 0)
    with pytest.raises(QuotaExceeded):
        book.deny(DeniedJwt(URL, "3", 0), 200)
    book.deny(DeniedJwt(URL, "3", 0), 100 + 3601)
    assert sorted(each for _, each in book.denied) == ["2", "3"]
    for wrong in (
        DeniedJwt("", "1"),
        DeniedJwt(URL, ""),
        DeniedJwt(URL, "a\n"),
        DeniedJwt(URL, "1", 0, None, "x" * 600),
    ):
        with pytest.raises(InvalidRequest):
            book.deny(wrong, 0)
    assert denied_jwts.MOST_DENIED == 10_000


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"keys_file": None}, "set either keys_file or keys_url"),
        ({"keys_file": "a", "keys_url": "https://a/b"}, "set either keys_file or keys_url"),
        ({"keys_url": "http://issuer.test/keys"}, "is not a valid https URL"),
        ({"keys_url": "file:///etc/passwd"}, "is not a valid https URL"),
        ({"keys_url": "https://"}, "is not a valid https URL"),
        ({"keys_file": "a", "keys_ca": "b"}, "only with keys_url"),
        ({"keys_file": "a", "algorithm": "HS256"}, "RS256"),
        ({"keys_file": "a", "algorithm": "none"}, "RS256"),
        ({"keys_file": "a", "issuer": "http://issuer.test"}, "is not the URL of an issuer"),
        ({"keys_file": "a", "issuer": "https://issuer.test#a"}, "is not the URL of an issuer"),
        ({"keys_file": "a", "audience": ""}, "audience"),
        ({"keys_file": "a", "roles": {"groups=a": ["boss *"]}}, "is not ROLE PATTERN"),
        ({"keys_file": "a", "group_claim": ""}, "is not the name of a claim"),
        ({"keys_file": "a", "key": "b"}, "key"),
    ],
)
def test_wrong_settings_are_explained(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        issuer.settings(**more)


def test_the_keys_of_a_file_are_named(tmp_path: Path) -> None:
    assert settings(keys_file=tmp_path / "keys.json").keys_file == tmp_path / "keys.json"
