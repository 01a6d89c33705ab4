"""Under gevent and eventlet: it works, or says at once what to do; it never freezes. Each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.canned_registry import Canned, canned_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

GEVENT = "from gevent import monkey; monkey.patch_all()\n"
INIT = "import grpc.experimental.gevent as g; g.init_gevent()\n"
EVENTLET = "import warnings; warnings.simplefilter('ignore'); import eventlet; eventlet.monkey_patch({})\n"
IMPORT = "from tron_client import Agent, AsyncRegistryClient, MonitorClient, RegistryClient\n"
AGENT = "Agent('a', heartbeat_interval=0.2).start()\n"
WHOLE = """
import time
with RegistryClient() as client:
    print(client.list_services().revision)
    changes = client.watch_services()
with Agent("a", heartbeat_interval=0.2) as agent:
    while agent.state != "connected": time.sleep(0.01)
    time.sleep(0.7)  # the hub runs, and beats go out
    print(agent.state)
print(agent.state)
"""


@pytest.fixture(scope="module")
def registry() -> Iterator[Canned]:
    """A registry that answers from a script."""
    with canned_registry() as canned:
        yield canned


def run(registry: Canned, script: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, within 30 s."""
    environ = {**os.environ, "TRON_REGISTRY": registry.address, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_whole_agent_lives_under_gevent_once_grpc_knows_of_it(registry: Canned) -> None:
    registry.requests.clear()
    done = run(registry, GEVENT + INIT + IMPORT + WHOLE)
    assert done.stdout.split() == ["42", "connected", "stopped"], done.stderr
    kinds = [
        each.WhichOneof("kind")
        for each in registry.requests
        if hasattr(each, "WhichOneof") and "beats" in each.DESCRIPTOR.fields_by_name
    ]
    assert kinds[0] == "register"
    assert kinds.count("beats") >= 2
    assert kinds[-1] == "goodbye"


def test_gevent_that_leaves_threads_alone_is_no_concern_of_ours(registry: Canned) -> None:
    done = run(registry, "from gevent import monkey; monkey.patch_all(thread=False)\n" + IMPORT + WHOLE)
    assert done.stdout.split() == ["42", "connected", "stopped"], done.stderr


@pytest.mark.parametrize(
    "use", [AGENT, "RegistryClient()\n", "MonitorClient()\n", "Agent('a', registry='127.0.0.1:9').start()\n"]
)
def test_gevent_without_a_word_to_grpc_is_refused_with_what_to_do(registry: Canned, use: str) -> None:
    done = run(registry, GEVENT + IMPORT + use)
    assert done.returncode == 1
    assert "RuntimeError: gevent has patched the threads" in done.stderr
    assert "grpc.experimental.gevent.init_gevent()" in done.stderr


@pytest.mark.parametrize("init", ["", INIT])
@pytest.mark.parametrize("use", [AGENT, "RegistryClient()\n"])
def test_gevent_that_patches_after_the_import_is_refused_with_what_to_do(registry: Canned, init: str, use: str) -> None:
    done = run(registry, IMPORT + "Agent, RegistryClient\n" + GEVENT + init + use)
    assert done.returncode == 1
    assert "gevent.monkey.patch_all() before any other import" in done.stderr


def test_an_agent_that_was_made_before_gevent_patched_is_refused(registry: Canned) -> None:
    done = run(registry, IMPORT + "agent = Agent('a')\n" + GEVENT + INIT + "agent.start()\n")
    assert done.returncode == 1
    assert "gevent.monkey.patch_all() before any other import" in done.stderr


@pytest.mark.parametrize("order", [EVENTLET.format("") + IMPORT, IMPORT + "Agent\n" + EVENTLET.format("")])
@pytest.mark.parametrize("use", [AGENT, "RegistryClient()\n"])
def test_eventlet_is_refused(registry: Canned, order: str, use: str) -> None:
    done = run(registry, order + use)
    assert done.returncode == 1
    assert "RuntimeError: eventlet has patched the threads" in done.stderr
    assert "tron run" in done.stderr


def test_eventlet_that_leaves_threads_alone_is_no_concern_of_ours(registry: Canned) -> None:
    done = run(registry, EVENTLET.format("thread=False") + IMPORT + AGENT + "print('runs')")
    assert done.stdout == "runs\n", done.stderr
