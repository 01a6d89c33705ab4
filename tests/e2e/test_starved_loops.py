"""No loop that is starved makes anybody say what is not true: a table of who is starved, how, and what may be said.

Each of the registry, TRON, the gateway and a process with agents is stopped (SIGSTOP) for 0.4, 2 and 8 s, and throttled
as a container with a quarter of a processor is; then all run beside busy co-tenants; then each is the nicest process on
a machine that is more than full. Every one has a small system of its own, so that all are starved at the same time and
the whole table takes about a minute. Whatever is said, in the log of events or to operators, must be listed as true for
its row. In the end an agent is cut in each system: who was starved has not gone deaf.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tron_client import RegistryClient

from tests.e2e.raw_agent import RawAgent, seconds
from tests.support.agents import Agents, agents
from tests.support.processes import Monitor, Program, Registry, start_gateway, start_monitor, start_registry
from tests.support.starving import co_tenants, renice, stopped
from tests.support.waiting import wait_until

AGENTS = 8
INTERVAL = 1.0
"""Of the agents while somebody else is starved: silent after 1.25 s, down after 2.25 s."""

OWN_INTERVAL = 10.0
"""Of the agents where their own process is starved: silent after 11 s, down after 21 s. What is stopped for 2 s may
have been due a moment before, and is truly late then; nobody is stopped for long enough to be truly down."""

WINDOW = 3.0
"""`reattach_window` here, so that what is held back for it is seen to come, or not to come, soon."""

WATCH = 2.75
"""Seconds after a row in which every deadline that was open passes; WINDOW more if it was a stall (above 1 s)."""

BUSY = 3.0
"""Seconds with busy co-tenants, twice."""

THROTTLED = 4.0
"""Seconds in periods of 0.4 s, of which a process runs in the last 0.1."""

OUR_OWN = frozenset({"service-gateway", "service-event-stream", "service-hmi", "over-http"})
"""The services whose heartbeats come from the gateway's process: every 5 s."""

OPERATORS = ("registry_lost", "registry_back", "monitor_lost", "monitor_back", "operators_told", "alert_undelivered")

Word = tuple[str, str]
"""What was said (an event's type, or a line to operators), and about whom."""


@dataclass(frozen=True)
class Row:
    """Which process is starved, how, and what may truly be reported about it."""

    starved: str
    how: str
    true: Callable[[Word], bool] = field(default=lambda _: False)
    must: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.starved} {self.how}"


def _of(services: frozenset[str], *types: str) -> Callable[[Word], bool]:
    return lambda word: word[1] in services and word[0] in types


def _about(*types: str) -> Callable[[Word], bool]:
    return lambda word: word[0] in types


HOSTED = frozenset(f"hosted-{number}" for number in range(AGENTS))


def _late_together(word: Word) -> bool:
    """Those of one process, who are nearly all there are, miss a beat at the same time: that is a mass failure."""
    return word[0] in {"cascading_failure", "operators_told"} or word in {("heartbeat_miss", each) for each in HOSTED}


STOPS = {"stopped 0.4 s": 0.4, "stopped 2 s": 2.0, "stopped 8 s": 8.0}
THROTTLE = "throttled"
CROWD = "in a crowd"
NICEST = "as the nicest of a crowd"

TABLE = (
    Row("registry", "stopped 0.4 s"),
    Row("registry", "stopped 2 s"),
    # A registry that says nothing for 8 s is lost; that it is not reported while its stream is open is no lie either.
    Row("registry", "stopped 8 s", _about("registry_lost", "registry_back", "operators_told")),
    Row("monitor", "stopped 0.4 s"),
    Row("monitor", "stopped 2 s"),
    Row(
        "monitor",
        "stopped 8 s",
        _about("monitor_lost", "monitor_back", "operators_told"),
        must=frozenset({"monitor_lost", "monitor_back"}),
    ),
    Row("gateway", "stopped 0.4 s"),
    Row("gateway", "stopped 2 s", _of(OUR_OWN, "heartbeat_miss")),
    Row(
        "gateway",
        "stopped 8 s",
        _of(OUR_OWN, "heartbeat_miss", "service_down", "heartbeat_restored"),
        must=frozenset({"heartbeat_miss"}),
    ),
    Row("agents", "stopped 0.4 s"),
    Row("agents", "stopped 2 s", _late_together),
    Row("agents", "stopped 8 s", _late_together),
    *(
        Row(starved, how)
        for how in (THROTTLE, CROWD, NICEST)
        for starved in ("registry", "monitor", "gateway", "agents")
    ),
)


