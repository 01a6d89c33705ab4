"""How soon does a watcher know that a client has failed, beside other registries? `python -m benchmarks.peers`.

Clients in Go (`benchmarks/peers_driver`) hold their liveness with TRON, NATS, etcd, Redis, ZooKeeper and Consul, each a
process of its own and through the stock client of the system. Some are killed with SIGKILL, others are stopped with
SIGSTOP, while further clients live. The time is that from the signal to the notice in the process of a watcher: a
service_suspect and a service_down at the parent; a client that disconnected; a key, a node or a check that ended.

Each system is measured at its defaults, all at once, and at its shortest settings, one after the other. "Shortest" is
the shortest that the system accepts, but no sign of life more often than each 0.1 s, and three of them before the end.
A system without a default is given 30 s, renewed each 10 s; ZooKeeper the 30 s of its own command line.

It needs Go, which also builds NATS, etcd and Consul; Redis and ZooKeeper are taken out of Debian's packages if they are
not installed, and nothing is installed. What cannot be had is reported as not measured.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks._driver import Driver
from benchmarks._peer_programs import NotMeasured
from benchmarks._peer_systems import SYSTEMS, Setting, System, driver
from benchmarks._report import Figure, arguments, conclude, distribution, table

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
LONGEST_SPREAD = 30.0
"""Seconds over which clients start, at most: their signs of life are then not sent at the same time."""
SETTLE = 2.0
OWN_SESSION = ("setsid",)
"""Starts a client. Otherwise the kernel continues the stopped ones if another program of their process group ends and
leaves the group without a parent, such as a script that was started in the background."""
READY_WITHIN = 30.0
SHORT_PATIENCE = 30.0
"""Seconds after which a notice is not awaited any more at the shortest settings."""


class Run:
    """One system at one setting: its server, a watcher, clients that live, and clients that fail."""

    def __init__(self, system: System, version: str, setting: Setting, running: ExitStack) -> None:
        """Start the server, the watcher and the clients that live. They end with `running`."""
        self.system, self.setting, self.version = system, setting, version
        self.failed: dict[str, tuple[str, float]] = {}
        """What happened to each client that failed, and when."""
        self._until = float("inf")
        self._running = running
        self._clients: dict[str, Driver] = {}
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        self._flags = running.enter_context(system.start(setting, folder))
        self._watcher = self._client("watch")
        self._ready(self._watcher, "the watcher")

    @property
    def label(self) -> str:
        """Names the run in tables."""
        return f"{self.system.title}, {self.setting.name} ({self.setting.meaning})"

    @property
    def spread(self) -> float:
        """Seconds over which its clients should start."""
        return min(self.setting.renew, LONGEST_SPREAD)

    @property
    def waited(self) -> float:
        """Seconds for which notices were awaited after the last signal."""
        return self._until - max(at for _, at in self.failed.values())

    def add(self, *ids: str) -> None:
        """Start one process that holds these ids."""
        self._clients[ids[0]] = self._client("hold", ids=",".join(ids))

    def wait_ready(self) -> None:
        """Wait until all clients are held."""
        for name, client in self._clients.items():
            self._ready(client, name)

    def fail(self) -> None:
        """Kill and stop the clients that are named so, one after the other, in another order than they started in."""
        for how, number in SIGNALS.items():
            names = [name for name in self._clients if name.partition("-")[0] == how]
            for name in random.sample(names, len(names)):
                # With TRON, five within a second would be a mass failure in so small a fleet, whose notices are held.
                time.sleep(random.uniform(0.3, 0.5))
                self.failed[name] = (how, time.time())
                os.kill(self._clients[name].pid, number)

    def wait(self, until: float) -> None:
        """Wait until the watcher has heard of everyone that failed, or until a moment of `time.monotonic`."""
        *_, last = self.system.notices
        left = max(0.0, until - time.monotonic())
        try:
            self._watcher.wait(lambda: self.failed.keys() <= self._heard(last).keys(), left, "the notices")
        except RuntimeError as error:
            print(f"{self.label}: {error}", file=sys.stderr, flush=True)

    def seconds(self, how: str, notice: str) -> list[float]:
        """The times from the signal to the notice."""
        heard = self._heard(notice)
        return [
            heard[name] - at for name, (done, at) in self.failed.items() if done == how and heard.get(name, 0.0) > at
        ]

    def accused(self) -> list[str]:
        """The notices about clients that were alive then."""
        return [
            f"{line['id']}: {line['how']}"
            for line in self._notices()
            if line["at"] < self.failed.get(line["id"], ("", float("inf")))[1]
        ]

    def resolve(self) -> None:
        """End the measurement, and the clients that are stopped."""
        self._until = time.time()
        for name, (how, _) in self.failed.items():
            if how == "stop":
                os.kill(self._clients[name].pid, signal.SIGKILL)

    def _notices(self) -> list[dict[str, Any]]:
        return [line for line in self._watcher.heard("gone") if line["at"] < self._until]

    def _heard(self, notice: str) -> dict[str, float]:
        """When the watcher first heard a notice about each client."""
        found: dict[str, float] = {}
        for line in self._notices():
            if not notice or line["how"] in self.system.notices[notice]:
                found.setdefault(line["id"], line["at"])
        return found

    def _client(self, role: str, **flags: str) -> Driver:
        lives = {"ttl": f"{self.setting.ttl}s", "renew": f"{self.setting.renew}s"}
        own = {"peer": self.system.name, "role": role, "user": role, **lives, **self._flags, **flags}
        address = str(own.pop("address"))
        return self._running.enter_context(Driver(address, OWN_SESSION, driver(), **own))

    def _ready(self, client: Driver, what: str) -> None:
        try:
            ready = client.wait(lambda: client.heard("ready"), READY_WITHIN, what)
        except RuntimeError as error:
            raise NotMeasured(str(error)) from None
        if not ready:
            raise NotMeasured(f"{what} was not ready within {READY_WITHIN:g} s")


def start_clients(runs: Sequence[Run], counts: dict[str, int], bystanders: int, missing: dict[str, str]) -> list[Run]:
    """Start the clients of some runs, spread over the time between their signs of life; return the runs that can be
    measured."""
    due = []
    for run in runs:
        run.add(*(f"live-{number}" for number in range(bystanders)))
        due += [
            (run.spread * (number + random.random()) / count, f"{how}-{number}", run)
            for how, count in counts.items()
            for number in range(count)
        ]
    began = time.monotonic()
    for after, name, run in sorted(due, key=lambda each: each[0]):
        time.sleep(max(0.0, began + after - time.monotonic()))
        run.add(name)
    ready = []
    for run in runs:
        try:
            run.wait_ready()
        except NotMeasured as error:
            note(missing, f"{run.system.title}, {run.setting.name}", error)
        else:
            ready.append(run)
    time.sleep(SETTLE)
    return ready


def note(missing: dict[str, str], name: str, why: NotMeasured) -> None:
    """Say loudly that something is not measured."""
    missing[name] = str(why)
    print(f"NOT MEASURED: {name}: {why}", file=sys.stderr, flush=True)


def available(systems: Iterable[System]) -> tuple[dict[str, str], dict[str, str]]:
    """The versions of the systems that can be measured here, and why the others cannot, by name."""
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for system in systems:
        print(f"preparing {system.title} ...", flush=True)
        try:
            versions[system.name] = system.version()
        except NotMeasured as error:
            note(missing, system.title, error)
    return versions, missing


def rank(values: Sequence[float], key: str) -> float:
    """The p50 or the max of seconds, to the microsecond."""
    return round(distribution([each * 1000 for each in values])[key] / 1000, 6)


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def figures(runs: Sequence[Run]) -> list[Figure]:
    """The medians, each beside that of TRON's suspicion at the same setting."""
    yardsticks: dict[tuple[str, str], float] = {}
    found: list[Figure] = []
    for run in sorted(runs, key=lambda each: each.system.name != "tron"):
        for how, notice in ((how, notice) for how in SIGNALS for notice in run.system.notices):
            values = run.seconds(how, notice)
            complete = len(values) == sum(done == how for done, _ in run.failed.values())
            value = rank(values, "p50") if values and complete else None
            if value is not None and run.system.name == "tron":
                yardsticks.setdefault((how, run.setting.name), value)
            rest = "" if complete else f": {len(values)} of all within {run.waited:.0f} s"
            title = f"{run.system.title} {run.version}".strip()
            label = f"{title}, {run.setting.name} ({run.setting.meaning})"
            name = f"{how} -> watcher, p50: {label}{notice and f', {notice}'}{rest}"
            yardstick = yardsticks.get((how, run.setting.name)) if run.system.name != "tron" else None
            beside = f"TRON, {run.setting.name}, suspicion" if yardstick is not None else ""
            found.append(Figure(name, value, "s", beside, yardstick))
    return found


