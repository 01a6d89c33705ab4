"""A program that keeps no principals knows its callers from the registry, and learns of each change at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grid.access.v1 import access_service_pb2, access_service_pb2_grpc
from grid_model import access_codec
from grid_model.access import Grant, Principal, Role
from grid_model.errors import Draining, PrincipalNotFound, QuotaExceeded, Unauthenticated

from grid_hosting.access import answers as answers_module
from grid_hosting.access.answers import GRACE, QUIET, UNWATCHED, Answer, Answers
from grid_hosting.access.remote import ANSWER_WITHIN, MOST_PEER, RemoteAuthority
from grid_hosting.credential import Credential
from grid_hosting.grpc_server import build_server
from grid_hosting.watermark import Watermark

READER = Principal("token:reader", (Grant(Role.OBSERVER, "*"),))
OTHER = replace(READER, name="token:other")
TOKEN = Credential(token="reader")
WALL = datetime(2030, 1, 1, tzinfo=UTC)


def kept(at: float = 0.0, *, revision: int | None = None, principal: Principal = READER) -> Answers:
    """Answers with one about TOKEN."""
    answers = Answers()
    if revision is not None:
        answers.heard(revision, at)
    answers.keep(TOKEN, Answer(principal, at, answers.epoch))
    return answers


def test_an_answer_counts_while_the_watch_is_open() -> None:
    answers = kept(0.0, revision=7)
    for second in range(1, 1000):
        assert not answers.heard(7, float(second))
        assert answers.current(TOKEN, second + QUIET, WALL) == READER
    assert answers.current(TOKEN, 999 + QUIET + 0.1, WALL) is None, "a silent watch does not count as open"


@pytest.mark.parametrize("revision", [8, 6, 0])
def test_every_other_revision_drops_all_answers(revision: int) -> None:
    answers = kept(0.0, revision=7)
    assert answers.heard(revision, 1.0)
    assert answers.current(TOKEN, 1.0, WALL) is None
    assert answers.known(TOKEN, 1.0, WALL) is None
    assert len(answers) == 0


def test_the_first_message_of_a_watch_drops_all_answers() -> None:
    answers = kept(0.0, revision=7)
    answers.lost()
    assert answers.heard(7, 1.0)
    assert len(answers) == 0


def test_an_answer_that_was_asked_before_a_change_is_not_kept() -> None:
    answers = kept(0.0, revision=7)
    epoch = answers.epoch
    answers.heard(8, 1.0)
    answers.keep(TOKEN, Answer(READER, 0.5, epoch))
    assert len(answers) == 0


def test_without_a_watch_an_answer_counts_for_a_second() -> None:
    answers = kept(0.0)
    assert answers.current(TOKEN, UNWATCHED, WALL) == READER
    assert answers.current(TOKEN, UNWATCHED + 0.01, WALL) is None


def test_while_the_registry_is_away_known_callers_go_on_for_a_while_after_its_last_word() -> None:
    answers = kept(0.0, revision=7)
    answers.heard(7, 100.0)
    answers.lost()
    assert answers.known(TOKEN, 100.0 + GRACE, WALL) == READER
    assert answers.known(TOKEN, 100.0 + GRACE + 0.1, WALL) is None
    assert answers.known(Credential(token="new"), 100.0, WALL) is None


def test_no_answer_outlives_its_credential() -> None:
    ends = WALL + timedelta(minutes=1)
    answers = kept(0.0, revision=7, principal=replace(READER, ends_at=ends))
    assert answers.current(TOKEN, 1.0, WALL) is not None
    assert answers.current(TOKEN, 1.0, ends) is None
    assert answers.known(TOKEN, 1.0, WALL) is None, "it is dropped"


def test_the_answers_are_bounded_and_the_least_used_one_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "MOST_KEPT", 3)
    answers = kept(0.0, revision=7)
    for number in range(5):
        answers.keep(Credential(token=f"t{number}"), Answer(READER, 0.0, answers.epoch))
        assert answers.current(TOKEN, 0.0, WALL) == READER
    assert len(answers) == 3


@dataclass
class Registry:
    """An AccessService whose answers a test decides."""

    callers: dict[str, Principal] = field(default_factory=lambda: {"reader": READER})
    revision: int = 1
    asked: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    serials: list[str] = field(default_factory=list)
    asking: Watermark = field(default_factory=Watermark)
    changed: Watermark = field(default_factory=Watermark)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    fails: Exception | None = None
    watches_fail: Exception | None = None
    watches: int = 0
    hung: bool = False
    every: float = 1.0
    """Seconds between two messages of a watch."""

    def __post_init__(self) -> None:
        self.gate.set()

    async def Identify(self, request: Any, context: Any) -> access_service_pb2.IdentifyResponse:
        """Answer by the token or name."""
        which = request.WhichOneof("credential") or "certificate_serial"
        self.asked.append(getattr(request, which))
        self.peers.append(request.peer)
        self.serials.append(request.certificate_serial)
        self.asking.step()
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        found = self.callers.get(getattr(request, which))
        if found is None:
            raise PrincipalNotFound("the credential is not valid")
        return access_service_pb2.IdentifyResponse(principal=access_codec.encode_principal(found))

    async def WatchAccess(self, request: Any, context: Any) -> AsyncIterator[access_service_pb2.WatchAccessResponse]:
        """Follow the revision."""
        self.watches += 1
        self.asking.step()
        for failure in (self.fails, self.watches_fail):
            if failure is not None:
                raise failure
        while True:
            if self.hung:
                await asyncio.Event().wait()
            seen = self.changed.value
            yield access_service_pb2.WatchAccessResponse(revision=self.revision)
            await self.changed.beyond(seen, self.every)

    def change(self, token: str, principal: Principal | None, revision: int) -> None:
        """Replace or revoke a credential."""
        self.callers.pop(token, None)
        if principal is not None:
            self.callers[token] = principal
        self.revision = revision
        self.changed.step()


@dataclass
class Running:
    """A registry, and an authority that asks it."""

    registry: Registry
    authority: RemoteAuthority
    server: grpc.aio.Server
    task: asyncio.Task[None]

    async def watched(self) -> None:
        """Wait until the authority follows the registry."""
        assert await self.authority.revisions.until(lambda: self.authority.revisions.value > 0, 10)

    async def moved(self, seen: int) -> None:
        """Wait until the authority heard of a change."""
        assert await self.authority.revisions.until(lambda: self.authority.revisions.value > seen, 10)


@asynccontextmanager
async def running(
    registry: Registry | None = None, *, follow: bool = True, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[Running]:
    """A registry on a port, and an authority; `follow`: whether it watches."""
    registry = registry or Registry()
    service: Any = type("Service", (access_service_pb2_grpc.AccessServiceServicer,), {})()
    service.Identify, service.WatchAccess = registry.Identify, registry.WatchAccess
    bound = build_server(
        "127.0.0.1:0",
        register=lambda server: access_service_pb2_grpc.add_AccessServiceServicer_to_server(service, server),
        services=(),
        max_message_bytes=1 << 16,
    )
    await bound.server.start()
    async with grpc.aio.insecure_channel(bound.address) as channel:
        authority = RemoteAuthority(channel, clock)
        task = asyncio.create_task(authority.run() if follow else asyncio.sleep(0))
        try:
            yield Running(registry, authority, bound.server, task)
        finally:
            task.cancel()
            await asyncio.wait({task})
            await bound.server.stop(None)


async def test_a_known_caller_costs_no_call_and_a_revoked_one_is_refused_at_once() -> None:
    async with running() as system:
        await system.watched()
        for _ in range(3):
            assert await system.authority.identify(TOKEN, "ipv4:10.0.0.1:5") == READER
        assert system.registry.asked == ["reader"]
        seen = system.authority.revisions.value
        system.registry.change("reader", None, 0)  # a backup was restored: the number is lower
        await system.moved(seen)
        with pytest.raises(Unauthenticated):
            await system.authority.identify(TOKEN, "")


async def test_callers_with_the_same_credential_share_one_question() -> None:
    async with running(follow=False) as system:
        system.registry.gate.clear()
        calls = [asyncio.create_task(system.authority.identify(TOKEN, "")) for _ in range(20)]
        assert await system.registry.asking.until(lambda: bool(system.registry.asked), 10)
        calls[0].cancel()
        system.registry.gate.set()
        assert await asyncio.gather(*calls[1:]) == [READER] * 19
        assert calls[0].cancelled()
        assert system.registry.asked == ["reader"]


async def test_an_answer_that_a_change_overtook_is_asked_again() -> None:
    async with running() as system:
        await system.watched()
        system.registry.gate.clear()
        call = asyncio.create_task(system.authority.identify(TOKEN, ""))
        assert await system.registry.asking.until(lambda: bool(system.registry.asked), 10)
        seen = system.authority.revisions.value
        system.registry.change("reader", OTHER, 2)
        await system.moved(seen)
        system.registry.gate.set()
        assert await call == OTHER
        assert system.registry.asked == ["reader"] * 2


async def test_while_the_registry_is_away_known_callers_go_on_and_others_are_not_refused_for_good() -> None:
    async with running() as system:
        await system.watched()
        await system.authority.identify(TOKEN, "")
        await system.server.stop(None)
        assert await system.authority.identify(TOKEN, "") == READER
        with pytest.raises(Draining):
            await system.authority.identify(Credential(token="new"), "")
        assert await system.authority.identify(TOKEN, "") == READER


async def test_known_callers_do_not_wait_for_a_registry_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid_hosting.access.remote.QUIET", 0.5)
    monkeypatch.setattr("grid_hosting.access.answers.QUIET", 0.5)
    monkeypatch.setattr("grid_hosting.access.answers.UNWATCHED", 0.0)
    async with running(Registry(every=0.01)) as system:
        await system.watched()
        await system.authority.identify(TOKEN, "")
        registry = system.registry
        registry.hung = True
        registry.gate.clear()
        assert await registry.asking.until(lambda: registry.watches > 1, 10)
        async with asyncio.timeout(ANSWER_WITHIN / 2):
            assert await system.authority.identify(TOKEN, "") == READER
        assert registry.asked == ["reader"]
        registry.gate.set()


async def test_a_registry_that_refuses_this_program_is_no_reason_to_refuse_its_callers() -> None:
    async with running(Registry(fails=Unauthenticated()), follow=False) as system:
        with pytest.raises(Draining):
            await system.authority.identify(TOKEN, "")


async def test_a_principal_that_needs_no_credential_is_found_by_its_name() -> None:
    async with running() as system:
        system.registry.callers["token:legacy"] = OTHER
        assert await system.authority.find("token:legacy") == OTHER
        with pytest.raises(Unauthenticated):
            await system.authority.find("token:none")


async def test_a_silent_watch_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid_hosting.access.remote.QUIET", 0.05)
    async with running() as system:
        await system.watched()
        seen = system.authority.revisions.value
        await system.moved(seen)  # the next watch begins anew
        assert await system.authority.identify(TOKEN, "") == READER


async def test_a_flood_of_credentials_is_bounded_and_known_callers_do_not_notice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("grid_hosting.access.remote.MOST_ASKED", 3)
    async with running() as system:
        await system.watched()
        await system.authority.identify(TOKEN, "")
        system.registry.gate.clear()
        peer = "ipv4:10.0.0.1:1"
        wrong = [Credential(token=f"x{each}") for each in range(9)]
        flood = [asyncio.create_task(system.authority.identify(each, peer)) for each in wrong]
        assert await system.registry.asking.until(lambda: len(system.registry.asked) == 4, 10)
        assert await system.authority.identify(TOKEN, "") == READER
        system.registry.gate.set()
        found = await asyncio.gather(*flood, return_exceptions=True)
        assert sorted(type(each).__name__ for each in found) == ["QuotaExceeded"] * 6 + ["Unauthenticated"] * 3


async def test_a_flood_of_credentials_refuses_no_check_of_an_open_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid_hosting.access.remote.MOST_ASKED", 1)
    async with running() as system:
        await system.watched()
        system.registry.gate.clear()
        flood = asyncio.create_task(system.authority.identify(Credential(token="x"), "ipv4:10.0.0.1:1"))
        assert await system.registry.asking.until(lambda: len(system.registry.asked) == 1, 10)
        checks = [asyncio.create_task(system.authority.identify(each, "")) for each in (TOKEN, Credential(token="y"))]
        assert await system.registry.asking.until(lambda: len(system.registry.asked) == 3, 10)
        system.registry.gate.set()
        found = await asyncio.gather(flood, *checks, return_exceptions=True)
        assert [type(each).__name__ for each in found] == ["Unauthenticated", "Principal", "Unauthenticated"]


async def test_an_address_that_is_too_long_is_cut() -> None:
    async with running() as system:
        await system.authority.identify(TOKEN, "ipv4:" + "1" * 1000)
        assert len(system.registry.peers[-1]) == MOST_PEER


async def test_calls_that_wait_are_answered_when_the_server_stops() -> None:
    async with running(Registry()) as system:
        await system.watched()
        system.registry.gate.clear()
        call = asyncio.create_task(system.authority.identify(TOKEN, ""))
        assert await system.registry.asking.until(lambda: bool(system.registry.asked), 10)
        system.task.cancel()
        with pytest.raises(Draining):
            await call
        system.registry.gate.set()


async def test_open_streams_are_checked_again_and_again_while_the_registry_answers_but_no_watch_is_open() -> None:
    async with running(Registry(watches_fail=QuotaExceeded("100 servers watch"))) as system:
        for _ in range(3):
            await system.moved(system.authority.revisions.value)
        assert system.registry.watches >= 3
        assert await system.authority.identify(TOKEN, "") == READER


async def test_open_streams_are_checked_once_known_callers_may_no_longer_go_on() -> None:
    now = 0.0
    async with running(Registry(fails=Draining("away")), clock=lambda: now) as system:
        registry = system.registry
        assert await registry.asking.until(lambda: registry.watches > 0, 10)
        assert system.authority.revisions.value == 0
        now = GRACE + 1
        await system.moved(0)


@pytest.mark.parametrize(
    "credential",
    [
        Credential(spiffe_id="spiffe://tron/worker-1", not_after=WALL, serial="ab12"),
        Credential(common_name="worker-1"),
        Credential(token="worker-1"),
        Credential(token="worker-1", serial="ab12"),
        Credential(serial="ab12"),
    ],
)
async def test_every_kind_of_credential_is_asked_about(credential: Credential) -> None:
    async with running() as system:
        await system.watched()
        text = credential.spiffe_id or credential.common_name or credential.token or credential.serial
        system.registry.callers[text] = OTHER
        assert await system.authority.identify(credential, "") == OTHER
        assert system.registry.asked == [text]
        assert system.registry.serials == [credential.serial]
