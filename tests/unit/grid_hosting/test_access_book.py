"""The rules about principals and tokens: a token proves its principal, and nothing else changes rights."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from grid_model.access import Grant, Principal, Role
from grid_model.errors import InvalidRequest, PrincipalNotFound, QuotaExceeded, TokenNotFound

from grid_hosting.access import book as books
from grid_hosting.access.book import AccessBook, Deleted, Registered
from grid_hosting.access.failed_attempts import FORGET_AFTER, FREE, LONGEST_DELAY, MOST_ADDRESSES, FailedAttempts
from grid_hosting.access.tokens import ID_LENGTH, PREFIX, digest_of, id_of, make_secret

WORKER = Grant(Role.AGENT, "worker-*")
READER = Grant(Role.OBSERVER, "*")
_numbers = itertools.count()


def secret() -> str:
    """Return a new token."""
    return make_secret(next(_numbers).to_bytes(4, "little") * 8)


def test_a_token_has_256_bits_and_is_recognized_by_its_first_characters() -> None:
    token = make_secret(bytes(range(32)))
    assert token == "tron_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert id_of(token) == token[len(PREFIX) :][:ID_LENGTH]
    with pytest.raises(ValueError, match="32 random bytes"):
        make_secret(bytes(31))


def test_no_id_of_a_token_looks_like_an_option_of_a_command() -> None:
    ids = {id_of(make_secret(bytes([first, *range(31)])))[0] for first in range(256)}
    assert len(ids) == 63
    assert "-" not in ids


def test_only_the_hash_of_a_token_is_kept() -> None:
    book, token = AccessBook(), secret()
    kept = book.create_token(token, "token:ci", now=0)
    assert kept.digest == digest_of(token)
    assert token not in repr(vars(book))
    assert kept.digest not in repr(kept).encode()


def test_a_token_proves_its_principal_until_it_expires() -> None:
    book, token = AccessBook(), secret()
    book.create_token(token, "token:ci", now=100, lifetime=60, grants=[WORKER])
    found = book.of_token(token, 159)
    assert found is not None
    assert (found[1].name, found[1].grants) == ("token:ci", (WORKER,))
    assert found[1].ends_at is not None
    assert found[1].ends_at.timestamp() == 160
    assert book.of_token(token, 160) is None


@pytest.mark.parametrize("change", [lambda token: token[:-1] + "x", lambda token: token[5:], lambda _: "", str.upper])
def test_another_text_proves_nothing(change: object) -> None:
    book, token = AccessBook(), secret()
    book.create_token(token, "token:ci", now=0)
    assert book.of_token(change(token), 0) is None  # type: ignore[operator]


def test_a_disabled_principal_is_refused_by_token_and_by_certificate() -> None:
    book, token = AccessBook(), secret()
    book.create_token(token, "token:ci", now=0)
    for name in ("token:ci", "spiffe:tron/a"):
        book.put(Registered(name, disabled=True))
    assert book.of_token(token, 0) is None
    assert book.of_certificate("spiffe:tron/a") is None


def test_a_certificate_of_an_unknown_principal_has_no_rights() -> None:
    assert AccessBook().of_certificate("spiffe:tron/a") == Principal("spiffe:tron/a")


def test_another_token_of_a_principal_cannot_extend_its_rights() -> None:
    book = AccessBook()
    book.create_token(secret(), "token:ci", now=0, grants=[WORKER])
    assert book.create_token(secret(), "token:ci", now=0, grants=[WORKER]).principal == "token:ci"
    with pytest.raises(InvalidRequest, match="grants: token:ci exists and does not have observer"):
        book.create_token(secret(), "token:ci", now=0, grants=[READER])
    assert book.principals["token:ci"].grants == (WORKER,)
    assert len(book.tokens) == 2


def test_grants_are_added_and_removed_in_one_step() -> None:
    book = AccessBook()
    book.change_grants("spiffe:tron/a", [WORKER, WORKER], [])
    assert book.change_grants("spiffe:tron/a", [READER], [WORKER]).grants == (READER,)
    with pytest.raises(InvalidRequest, match=r"remove: spiffe:tron/a does not have agent worker-\*"):
        book.change_grants("spiffe:tron/a", [], [WORKER])


def test_a_deleted_principal_takes_its_tokens_with_it() -> None:
    book, token = AccessBook(), secret()
    book.create_token(token, "token:ci", now=0)
    book.take_writes()
    assert book.delete("token:ci") == 1
    assert book.of_token(token, 0) is None
    assert set(book.take_writes()) == {Deleted(token_id=id_of(token)), Deleted(principal="token:ci")}
    with pytest.raises(PrincipalNotFound):
        book.delete("token:ci")
    with pytest.raises(TokenNotFound):
        book.revoke(id_of(token))


@pytest.mark.parametrize(
    "name",
    ["", "ci", "token:", ":ci", "user:ci", "token: ci", "token:a\u200bb", "token:a\ufe0f", "token:a\x00",
     "token:a\u3164", "token:" + "x" * 600],
)  # fmt: skip
def test_a_name_that_people_could_mistake_is_refused(name: str) -> None:
    book = AccessBook()
    with pytest.raises(InvalidRequest, match=r"^name: "):
        book.put(Registered(name))
    assert not book.principals


def test_names_groups_and_patterns_are_kept_in_nfc() -> None:
    text = "caf\u0065\u0301"
    found = AccessBook().put(Registered(f"cn:{text}", text, (Grant(Role.AGENT, f"{text}-*"),)))
    assert found == Registered("cn:caf\u00e9", "caf\u00e9", (Grant(Role.AGENT, "caf\u00e9-*"),))
    assert unicodedata.is_normalized("NFC", found.name)


@pytest.mark.parametrize("pattern", ["", "*a", "a*b", "a\u200b", "x" * 600])
def test_a_pattern_that_is_no_pattern_is_refused(pattern: str) -> None:
    book = AccessBook()
    with pytest.raises(InvalidRequest, match=r"^add\.pattern: "):
        book.change_grants("token:ci", [Grant(Role.AGENT, pattern)], [])
    assert not book.principals


@pytest.mark.parametrize("lifetime", [0, 59, -1, 1e9, float("nan"), float("inf")])
def test_a_lifetime_out_of_range_is_refused(lifetime: float) -> None:
    with pytest.raises(InvalidRequest, match=r"^lifetime: "):
        AccessBook().create_token(secret(), "token:ci", now=0, lifetime=lifetime)


def test_a_token_is_only_for_a_principal_of_tokens() -> None:
    with pytest.raises(InvalidRequest, match=r"^principal: "):
        AccessBook().create_token(secret(), "spiffe:tron/a", now=0)


def test_the_number_of_tokens_and_principals_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "MOST_TOKENS_EACH", 2)
    monkeypatch.setattr(books, "MOST_TOKENS", 3)
    monkeypatch.setattr(books, "MOST_PRINCIPALS", 2)
    book = AccessBook()
    for _ in range(2):
        book.create_token(secret(), "token:a", now=0)
    with pytest.raises(QuotaExceeded, match="token:a has 2 tokens"):
        book.create_token(secret(), "token:a", now=0)
    book.create_token(secret(), "token:b", now=0)
    with pytest.raises(QuotaExceeded, match="there are 3 tokens"):
        book.create_token(secret(), "token:b", now=0)
    with pytest.raises(QuotaExceeded, match="there are 2 principals"):
        book.put(Registered("token:c"))


def test_the_revision_rises_with_each_change_and_with_no_other_call() -> None:
    book = AccessBook(revision=7)
    book.put(Registered("token:a"))
    book.take_writes()
    assert book.revision == 8
    book.put(Registered("token:a"))  # as it was
    assert book.take_writes() == []
    assert book.revision == 8


def test_tokens_that_expired_long_ago_are_dropped_with_a_new_one() -> None:
    book = AccessBook()
    book.create_token(secret(), "token:a", now=0, lifetime=60)
    kept = book.create_token(secret(), "token:a", now=100)
    assert len(book.tokens) == 2
    new = book.create_token(secret(), "token:a", now=60 + books.KEPT_AFTER_EXPIRY)
    assert list(book.tokens) == [kept.token_id, new.token_id]


def test_refusals_of_an_address_are_delayed_more_and_more_up_to_a_bound() -> None:
    attempts = FailedAttempts()
    delays = [attempts.failed("a", 0) for _ in range(FREE + 10)]
    assert delays[:FREE] == [0.0] * FREE
    assert delays[FREE:] == sorted(delays[FREE:])
    assert delays[FREE] > 0
    assert delays[-1] == LONGEST_DELAY
    assert attempts.failed("b", 0) == 0.0
    assert attempts.failed("a", FORGET_AFTER + 1) == 0.0
    assert attempts.total == FREE + 12


def test_a_million_addresses_take_bounded_memory() -> None:
    attempts = FailedAttempts()
    for number in range(MOST_ADDRESSES + 5):
        attempts.failed(str(number), 0)
    assert len(attempts) == MOST_ADDRESSES


def test_an_administrator_of_some_ids_is_refused_and_one_that_is_stored_can_be_changed() -> None:
    narrow, book = Grant(Role.ADMIN, "team-*"), AccessBook()
    for change, field in (
        (lambda: book.put(Registered("token:a", grants=(narrow,))), "grants"),
        (lambda: book.change_grants("token:a", [narrow], []), "add"),
        (lambda: book.create_token(secret(), "token:a", now=0, grants=[narrow]), "grants"),
    ):
        with pytest.raises(InvalidRequest, match=f"{field}.pattern: is 'team-\\*'.*use the role operator"):
            change()
    assert book.principals == {}
    old = AccessBook([Registered("token:a", grants=(narrow,))])
    assert old.change_grants("token:a", [WORKER], []).grants == (narrow, WORKER)
    assert old.change_grants("token:a", [], [narrow]).grants == (WORKER,)


def test_a_certificate_is_refused_by_its_serial_number_and_others_of_its_principal_are_not() -> None:
    book = AccessBook([Registered("spiffe:tron/a", grants=(WORKER,))])
    assert book.change_grants("serial:00:AB:12", [], [], disabled=True).name == "serial:ab12"
    assert book.of_certificate("spiffe:tron/a", "ab12") is None
    assert book.of_certificate("cn:other", "ab12") is None
    for other in ("ab13", ""):
        found = book.of_certificate("spiffe:tron/a", other)
        assert found is not None
        assert found.grants == (WORKER,)
    book.change_grants("serial:ab12", [], [], disabled=False)
    assert book.of_certificate("spiffe:tron/a", "ab12") is not None


@pytest.mark.parametrize("name", ["serial:", "serial:xyz", "serial:" + "a" * 41, "serial:12 34"])
def test_what_is_no_serial_number_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"name: .*the serial number in hexadecimal"):
        AccessBook().change_grants(name, [], [], disabled=True)


def test_a_certificate_has_no_grants_of_its_own_and_no_tokens() -> None:
    with pytest.raises(InvalidRequest, match="grant them to its principal"):
        AccessBook().change_grants("serial:12", [WORKER], [])
    with pytest.raises(InvalidRequest, match="only a principal token:NAME can have tokens"):
        AccessBook().create_token(secret(), "serial:12", now=0)


def test_a_principal_is_refused_and_accepted_again_with_its_grants() -> None:
    book = AccessBook([Registered("token:a", "team", (WORKER,))])
    assert book.change_grants("token:a", [], [], disabled=True) == Registered(
        "token:a", "team", (WORKER,), disabled=True
    )
    assert book.change_grants("token:a", [READER], []).disabled
    assert not book.change_grants("token:a", [], [], disabled=False).disabled
