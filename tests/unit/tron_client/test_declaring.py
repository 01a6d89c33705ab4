"""A program declares itself by the same keywords everywhere, and editors and help() list them."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import pytest
from grid.registry.v1 import service_pb2
from grid_model.declaration import Declaration, Declared
from tron_client.agent import Agent
from tron_client.async_client import AsyncRegistryClient
from tron_client.client import RegistryClient
from tron_client.declaring import declare
from tron_client.models import Service

KEYWORDS = {
    "type": "agent",
    "role": "production",
    "url": "",
    "caps": (),
    "labels": None,
    "parent": "",
    "ctx_limit": None,
    "cost_hint": None,
    "heartbeat_interval": None,
    "ttl": None,
    "reconnect_grace": None,
    "stall_after": None,
    "refused_children": (),
}


@pytest.mark.parametrize(
    ("function", "keywords"),
    [
        (Agent, {**KEYWORDS, "heartbeat_interval": 30.0}),
        (RegistryClient.register, KEYWORDS),
        (AsyncRegistryClient.register, KEYWORDS),
    ],
)
def test_a_signature_lists_all_keywords_with_their_defaults(function: Any, keywords: dict[str, Any]) -> None:
    shown = inspect.signature(function).parameters
    assert {name: shown[name].default for name in keywords} == keywords
    assert list(shown)[list(shown).index("name") + 1 :][: len(keywords)] == list(keywords)
    assert "declared" not in shown


def test_every_keyword_is_a_field_of_the_declaration_of_the_contract_and_of_what_the_sdk_reads() -> None:
    assert [*Declared.__annotations__] == [each.name for each in fields(Declaration)][2:]
    assert Declared.__annotations__.keys() <= {each.name for each in service_pb2.Service.DESCRIPTOR.fields}
    assert Declared.__annotations__.keys() <= {each.name for each in fields(Service)}


def test_a_keyword_that_does_not_exist_is_refused() -> None:
    wrong: dict[str, Any] = {"colour": "red"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        Agent("a", registry="127.0.0.1:1", **wrong)


def test_what_is_not_declared_stays_unset() -> None:
    assert declare("a", "A") == service_pb2.Service(
        service_id="a",
        name="A",
        type=service_pb2.SERVICE_TYPE_AGENT,
        role=service_pb2.SERVICE_ROLE_PRODUCTION,
    )
