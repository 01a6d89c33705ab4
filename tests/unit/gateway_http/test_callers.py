"""What the gateway does for a client at the registry and at TRON, it does with the rights of that client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from grid.registry.v1 import service_pb2
from grid_model.access import LOCAL, Grant, Principal, Role
from grid_model.errors import NotOwner, PermissionDenied, TronError

from gateway_http.config import Config
from gateway_http.gateway import Gateway
from gateway_http.http.callers import Caller
from gateway_http.legacy.registry import RegistryPort
from gateway_http.replica.entry import Reported
from gateway_http.runtime import authenticating, connected
from gateway_http.upstream.caller_credentials import caller_metadata
from gateway_http.v1 import api
from grid_hosting.access.audit import AuditKind
from grid_hosting.access.book import Registered
from grid_hosting.credential import Credential
from grid_hosting.open_calls import act_as, current_principal
from tests.support.secured import ADMIN, AGENT, CALLERS, GATEWAY, OPERATOR, Secured, secured

T = TypeVar("T")

LEGACY = Principal("token:legacy", (Grant(Role.AGENT, "old-*"),))
OK = Reported("ok")


def service(name: str) -> service_pb2.Service:
    """A declaration as a legacy client sends it."""
    return service_pb2.Service(service_id=name, name=name)


@asynccontextmanager
async def gateway(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Secured, Gateway]]:
    """A registry with authentication, and a gateway that authenticates its clients. The gateway has its token from the
    environment."""
    async with secured(folder / "registry") as registry:
        await registry.access.change(lambda book: book.put(Registered(LEGACY.name, "", LEGACY.grants)))
        monkeypatch.setenv("TRON_TOKEN", GATEWAY)
        config = Config(registry=registry.address, tron="127.0.0.1:1", data_dir=folder / "gateway", alert_file_days=0)
        async with connected(config, authentication=True) as served:
            assert await served.replica.news.until(lambda: served.replica.live, 10)
            yield registry, served


async def by(secret: str, act: Callable[[], Awaitable[T]]) -> T:
    """Do something in a request of a client with this token; without one, of the principal that needs none."""
    name, grants = CALLERS[secret] if secret else (LEGACY.name, LEGACY.grants)

    async def request() -> T:
        act_as(Principal(name, grants), Credential(token=secret) if secret else Credential(principal=name))
        return await act()

    return await asyncio.create_task(request())


async def refused(secret: str, act: Callable[[], Awaitable[Any]], kind: type[TronError]) -> None:
    """Do something that the client may not do."""
    with pytest.raises(kind):
        await by(secret, act)


def test_only_what_no_client_caused_is_said_in_the_name_of_the_gateway() -> None:
    assert current_principal() is LOCAL
    assert caller_metadata() == ()


async def test_a_client_does_what_its_own_grants_allow_and_nothing_that_the_gateway_could_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as (registry, served):
        actions = served.actions
        await by(AGENT, lambda: actions.register(service("worker-1")))
        assert registry.loop.registry.owner_of("worker-1") == "token:worker"
        await by("", lambda: actions.register(service("old-1")))
        assert registry.loop.registry.owner_of("old-1") == LEGACY.name
        for secret in (AGENT, "", OPERATOR):
            await refused(secret, lambda: actions.register(service("service-gateway")), PermissionDenied)
        await refused(AGENT, lambda: actions.deregister("old-1"), PermissionDenied)
        await refused(AGENT, lambda: actions.promote("worker-1", "staging", "production"), PermissionDenied)
        event = await by(AGENT, lambda: actions.publish("note", {}, service_id="worker-1"))
        assert (event.published_by, event.via) == ("token:worker", "token:program/gateway")


async def test_heartbeats_of_clients_count_only_for_services_that_are_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as (registry, served):
        actions = served.actions
        await by(AGENT, lambda: actions.register(service("worker-1")))
        await by("", lambda: actions.register(service("old-1")))
        assert (await by(AGENT, lambda: actions.beat("worker-1", OK))).revision > 0
        assert (await by("", lambda: actions.beat("old-1", OK))).revision > 0
        await refused("", lambda: actions.beat("worker-1", OK), PermissionDenied)
        await refused(AGENT, lambda: actions.beat("old-1", OK), PermissionDenied)
        await refused(OPERATOR, lambda: actions.beat("old-1", OK), PermissionDenied)
        refusals = await registry.records(AuditKind.REFUSAL, 3)
        assert {(each.actor, each.target) for each in refusals} == {
            (LEGACY.name, "worker-1"),
            ("token:worker", "old-1"),
            ("token:operator", ""),
        }
        assert {each.via for each in refusals} == {"token:program/gateway"}


async def test_the_act_of_an_operator_through_the_gateway_is_recorded_as_its_own_with_the_gateway_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as (registry, served):
        await by(AGENT, lambda: served.actions.register(service("worker-1")))
        await by(OPERATOR, lambda: served.actions.deregister("worker-1", "retired"))
        await by(ADMIN, lambda: served.actions.acknowledge_all())
        acts = await registry.records(AuditKind.ACT, 2)
        assert [(each.actor, each.via, each.method.rpartition("/")[2]) for each in acts] == [
            ("token:operator", "token:program/gateway", "Deregister"),
            ("token:root", "token:program/gateway", "AcknowledgeEvents"),
        ]


async def test_nobody_learns_whether_a_foreign_id_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with gateway(tmp_path, monkeypatch) as (registry, served):
        watching = Principal("token:watching", (Grant(Role.AGENT, "worker-*"), Grant(Role.OBSERVER, "*")))
        both = "tron_" + "y" * 43
        await registry.access.change(
            lambda book: book.create_token(both, watching.name, now=1.0, grants=watching.grants)
        )
        monkeypatch.setitem(CALLERS, both, (watching.name, watching.grants))
        port = RegistryPort(served, 1, [])
        await by("", lambda: served.actions.register(service("old-1")))
        requests: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("PUT", "/heartbeat", {"status": "ok"}),
            ("PUT", "/heartbeat", {"status": "ok", "load": 0.5, "more": [1]}),
            ("POST", "/deregister", {}),
            (
                "POST",
                "/register",
                {"name": "x", "type": "tool", "role": "production", "url": "http://a:1", "caps": ["x"]},
            ),
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(port), base_url="http://gateway") as client:
            for method, path, body in requests:
                answers = []
                for service_id in ("old-1", "old-2"):
                    request = partial(client.request, method, path, json={"service_id": service_id, **body})
                    answer = await by(AGENT, request)
                    answers.append((answer.status_code, answer.text.replace(service_id, "ID")))
                assert answers[0] == answers[1], path
                assert answers[0][0] == 403, answers
            heartbeat = partial(client.put, "/heartbeat", json={"service_id": "worker-9", "status": "ok"})
            assert (await by(AGENT, heartbeat)).status_code == 404, "it may register it"
            heartbeat = partial(client.put, "/heartbeat", json={"service_id": "old-2", "status": "ok"})
            assert (await by(both, heartbeat)).status_code == 404, "it may read all"


async def test_a_reader_of_some_ids_sees_the_services_and_events_that_it_would_see_over_grpc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as (registry, served):
        some = "tron_" + "z" * 43
        grants = (Grant(Role.OBSERVER, "old-*"),)
        await registry.access.change(lambda book: book.create_token(some, "token:some", now=1.0, grants=grants))
        monkeypatch.setitem(CALLERS, some, ("token:some", grants))
        await by("", lambda: served.actions.register(service("old-1")))
        await by("", lambda: served.actions.register(service("old-a/b")))
        await by(AGENT, lambda: served.actions.register(service("worker-1")))
        await by(AGENT, lambda: served.actions.publish("note", {}, service_id="worker-1"))
        await by("", lambda: served.actions.publish("note", {}, service_id="old-1"))
        assert await served.replica.news.until(lambda: len(served.replica.services) == 3, 10)
        port = RegistryPort(served, 1, [api.router(served)])
        readers = {some: {"old-1", "old-a/b"}, AGENT: {"worker-1"}, "": {"old-1", "old-a/b"}}
        everything = {"old-1", "old-a/b", "worker-1"}
        lists = {"/services": "items", "/discover?type=agent": "items", "/v1/services": "services"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(port), base_url="http://gateway") as client:
            for secret, own in {**readers, OPERATOR: everything}.items():
                for path, key in lists.items():
                    answer = await by(secret, partial(client.get, path))
                    assert answer.status_code == 200, answer.text
                    assert answer.headers["x-registry-live"] == "true"
                    assert {each["service_id"] for each in answer.json()[key]} == own, (secret, path)
                for service_id in everything:
                    for path in (f"/services/{service_id.replace('/', '%2F')}", f"/v1/services/{service_id}"):
                        answer = await by(secret, partial(client.get, path))
                        assert answer.status_code == (200 if service_id in own else 404), (secret, path)
                events = (await by(secret, partial(client.get, "/v1/events"))).json()["events"]
                assert {each["service_id"] for each in events} == own - {"old-a/b"}, secret
            whole = (await by(OPERATOR, partial(client.get, "/services/old-1"))).json()
            assert (await by(some, partial(client.get, "/services/old-1"))).json() == whole
            await registry.server.stop(None)
            for path in ("/services", "/services/old-1", "/v1/services", "/v1/events?newest=true"):
                answer = await by(some, partial(client.get, path))
                assert answer.status_code == 503, "the copy has more than this reader may see"


async def test_a_change_at_the_gateway_itself_is_in_the_audit_log_of_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as (registry, served):
        config = served.config.model_copy(update={"authentication": True})
        async with authenticating(config) as authentication:
            assert authentication is not None
            name, grants = CALLERS[OPERATOR]
            caller = Caller(Principal(name, grants), Credential(token=OPERATOR), "ipv4:10.0.0.1:1")
            await authentication.record_act(caller, "POST /api/settings/hhmrs")
        (act,) = await registry.records(AuditKind.ACT, 1)
    assert (act.actor, act.via, act.method, act.peer) == (
        "token:operator",
        "token:program/gateway",
        "POST /api/settings/hhmrs",
        "ipv4:10.0.0.1:1",
    )


async def test_an_id_that_belongs_to_another_owner_is_refused_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as (registry, served):
        await registry.access.change(
            lambda book: book.put(Registered(LEGACY.name, "", (Grant(Role.AGENT, "worker-*"),)))
        )
        await by(AGENT, lambda: served.actions.register(service("worker-1")))
        await refused("", lambda: served.actions.register(service("worker-1")), NotOwner)
        await refused("", lambda: served.actions.beat("worker-1", OK), NotOwner)


async def test_a_heartbeat_that_its_sender_may_not_send_is_answered_403_and_not_as_one_to_send_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, monkeypatch) as (_, served):
        port = RegistryPort(served, 1, [])
        await by("", lambda: served.actions.register(service("old-1")))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(port), base_url="http://gateway") as client:
            body = {"service_id": "old-1", "status": "ok"}
            assert (await by("", lambda: client.put("/heartbeat", json=body))).status_code == 200
            answer = await by(AGENT, lambda: client.put("/heartbeat", json=body))
        assert (answer.status_code, "retry-after" in answer.headers) == (403, False)
        assert answer.json() == {"detail": "token:worker has no agent grant for the id 'old-1'"}
