"""Callers with JSON Web Tokens at a registry, and at the servers that ask it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grid.access.v1 import access_pb2, access_service_pb2
from grid.registry.v1 import registry_service_pb2
from grid_model.errors import Draining, QuotaExceeded, TronError, Unauthenticated
from structlog.testing import capture_logs
from tron_client.errors import from_rpc_error

from grid_hosting.access.jwt_issuers import Issuer, Proven
from grid_hosting.access.jwt_key_sources import KEPT_FOR, FileKeys, UrlKeys
from grid_hosting.access.jwt_keys import KeySet, read_keys
from grid_hosting.access.remote import RemoteAuthority
from grid_hosting.credential import MOST_BYTES, Credential
from grid_hosting.issuer_http import IssuerHttp, IssuerUnreachableError
from grid_hosting.start import StartError
from registry_server.io import jwt_verification
from registry_server.io.access import Access
from registry_server.io.jwt_verification import JwtVerification
from tests.support.issuer import URL, claims, ec_key, key_set, settings, sign, token
from tests.support.secured import ADMIN, AGENT, GATEWAY, Secured, bearer, secured

ALICE = f"jwt:{URL}#alice"
PEER = "ipv4:10.0.0.1:1"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The file with the keys of the issuer."""
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(ec_key()))
    return path


@pytest.fixture
def jwts(keys: Path) -> JwtVerification:
    """The issuer, as a registry knows it."""
    return JwtVerification([settings(keys_file=keys)])


@pytest.fixture
async def registry(tmp_path: Path, jwts: JwtVerification) -> AsyncIterator[Secured]:
    """A registry that trusts the issuer."""
    async with secured(tmp_path / "data", jwts) as running:
        yield running


async def who_am_i(registry: Secured, text: str) -> Any:
    """The caller of a call with a token, as the registry knows it. Raises the error of the SDK."""
    try:
        answer = await registry.rights.WhoAmI(access_service_pb2.WhoAmIRequest(), metadata=bearer(text), timeout=10)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    return answer.principal


def watch(registry: Secured, text: str) -> Any:
    """A stream of a caller with a token."""
    return registry.registry.WatchServices(
        registry_service_pb2.WatchServicesRequest(), metadata=bearer(text), timeout=100
    )  # fmt: skip


async def end_of(stream: Any) -> TronError:
    """Why a stream ends."""
    try:
        while await stream.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    raise AssertionError("ended without an error")


async def test_a_token_authenticates_its_subject_with_what_its_claims_grant(registry: Secured) -> None:
    text = token(groups=["operators"])
    found = await who_am_i(registry, text)
    assert (found.name, [each.role for each in found.grants]) == (ALICE, [access_pb2.ROLE_OPERATOR])
    assert found.ends_at.seconds > time.time()
    change = access_service_pb2.ChangeGrantsRequest(
        principal=ALICE, add=[access_pb2.Grant(role=access_pb2.ROLE_AGENT, pattern="a")]
    )
    await registry.rights.ChangeGrants(change, metadata=bearer(ADMIN), timeout=10)
    found = await who_am_i(registry, text)
    assert [each.role for each in found.grants] == [access_pb2.ROLE_OPERATOR, access_pb2.ROLE_AGENT]


