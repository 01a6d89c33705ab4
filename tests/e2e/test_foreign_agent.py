"""A client that knows only the architecture page and reflection is a full citizen."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import foreign_agent
from tests.e2e.conftest import Grid
from tests.e2e.foreign_agent import ForeignAgent
from tests.e2e.raw_agent import unique
from tests.support.waiting import wait_until


def is_alive(agent: ForeignAgent, service_id: str) -> bool:
    """Whether it is judged alive, asked by the foreign client itself."""
    record: dict[str, Any] = agent.call("GetService", {"service_id": service_id})["service"]
    return (record["liveness"], record.get("connected")) == ("LIVENESS_ALIVE", True)


def lose_a_child(grid: Grid, parent: ForeignAgent, parent_id: str) -> str:
    """Let a child of the parent be born, live, and be cut; return its id when it is judged down."""
    child_id = unique("foreign-child")
    with ForeignAgent(grid.address) as child:
        child.register(child_id, parent=parent_id, reconnect_grace="0.3s")
        wait_until(lambda: is_alive(parent, child_id), 10, "the child is alive")
    wait_until(lambda: "service_down" in {each.type for each in grid.events_about(child_id)}, 10, "it is down")
    return child_id


def test_the_foreign_agent_knows_no_stubs_and_no_sdk() -> None:
    tree = ast.parse(Path(foreign_agent.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not {name for name in imported if name.split(".")[0] in {"grid", "tron_client", "tron_cli"}}


def test_a_foreign_agent_registers_beats_and_is_alive(grid: Grid) -> None:
    service_id = unique("foreign")
    with ForeignAgent(grid.address) as agent:
        labels = {"team": "blue", "port": 6109, "nested": {"deep": [1, "two", True]}}
        record = agent.register(service_id, type="SERVICE_TYPE_TOOL", caps=["dig"], labels=labels)
        assert (record["type"], record["role"], record["labels"]) == (
            "SERVICE_TYPE_TOOL",
            "SERVICE_ROLE_PRODUCTION",
            labels,
        )
        assert int(record["incarnation"]) > 0
        wait_until(lambda: is_alive(agent, service_id), 10, "alive")
        wait_until(lambda: len(agent.every("ack")) > 2, 10, "beats are acknowledged")
        listed = agent.call("ListServices", {"cap": "dig", "label_selector": {"team": "blue"}})["services"]
        assert service_id in {each["service_id"] for each in listed}


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_foreign_parent_is_told_of_its_child_until_it_acknowledges(grid: Grid, acknowledged: bool) -> None:
    parent_id = unique("foreign-parent")
    with ForeignAgent(grid.address) as parent:
        parent.register(parent_id, reconnect_grace="30s")
        child_id = lose_a_child(grid, parent, parent_id)
        alerts = parent.wait_alerts("service_suspect", "service_down")
        assert {(each["service_id"], each["recipient"]) for each in alerts} == {(child_id, parent_id)}
        assert {each["cause"] for each in alerts} == {"LIVENESS_CAUSE_DISCONNECTED"}
        down = next(each for each in alerts if each["type"] == "service_down")
        assert (down["severity"], down["action"], down["service_name"]) == (
            "SEVERITY_CRITICAL",
            "marked_down",
            child_id,
        )
        assert {"alert_id", "occurred_at", "last_seen_at", "sequence"} <= set(down)
        if acknowledged:
            parent.acknowledge([each["alert_id"] for each in alerts])
            acks = len(parent.every("ack"))
            wait_until(lambda: len(parent.every("ack")) > acks + 2, 10, "what was said before is taken in")
    with ForeignAgent(grid.address) as parent:
        parent.register(parent_id, reconnect_grace="30s")
        if not acknowledged:
            # The death has overtaken the suspicion, which waits no more.
            again = parent.wait_alerts("service_down")
            assert [each["alert_id"] for each in again] == [down["alert_id"]]
            parent.acknowledge([each["alert_id"] for each in again])
        wait_until(lambda: len(parent.every("ack")) > 2, 10, "the stream works")
        told = {each["alert_id"] for each in parent.alerts()} & {each["alert_id"] for each in alerts}
        assert bool(told) is not acknowledged