class Ground:
    """A small system in which one process is starved again and again."""

    def __init__(self, starved: str, folder: Path, held: ExitStack) -> None:
        self.starved = starved
        env = {f"TRON_{program}_LOG_JSON": "true" for program in ("REGISTRY", "MONITOR", "GATEWAY")}
        settings = folder / "settings.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(f"[monitor.policy]\nreattach_window = {WINDOW}\n")
        self.registry: Registry = held.enter_context(start_registry(folder / "registry" / "data", env=env))
        self.address = self.registry.address
        self.monitor: Monitor = held.enter_context(
            start_monitor(folder / "monitor" / "data", self.address, "--config", str(settings), env=env)
        )
        interval = OWN_INTERVAL if starved == "agents" else INTERVAL
        declared = [{"service_id": each, "heartbeat_interval": interval} for each in sorted(HOSTED)]
        self.agents: Agents = held.enter_context(agents(self.address, *declared))
        self._programs: list[Program] = [self.registry, self.monitor]
        self.pid = {"registry": self.registry.pid, "monitor": self.monitor.pid, "agents": self.agents.process.pid}
        if starved == "gateway":
            gateway = held.enter_context(
                start_gateway(folder / "gateway" / "data", self.address, self.monitor.address, env=env)
            )
            self.pid["gateway"] = gateway.pid
            self._programs.append(gateway)
            held.enter_context(_beating_over_http(gateway.url("registry_http")))
        self.canary = RawAgent(self.address)
        held.callback(self.canary.cut)
        self.canary.register("canary", heartbeat_interval=seconds(3600))
        wait_until(lambda: '"watching"' in self.monitor.log, 20, "TRON watches")
        self._told = 0
        self._lines = 0
        self.words()

    def words(self) -> list[Word]:
        """What was said since the last call."""
        said: list[Word] = []
        with RegistryClient(self.address, timeout=20.0) as client:
            while page := client.list_events(after_sequence=self._told, limit=1000).events:
                said += [(event.type, event.service_id) for event in page]
                self._told = page[-1].sequence
        lines = [
            line
            for program in self._programs
            for line in program.log.rpartition("\n")[0].splitlines()
            if line.startswith("{")
        ]
        to_operators = [found for line in lines if (found := json.loads(line))["event"] in OPERATORS]
        new, self._lines = to_operators[self._lines :], len(to_operators)
        return said + [(line["event"], line.get("service_id", "")) for line in new]

    def starve(self, how: str) -> list[Word]:
        """One row: starve the process, let it go on, and wait until every deadline is over."""
        pid = self.pid[self.starved]
        if how == THROTTLE:
            for _ in range(round(THROTTLED / 0.4)):
                with stopped(pid):
                    _pass(0.3)
                _pass(0.1)
        else:
            with stopped(pid):
                _pass(STOPS[how])
        _pass(WATCH + WINDOW if STOPS.get(how, 0.0) > 1.0 else WATCH)
        return self.words()


def _pass(length: float) -> None:
    """Let time go by in which nothing may happen: there is no condition to wait for."""
    threading.Event().wait(length)


@contextmanager
def _beating_over_http(url: str) -> Iterator[None]:
    """A service that beats through the gateway, four times as often as it must."""
    over = threading.Event()
    body = {"service_id": "over-http", "name": "over-http", "type": "agent", "role": "production", "url": "u"}

    def beat() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            client.post("/register", json={**body, "caps": ["x"], "heartbeat_interval_s": 5, "ttl_s": 60})
            while not over.wait(1.25):
                client.put("/heartbeat", json={"service_id": "over-http"})

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Word]]]:
    """What was said in each row, and under `canary SYSTEM` of the death at the end."""
    names = ("registry", "monitor", "gateway", "agents")
    found: dict[str, list[Word]] = {}
    with ExitStack() as held, ThreadPoolExecutor(len(names)) as together:
        folder = tmp_path_factory.mktemp("starved")
        grounds = list(together.map(lambda name: Ground(name, folder / name, held), names))

        def alone(ground: Ground) -> None:
            for row in TABLE:
                if row.starved == ground.starved and row.how not in (CROWD, NICEST):
                    found[row.name] = ground.starve(row.how)

        list(together.map(alone, grounds))
        for how, for_each, nice in ((CROWD, 2, 0), (NICEST, 4, 10)):
            if how == NICEST:
                for ground in grounds:
                    renice(ground.pid[ground.starved], 19)
            with co_tenants(for_each, nice):
                _pass(BUSY)
            _pass(WATCH + WINDOW)
            found |= {f"{ground.starved} {how}": ground.words() for ground in grounds}
        for ground in grounds:
            ground.canary.cut()
        cut_at = time.monotonic()
        for ground in grounds:
            words: list[Word] = []

            def down(ground: Ground = ground, words: list[Word] = words) -> bool:
                words.extend(ground.words())
                return ("service_down", "canary") in words

            wait_until(down, 15 - min(10.0, time.monotonic() - cut_at), f"the canary of the {ground.starved} is down")
            found[f"canary {ground.starved}"] = words
        yield found


@pytest.mark.timeout(240)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_starved_loop_says_nothing_that_is_not_true(said: dict[str, list[Word]], row: Row) -> None:
    words = said[row.name]
    assert [word for word in words if not row.true(word)] == []
    assert row.must <= {kind for kind, _ in words}


@pytest.mark.parametrize("starved", ["registry", "monitor", "gateway", "agents"])
def test_who_dies_after_all_that_is_still_told(said: dict[str, list[Word]], starved: str) -> None:
    about_the_canary = [kind for kind, service_id in said[f"canary {starved}"] if service_id == "canary"]
    assert [kind for kind in about_the_canary if kind != "alert_undelivered"][:2] == ["service_suspect", "service_down"]