async def test_the_largest_token_passes_and_a_larger_one_says_nothing(registry: Secured) -> None:
    room = MOST_BYTES - len(token(filler=""))
    largest = token(filler="x" * (room * 3 // 4 - 4))
    assert MOST_BYTES - 8 < len(largest) <= MOST_BYTES
    assert (await who_am_i(registry, largest)).name == ALICE
    for wrong in ("x." * 5000, f"{largest}{'A' * 30}", token(aud="other"), "a.b.c"):
        with pytest.raises(Unauthenticated) as refused:
            await who_am_i(registry, wrong)
        assert "audience" not in refused.value.message


async def test_two_credentials_are_refused(registry: Secured) -> None:
    for other in (ADMIN, token("bob")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await registry.rights.WhoAmI(
                access_service_pb2.WhoAmIRequest(), metadata=(*bearer(token()), *bearer(other)), timeout=10
            )
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_stream_ends_at_the_end_of_its_token(registry: Secured) -> None:
    # On a machine that is too slow to begin the stream before that, it ends when no new call is served any more.
    stream = watch(registry, token(exp=time.time() + 0.5))
    assert (await end_of(stream)).reason == "ERROR_REASON_CREDENTIAL_EXPIRED"


@pytest.mark.parametrize("by", ["its id", "its principal", "its key"])
async def test_a_stream_ends_once_its_token_is_denied(by: str, registry: Secured, jwts: JwtVerification) -> None:
    text, other = token("alice"), token("bob")
    stream, other_stream = watch(registry, text), watch(registry, other)
    for each in (stream, other_stream):
        await each.read()
    if by == "its id":
        request: Any = access_service_pb2.DenyJwtRequest(issuer=URL, jwt_id="alice-1")
        await registry.rights.DenyJwt(request, metadata=bearer(ADMIN), timeout=10)
    elif by == "its principal":
        request = access_service_pb2.ChangeGrantsRequest(principal=ALICE, disabled=True)
        await registry.rights.ChangeGrants(request, metadata=bearer(ADMIN), timeout=10)
    else:
        before = registry.access.revision
        jwts._replace(URL, read_keys(key_set(ec_key(1)), "ES256"))
        assert registry.access.revision > before  # so other servers drop what they remember
    assert (await end_of(stream)).reason == "ERROR_REASON_CREDENTIAL_EXPIRED"
    with pytest.raises(Unauthenticated):
        await who_am_i(registry, text)
    if by != "its key":
        assert (await who_am_i(registry, other)).name == f"jwt:{URL}#bob"
    other_stream.cancel()


async def test_a_server_that_asks_the_registry_serves_the_same_callers(registry: Secured) -> None:
    channel = grpc.aio.insecure_channel(registry.address)

    class Stub:
        """Sends the token of the gateway."""

        def __getattr__(self, name: str) -> Any:
            method = getattr(registry.rights, name)
            return lambda request, timeout=None: method(request, metadata=bearer(GATEWAY), timeout=timeout)

    remote = RemoteAuthority(channel)
    remote._stub = Stub()  # type: ignore[assignment] # noqa: SLF001 - a channel would have to know the token
    text = token(groups=["workers"])
    found = await remote.identify(Credential(token=text), PEER)
    assert (found.name, found.can_be_carried) == (ALICE, True)
    assert registry.access.find(ALICE) == found  # so the gateway may name it on its stream of heartbeats
    with pytest.raises(Unauthenticated):
        await remote.identify(Credential(token=token(aud="other")), PEER)
    await channel.close()


async def test_many_calls_with_a_token_verify_it_once(jwts: JwtVerification, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = []
    verify = Issuer.verify

    def counted(self: Issuer, *arguments: Any) -> Proven:
        verified.append(threading.current_thread().name)
        return verify(self, *arguments)

    monkeypatch.setattr(Issuer, "verify", counted)
    text = token()
    found = await asyncio.gather(*(jwts.verify(text, "10.0.0.1") for _ in range(50)))
    assert {each.principal for each in found if each} == {ALICE}
    assert len(verified) == 1
    assert verified[0].startswith("jwt")


async def test_a_flood_of_wrong_tokens_is_bounded_and_lets_others_pass(
    jwts: JwtVerification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwt_verification, "MOST_OF_ADDRESS", 5)
    order, go, verify = list[str](), threading.Event(), Issuer.verify

    def slow(self: Issuer, work: Any, key: Any) -> Proven:
        go.wait(10)
        order.append(work.claims["sub"])
        return verify(self, work, key)

    monkeypatch.setattr(Issuer, "verify", slow)
    wrong = [asyncio.create_task(jwts.verify(sign(claims(f"wrong-{n}"), ec_key(1), kid="ec-0"), "a")) for n in range(9)]
    await asyncio.sleep(0)
    right = asyncio.create_task(jwts.verify(token("right"), "b"))
    await asyncio.sleep(0)
    go.set()
    answers = await asyncio.gather(*wrong, return_exceptions=True)
    assert [type(each) for each in answers] == [type(None)] * 5 + [QuotaExceeded] * 4
    assert await right is not None
    assert order.index("right") == 1


async def test_a_token_whose_end_has_come_is_not_kept(tmp_path: Path, keys: Path) -> None:
    now = time.time()
    jwts = JwtVerification([settings(keys_file=keys)], lambda: now)
    access = Access(tmp_path / "data", jwts)
    found = await access.identify(Credential(token=token(exp=now - 30)), PEER)
    assert found.ends_at is not None
    assert found.ends_at.timestamp() == pytest.approx(now + 30, abs=1)
    now += 31
    with pytest.raises(Unauthenticated):
        await access.identify(Credential(token=token(exp=now - 61)), PEER)


async def test_without_issuers_a_jwt_authenticates_nobody(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated):
        await Access(tmp_path).identify(Credential(token=token()), PEER)


# --- where keys come from ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (key_set(ec_key()), 0o664, r"can be changed by users other than its owner \(mode 0664\); run chmod go-w"),
        (key_set(ec_key()), 0o646, "can be changed by users other than its owner"),
        (b"<html>", 0o644, "is not a JSON Web Key Set"),
        (None, 0o644, "No such file"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_stops_the_start(
    content: bytes | None, mode: int, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(StartError, match=rf"\[\[security.jwt\]\] {URL}: keys_file: .*{said}"):
        JwtVerification([settings(keys_file=path)])


def test_a_bundle_of_cas_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    with pytest.raises(StartError, match=r"keys_ca: .*No such file"):
        JwtVerification([settings(keys_url="https://issuer.test/keys", keys_ca=ca)])
    ca.write_text("none")
    with pytest.raises(StartError, match=r"keys_ca: .*no certificate"):
        JwtVerification([settings(keys_url="https://issuer.test/keys", keys_ca=ca)])


def test_a_changed_file_is_used_and_a_broken_one_leaves_the_keys_in_use(keys: Path) -> None:
    found = list[KeySet | None]()
    source = FileKeys(settings(keys_file=keys), keys, lambda _, each: found.append(each))
    source.load()
    keys.write_bytes(b"half of a fi")
    with capture_logs() as logs:
        source.look()
        source.look()
        source.look()
    assert [each["event"] for each in logs] == ["jwt_keys_failed"]
    keys.write_bytes(key_set(ec_key(1)))
    source.look()
    assert len(found) == 1
    source.look()
    assert [list(each.keys) for each in found if each] == [["ec-0"], ["ec-1"]]


class Answers(IssuerHttp):
    """The answers of an issuer to requests for its keys; an error instead of an answer is raised."""

    def __init__(self, *answers: bytes | IssuerUnreachableError) -> None:
        super().__init__(None, "keys_ca")
        self._answers = list(answers)

    async def get(self, url: str, most: int) -> bytes:
        """Return the next answer."""
        answer = self._answers.pop(0)
        if isinstance(answer, IssuerUnreachableError):
            raise answer
        return answer


async def test_keys_count_for_a_day_if_their_url_cannot_be_read() -> None:
    found, now, away = list[KeySet | None](), 0.0, IssuerUnreachableError("https://issuer.test/keys answers 503")
    http = Answers(away, key_set(ec_key()), key_set(ec_key()), b"<html>", away, away, key_set(ec_key(1)))
    issuer = settings(keys_url="https://issuer.test/keys")
    source = UrlKeys(issuer, "https://issuer.test/keys", lambda _, each: found.append(each), lambda: now, http)
    with capture_logs() as logs:
        assert [await source.fetch() for _ in range(4)] == [False, True, True, False]
        assert len(found) == 1
        now = KEPT_FOR
        assert not await source.fetch()
        assert len(found) == 1
        now = KEPT_FOR + 1
        assert not await source.fetch()
        assert await source.fetch()
    assert [each and list(each.keys) for each in found] == [["ec-0"], None, ["ec-1"]]
    events = [each["event"] for each in logs]
    assert events == ["jwt_keys_failed", "jwt_keys_loaded", "jwt_keys_failed", "jwt_keys_expired", "jwt_keys_loaded"]
    await http.close()


async def test_a_caller_whose_issuer_cannot_be_asked_yet_may_try_again(tmp_path: Path) -> None:
    access = Access(tmp_path, JwtVerification([settings(keys_url="https://issuer.test/keys")]))
    with pytest.raises(Draining):
        await access.identify(Credential(token=token()), PEER)
    with pytest.raises(Unauthenticated):
        await access.identify(Credential(token=token(aud="other")), PEER)
    with pytest.raises(Unauthenticated):
        await access.identify(Credential(token=AGENT), PEER)
