"""The principals of the programs: what they may do, and that only the newest token of each is valid."""

from __future__ import annotations

import pytest
from grid_model.access import Grant, Role

import gateway_http.server
import registry_server.server
import tron.server
from gateway_http.config import Config as GatewayConfig
from grid_hosting.access import programs
from grid_hosting.access.book import AccessBook, Registered
from grid_hosting.access.tokens import RANDOM_BYTES, make_secret
from registry_server.core.rights import RESERVED

NOW = 1_000_000.0
FIRST, SECOND = (make_secret(bytes([number]) * RANDOM_BYTES) for number in (1, 2))


def test_the_newest_token_of_a_program_is_its_only_one() -> None:
    book = AccessBook()
    programs.issue(book, programs.MONITOR, FIRST, NOW)
    programs.issue(book, programs.MONITOR, SECOND, NOW + 1)
    assert book.of_token(FIRST, NOW + 2) is None
    found = book.of_token(SECOND, NOW + 2)
    assert found is not None
    principal = found[1]
    assert principal.may(Role.JUDGE, tron.server.SERVICE_ID)
    assert not principal.may(Role.AGENT, "worker-1")
    assert Role.ADMIN not in principal.roles


def test_each_program_has_exact_grants_for_the_ids_and_names_of_its_own_agents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grants = programs.GRANTS
    own = {grant.pattern for name in ("registry", "monitor") for grant in grants[name] if grant.role is Role.AGENT}
    assert own == {each for each in RESERVED if each != "operators"}
    assert {registry_server.server.SERVICE_ID, tron.server.SERVICE_ID} < own
    listeners = [
        gateway_http.server.Listener(key, None, "127.0.0.1:1")  # type: ignore[arg-type]
        for key in ("registry_http", "tron_http", "events_http", "hmi_http")
    ]
    monkeypatch.setattr(gateway_http.server, "own_agent", lambda service_id, name, *_: (service_id, name))
    agents = gateway_http.server._agents(GatewayConfig(), listeners, "http")  # noqa: SLF001
    wanted = {text for agent in agents for text in agent}
    assert {grant.pattern for grant in grants["gateway"] if grant.role is Role.AGENT} == wanted
    assert all(grant.pattern != "*" for grant in grants["gateway"] if grant.role is Role.AGENT)


def test_the_principal_of_a_certificate_keeps_what_it_has_and_is_of_the_same_group() -> None:
    book = AccessBook([Registered("spiffe:tron/servers", "", (Grant(Role.OBSERVER, "x"),))])
    for program in (programs.REGISTRY, programs.MONITOR, programs.MONITOR):
        programs.admit(book, program, "spiffe:tron/servers")
    programs.issue(book, programs.REGISTRY, FIRST, NOW)
    found = book.get("spiffe:tron/servers")
    assert found.grants == (
        Grant(Role.OBSERVER, "x"), *programs.GRANTS[programs.REGISTRY], *programs.GRANTS[programs.MONITOR]
    )  # fmt: skip
    owner = book.get(programs.principal_of(programs.REGISTRY)).principal().owner
    assert found.principal().owner == owner, "a program that changes to a certificate keeps its ids"


def test_the_token_of_an_administrator_needs_nothing_and_ends_after_an_hour() -> None:
    book = AccessBook([Registered(programs.ADMIN, grants=(), disabled=True)])
    token = programs.issue_admin(book, FIRST, NOW)
    assert token.created_by == "offline"
    found = book.of_token(FIRST, NOW + 3599)
    assert found is not None
    assert Role.ADMIN in found[1].roles
    assert book.of_token(FIRST, NOW + 3600) is None
    programs.issue_admin(book, SECOND, NOW + 3601)
    assert len(book.tokens) == 1, "ended ones are removed"