def shown(run: Run) -> dict[str, dict[str, str]]:
    """The rows of one run."""

    def cell(values: list[float], how: str, key: str) -> str:
        count = sum(done == how for done, _ in run.failed.values())
        if len(values) < count:
            return f"{count - len(values)} of {count} > {run.waited:.0f} s"
        return _time(rank(values, key)) if values else ""

    return {
        f"{run.label}{notice and f', {notice}'}": {
            **{f"{how} {key}": cell(run.seconds(how, notice), how, key) for how in SIGNALS for key in ("p50", "max")},
            "accused": str(len(run.accused())),
        }
        for notice in run.system.notices
    }


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    names = [system.name for system in SYSTEMS]
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    parser.add_argument("--settings", nargs="*", choices=("defaults", "shortest"), default=["defaults", "shortest"])
    parser.add_argument("--kills", type=int, default=10, help="of each system at each setting")
    parser.add_argument("--stops", type=int, default=5, help="of each system at each setting")
    parser.add_argument("--bystanders", type=int, default=20, help="clients that live, of each")
    parser.add_argument("--patience", type=float, default=210.0, help="seconds after which a notice is not awaited")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that every server and client ends too
    counts = {"kill": chosen.kills, "stop": chosen.stops}
    systems = [system for system in SYSTEMS if system.name in chosen.only]
    versions, missing = available(systems)
    runs: list[Run] = []

    def begin(setting: str, system: System, running: ExitStack) -> list[Run]:
        found = [each for each in system.settings if each.name == setting and setting in chosen.settings]
        try:
            return [Run(system, versions[system.name], each, running) for each in found if system.name in versions]
        except NotMeasured as error:
            note(missing, f"{system.title}, {setting}", error)
            return []

    with ExitStack() as running:
        slow = [run for system in systems for run in begin("defaults", system, running)]
        slow = start_clients(slow, counts, chosen.bystanders, missing)
        # A client of NATS that is stopped takes the longest.
        for run in sorted(slow, key=lambda each: -each.setting.ttl):
            run.fail()
        until = time.monotonic() + chosen.patience
        for system in systems:
            with ExitStack() as inner:
                for run in start_clients(begin("shortest", system, inner), counts, chosen.bystanders, missing):
                    run.fail()
                    run.wait(time.monotonic() + min(chosen.patience, SHORT_PATIENCE))
                    run.resolve()
                    runs.append(run)
                    print(shown(run), flush=True)
        for run in slow:
            run.wait(until)
            run.resolve()
        runs += slow
    rows = {name: row for run in runs for name, row in shown(run).items()}
    print("versions:", ", ".join(f"{name} {version}" for name, version in versions.items() if version))
    if rows:
        table("How soon a watcher knows of a client that was killed or stopped", rows)
    for name, why in missing.items():
        print(f"NOT MEASURED: {name}: {why}")
    for run in runs:
        for line in run.accused()[:10]:
            print(f"  {run.label}: {line} while it was alive")
    samples = {
        run.label: {
            f"{how} {notice}".strip(): [round(each, 4) for each in run.seconds(how, notice)]
            for how in SIGNALS
            for notice in run.system.notices
        }
        for run in runs
    }
    absent = [Figure(f"peers: {name} not measured: {why}", None, "s") for name, why in missing.items()]
    result = {"rows_shown": rows, "samples_s": samples, "versions": versions, "not_measured": missing}
    conclude("peers", chosen.out, [*figures(runs), *absent], result)


if __name__ == "__main__":
    main()
