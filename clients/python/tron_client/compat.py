"""Replaces the heartbeat module of the legacy services: it has the same functions, implemented with an Agent."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from tron_client import arguments
from tron_client.agent import Agent
from tron_client.errors import InvalidRequest, WrongType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

_log = logging.getLogger("tron_client")

_PATIENCE = 5.0
"""Seconds within which another process must have taken over, or the goodbye must have been sent."""

_TAKE_OVER = 1.0
"""Seconds that a second start waits until it has taken over from the first; another process may have been faster."""

_lock = threading.Lock()
_agents: dict[str, Agent] = {}


def _after_fork() -> None:
    """In a forked child: the agents are the parent's."""
    global _lock
    _lock = threading.Lock()
    _agents.clear()


os.register_at_fork(after_in_child=_after_fork)


async def start_registry_heartbeat(
    service_id: str,
    name: str,
    type: str,  # noqa: A002 - the signature of the seed
    role: str,
    url: str,
    caps: Iterable[str],
    labels: Mapping[str, Any] | None = None,
    ctx_limit: int | None = None,
    cost_hint: Mapping[str, float] | None = None,
    heartbeat_interval_s: float = 30,
    ttl_s: float = 90,
    status: str = "ok",
) -> bool:
    """Register a service and send heartbeats from now on; return whether it was registered within 5 seconds.

    Returns False if the registry does not answer; the agent then keeps trying. Returns False if the registration was
    refused; the log then contains the reason. The registry takes the parent of the service from `labels["parent"]`.
    Several services may run in one process; a second start with the same id replaces the first. If several processes of
    this machine and user use one id, such as the workers of a server, one process is registered and the others wait;
    the function returns True for all of them. Raises WrongType, with the name of the field, for an argument of a wrong
    type.
    """
    try:
        agent = _describe(
            service_id,
            name,
            type,
            role,
            url,
            caps,
            labels=labels,
            ctx_limit=ctx_limit,
            cost_hint=cost_hint,
            heartbeat_interval_s=heartbeat_interval_s,
            ttl_s=ttl_s,
            status=status,
        )
    except WrongType:
        raise
    except InvalidRequest as error:
        _log.error("registration_refused service_id=%s why=%s", service_id, error)
        return False
    with _lock:
        former = _agents.get(service_id)
        _agents[service_id] = agent
    try:
        await agent.__aenter__()
        if former is not None:
            # The id lives on: with another one in line the former says no goodbye, but lets it take over.
            await asyncio.to_thread(former.stop, timeout=_PATIENCE)
            await asyncio.to_thread(agent.wait_registered, _TAKE_OVER)
    except InvalidRequest:  # logged where it happened
        with _lock:
            if _agents.get(service_id) is agent:
                del _agents[service_id]
        return False
    return agent.healthy or agent.state == "standby"


async def stop_registry_heartbeat(service_id: str | None = None) -> None:
    """Send a goodbye for one service, or for all services of this process; do nothing for a service that was not
    started."""
    with _lock:
        ids = tuple(_agents) if service_id is None else (service_id,)
        leaving = [agent for each in ids if (agent := _agents.pop(each, None)) is not None]
    await asyncio.gather(*(asyncio.to_thread(agent.stop, timeout=_PATIENCE) for agent in leaving))


def create_registry_heartbeat_lifespan(
    service_id: str,
    name: str,
    type: str,  # noqa: A002 - the signature of the seed
    role: str,
    url: str,
    caps: Iterable[str],
    **kwargs: Any,
) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Return a lifespan for `FastAPI(lifespan=...)`: the service is registered while the application serves.

    The keywords are those of `start_registry_heartbeat`. Raises WrongType as `start_registry_heartbeat` does, but at
    once, not when the application starts.
    """
    described = (service_id, name, type, role, url, arguments.texts("caps", caps))
    try:
        _describe(*described, **kwargs)
    except WrongType:
        raise
    except InvalidRequest as error:
        _log.error("registration_refused service_id=%s why=%s", service_id, error)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        await start_registry_heartbeat(*described, **kwargs)
        try:
            yield
        finally:
            await stop_registry_heartbeat(service_id)

    return lifespan


def _describe(
    service_id: str,
    name: str,
    type: str,  # noqa: A002 - the signature of the seed
    role: str,
    url: str,
    caps: Iterable[str],
    *,
    labels: Mapping[str, Any] | None = None,
    ctx_limit: int | None = None,
    cost_hint: Mapping[str, float] | None = None,
    heartbeat_interval_s: float = 30,
    ttl_s: float = 90,
    status: str = "ok",
) -> Agent:
    """Return an agent that is not started yet. Raises InvalidRequest with the argument names of this module."""
    return Agent(
        arguments.text("service_id", service_id),
        name=arguments.text("name", name),
        type=type,
        role=role,
        url=url,
        caps=caps,
        labels=labels,
        ctx_limit=ctx_limit,
        cost_hint=cost_hint,
        heartbeat_interval=arguments.seconds("heartbeat_interval_s", heartbeat_interval_s),
        ttl=arguments.seconds("ttl_s", ttl_s),
        status=status,
        standby=True,
    )
