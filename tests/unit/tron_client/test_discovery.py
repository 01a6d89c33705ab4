"""Where TRON is, when only the registry's address is known."""

from __future__ import annotations

import pytest
from tron_client.address import parse_address
from tron_client.discovery import Unreachable, monitor_address


@pytest.mark.parametrize(
    ("url", "registry", "found"),
    [
        ("grpc://127.0.0.1:41234", "127.0.0.1:6122", "127.0.0.1:41234"),
        ("grpc://localhost:6123", "localhost:6122", "localhost:6123"),
        ("grpc://tron.example:6123", "registry.example:6122", "tron.example:6123"),
        ("grpc://[2001:db8::1]:6123", "registry.example:6122", "[2001:db8::1]:6123"),
        ("grpc://0.0.0.0:6123", "registry.example:6122", "registry.example:6123"),
        ("grpc://[::]:6123", "[2001:db8::7]:6122", "[2001:db8::7]:6123"),
        ("grpc://[::]:6123", "127.0.0.1:6122", "127.0.0.1:6123"),
        ("grpc://0.0.0.0:6123", "unix:/run/registry", "127.0.0.1:6123"),
        ("grpc://0.0.0.0:6123", "dns:registry.example:6122", "registry.example:6123"),
    ],
)
def test_the_url_of_tron_leads_to_it_from_where_the_registry_was_reached(url: str, registry: str, found: str) -> None:
    assert str(monitor_address(url, parse_address(registry, "registry"))) == found


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "does not have a host and a port"),
        ("grpc://host", "does not have a host and a port"),
        ("grpc://host:99999", "does not have a host and a port"),
        ("grpc://[::1:1", "does not have a host and a port"),
        ("grpc://127.0.0.1:6123", "of its own machine, so"),
        ("grpc://[::1]:6123", "of its own machine, so"),
    ],
)
def test_a_url_that_leads_nowhere_is_said(url: str, said: str) -> None:
    with pytest.raises(Unreachable, match=said):
        monitor_address(url, parse_address("registry.example:6122", "registry"))
