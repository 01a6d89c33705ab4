"""No answer of any RPC tells a caller without rights whether an id or a name exists: what belongs to others is answered
like what does not exist. The servers are those of `test_rights_table`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from grid_model.access import Role
from grid_model.declaration import Declaration
from grid_model.event import Event
from grid_model.service import ServiceRole

from tests.contract.test_rights_table import ALL, CALLERS, FOREIGN, OWN, caller, running

STRANGERS = {
    "stranger": caller("stranger", (Role.AGENT, "own-*"), (Role.OBSERVER, "own-*")),
    "team": CALLERS["team"],
}
HIDDEN, NAMED, ABSENT = "hidden-1", "own-name", "own-none"

BY_NAME: dict[str, dict[str, Any]] = {
    "Promote": {"from_role": 2, "to_role": 3, "name": "{}"},
    "AcknowledgeEvent": {"alert_id": "alert", "recipient": "{}"},
    "AcknowledgeEvents": {"recipient": "{}"},
    "PublishEvent": {"event": {"type": "mine", "service_id": OWN, "recipient": "{}"}},
    "ListServices": {"name": "{}"},
    "GetService": {"service_id": "{}"},
}
"""Requests that name a service by its name, which replaces the braces."""


async def test_no_answer_tells_a_caller_without_rights_whether_an_id_exists(tmp_path: Path) -> None:
    async with running(tmp_path) as system:
        system.known.callers |= STRANGERS
        for name, method in ALL.items():
            for who in STRANGERS:
                about = {}
                for service_id in (FOREIGN, "foreign-0"):
                    found = await system.call(who, method, service_id)
                    about[service_id] = (found, system.why.replace(service_id, "ID"))
                assert about[FOREIGN] == about["foreign-0"], f"{name} by {who}"


@pytest.mark.parametrize("method", BY_NAME)
async def test_no_answer_tells_a_caller_without_rights_whether_a_name_exists(tmp_path: Path, method: str) -> None:
    async with running(tmp_path) as system:
        system.known.callers |= STRANGERS
        registry, now = system.loop.registry, system.loop.now()
        spec = Declaration(HIDDEN, NAMED, role=ServiceRole.STAGING)
        registry.register(spec, 0, "", None, now, owner="token:other")
        registry.publish(Event("note", alert_id="alert", service_id=HIDDEN, recipient=HIDDEN), now)
        for who in STRANGERS:
            about = {}
            for name in (NAMED, ABSENT):
                request = filled(BY_NAME[method], name)
                message = message_factory.GetMessageClass(ALL[method].input_type)(**request)
                found = await system.call(who, ALL[method], HIDDEN, message)
                about[name] = (found, system.why.replace(name, "NAME"))
            assert about[NAMED] == about[ABSENT], who
            assert HIDDEN not in about[NAMED][1]
        assert registry.records[HIDDEN].spec.role is ServiceRole.STAGING
        assert registry.waiting_for(HIDDEN), "nobody else acknowledged it"


def filled(template: dict[str, Any], name: str) -> dict[str, Any]:
    """The fields of a request, with a name in place of the braces."""
    return {
        key: filled(value, name) if isinstance(value, dict) else name if value == "{}" else value
        for key, value in template.items()
    }
