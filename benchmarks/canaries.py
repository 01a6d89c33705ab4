"""Is every death told in time while tens of thousands live? `python -m benchmarks.canaries`; needs Go.

A driver in Go (`benchmarks/driver`) opens 5,000, 10,000 and 20,000 agents with a stream each, over 4 and over 20 s.
Among them are 20 canaries that really die, 10 of them while the others attach and 10 afterwards: half of each are cut
(their connection is reset without a word), half fall silent (the stream stays, no beat comes any more). Their parent
must hear two things of each within its bound and 500 ms: the suspicion, and that it is down. That makes 40 alerts in
each run. The removals that follow are shown, and have no goal. Of nobody else anything may be said.

The same happens to 10,000 whose registry is killed with SIGKILL (the first ten die when they have come back), and to
28,000 on shared streams of whom 8,000 die at once (the first ten die in the two seconds after). With 40,000 this
is close to the limit of two processors; it is shown, and has no goal.

Each run is compared with the same load on a bare server, which only parses, counts and answers.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tron_client import RegistryClient

from benchmarks._canary_runs import EACH_KIND, INTERVAL, Scenario, explain, goals, row, scenarios
from benchmarks._deaths import GRACE, Due, due, silence
from benchmarks._driver import Driver, is_built
from benchmarks._report import Figure, arguments, conclude, table
from benchmarks._servers import Servers, bare, cpu_seconds

SETTLE = 5.0
"""Seconds from when all are attached to when peace begins."""

PEACE = 15.0
"""Seconds over which acknowledgements and processors are measured."""

APART = 0.3
"""Seconds between two deaths of late canaries."""

ATTACH_WITHIN = 120.0
TELL_WITHIN = 30.0
"""Seconds after the last bound at which an alert that did not come is called lost."""

PARENT = "canary-parent"
"""The recipient, as the driver calls it."""

JUDGEMENTS = (
    "heartbeat_miss",
    "service_suspect",
    "service_down",
    "service_deregistered",
    "service_stalled",
    "heartbeat_restored",
    "parent_down",
    "cascading_failure",
)


def measure(scenario: Scenario, *, whole: bool) -> dict[str, Any]:
    """Run one scenario against the real servers; return all that was seen."""
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder), whole=whole)
        with servers, Driver(servers.address, **scenario.flags()) as driver:
            result = _run(scenario, servers, driver)
        return {**result, "pauses_ms": longest_pauses(servers)}


def _run(scenario: Scenario, servers: Servers, driver: Driver) -> dict[str, Any]:
    """Let everyone attach, measure the peace, let the canaries die."""
    driver.wait(lambda: driver.heard("attached"), ATTACH_WITHIN, "all to attach")
    attached = [line["seconds"] for line in driver.heard("attached")]
    result: dict[str, Any] = {"attached_after_s": attached[0] if attached else None}
    time.sleep(SETTLE)
    driver.ask("acks")
    with costs({**servers.pids, "driver": driver.pid}) as cost:
        time.sleep(PEACE)
    result |= {"ack_ms": driver.ask("acks"), "cpu_percent": cost}
    late = 0
    if scenario.kill_registry:
        result["back_after_s"] = _kill_registry(servers, driver)
    if scenario.mass_death:
        driver.ask("acks")
        driver.say(f"cut-mass {scenario.mass_death}")
        late = _kill_canaries(driver, late)
        time.sleep(3 * INTERVAL)
        result["mass_ack_ms"] = driver.ask("acks")
    late = _kill_canaries(driver, late)
    expected = late + (0 if scenario.mass_death else 2 * EACH_KIND)
    driver.wait(lambda: len(driver.heard("died")) >= expected, TELL_WITHIN, "every death")
    last = max(death["at"] for death in driver.heard("died")) + silence(3, INTERVAL) + INTERVAL
    driver.wait(lambda: _all_told(driver), max(0.0, last - time.time()) + TELL_WITHIN, "every alert")
    result["totals"] = driver.ask("totals")
    return result | _judge(scenario, servers, driver, expected)


def _kill_registry(servers: Servers, driver: Driver) -> float | None:
    """Kill it, and wait until all are attached again; seconds from the kill, None where they never were."""
    before = len(driver.heard("attached"))
    killed_at = time.time()
    servers.kill_registry()
    driver.wait(lambda: len(driver.heard("attached")) > before, ATTACH_WITHIN, "all to come back")
    back = driver.heard("attached")[before:]
    time.sleep(SETTLE)
    return round(back[0]["at"] - killed_at, 2) if back else None


def _kill_canaries(driver: Driver, before: int) -> int:
    """Cut five of the late canaries and let five fall silent, by turns; return how many are dead now."""
    for number in range(before + 1, before + 2 * EACH_KIND + 1):
        driver.say(f"{'cut' if number % 2 else 'silence'} canary-{number}")
        time.sleep(APART)
    return before + 2 * EACH_KIND


def _due(driver: Driver) -> tuple[list[Due], list[Due]]:
    parent_since = [line["at"] for line in driver.heard("registered") if line["id"] == PARENT][-1]
    return due(driver.heard("died"), driver.heard("alert"), INTERVAL, parent_since)


def _all_told(driver: Driver) -> bool:
    urgent, removals = _due(driver)
    return all(each.late is not None for each in (*urgent, *removals))


def _judge(scenario: Scenario, servers: Servers, driver: Driver, deaths: int) -> dict[str, Any]:
    """What came of the deaths, and what was said of anybody else."""
    died = driver.heard("died")
    urgent, removals = _due(driver)
    mass = _mass(driver)
    stalls = [line["seconds"] for line in servers.logged("registry_stalled")]
    return {
        "deaths": deaths,
        "alerts_due": len(urgent) + 2 * (deaths - len(died)),
        "suspicions_overtaken": 2 * len(died) - len(urgent),
        "alerts_in_time": sum(each.in_time for each in urgent),
        "alerts_lost": sum(each.late is None for each in urgent) + 2 * (deaths - len(died)),
        "latest_s": max((each.late for each in urgent if each.late is not None), default=None),
        "late": [_line(each) for each in urgent if not each.in_time],
        "removals_in_time": sum(each.in_time for each in removals),
        "false": _false_words(servers.address, {death["id"] for death in died}, scenario),
        "monitor_lost": [line["seconds"] for line in servers.logged("monitor_lost")],
        "registry_stalled": stalls,
        "canaries_ended": len(driver.heard("ended")),
        "mass_told": mass,
    }


def _mass(driver: Driver) -> dict[str, dict[str, float]]:
    """How many alerts of each type about the mass that died came, and seconds from its death to the first and last."""
    died = driver.heard("mass_died")
    told: dict[str, dict[str, float]] = driver.heard("totals")[-1]["told"] if died else {}
    return {
        kind: {"count": each["count"], **{key: round(each[key] - died[0]["at"], 3) for key in ("first", "last")}}
        for kind, each in told.items()
    }


def _line(each: Due) -> dict[str, Any]:
    return {"service_id": each.service_id, "how": each.how, "type": each.type, "late_s": each.late}


def _false_words(address: str, dead: set[str], scenario: Scenario) -> dict[str, int]:
    """How many events of each type are in the log about somebody who lives."""
    client = RegistryClient(address, timeout=30.0)
    said: Counter[str] = Counter()
    # The driver took those of the mass that died from the end. A death may be in the log more than once: an alert that
    # escalates is a copy of its own.
    survivors = scenario.agents - scenario.mass_death
    dead = dead | {f"agent-{number}" for number in range(survivors, scenario.agents)}
    after = 0
    while True:
        page = client.list_events(after_sequence=after, limit=1000, types=JUDGEMENTS)
        said.update(event.type for event in page.events if event.service_id not in dead)
        if not page.next_after_sequence:
            return dict(said)
        after = page.next_after_sequence


def longest_pauses(servers: Servers) -> dict[str, dict[str, float]]:
    """Milliseconds of the longest pause of each program's loop, by cause, as it logs them: the newest longest one now
    and then, and all when it ends."""
    longest: dict[str, dict[str, float]] = {}
    for line in servers.logged("loop_paused", "loop_pauses"):
        told = {line["cause"]: line["seconds"]} if line["event"] == "loop_paused" else line
        of = longest.setdefault(line["program"], {})
        for cause, seconds in told.items():
            if isinstance(seconds, float | int):
                of[cause] = max(of.get(cause, 0.0), round(seconds * 1000, 1))
    return longest


def measure_bare(scenario: Scenario) -> dict[str, Any]:
    """The same load on a server that only answers."""
    flags = {**scenario.flags(), "early_at": 0}  # nobody dies
    with bare() as (address, pids), Driver(address, **flags) as driver:
        driver.wait(lambda: driver.heard("attached"), ATTACH_WITHIN, "all to attach")
        attached = [line["seconds"] for line in driver.heard("attached")]
        time.sleep(SETTLE)
        driver.ask("acks")
        with costs({**pids, "driver": driver.pid}) as cost:
            time.sleep(PEACE)
        acks = driver.ask("acks")
    return {"attached_after_s": attached[0] if attached else None, "ack_ms": acks, "cpu_percent": cost}


@contextmanager
def costs(pids: dict[str, int]) -> Iterator[dict[str, float]]:
    """Percent of one processor that each process used in the block; filled when it ends."""
    found: dict[str, float] = {}
    began = time.monotonic()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    yield found
    took = time.monotonic() - began
    found |= {name: round(100 * (cpu_seconds(pid) - before[name]) / took, 1) for name, pid in pids.items()}


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--agents", type=int, nargs="*", default=[5_000, 10_000, 20_000])
    parser.add_argument("--ramps", type=float, nargs="*", default=[4.0, 20.0])
    parser.add_argument("--only", choices=("ramps", "kill", "mass"), nargs="*", default=["ramps", "kill", "mass"])
    parser.add_argument("--no-bare", action="store_true", help="without the bare server beside it")
    parser.add_argument("--up", action="store_true", help="all of `tron up`, with the gateway")
    chosen = parser.parse_args()
    if not is_built():
        return
    results: dict[str, dict[str, Any]] = {}
    rows: dict[str, dict[str, Any]] = {}
    held: list[Figure] = []
    for scenario in scenarios(chosen.agents, chosen.ramps):
        kind = "kill" if scenario.kill_registry else "mass" if scenario.mass_death else "ramps"
        if kind not in chosen.only:
            continue
        bare = None if chosen.no_bare else measure_bare(scenario)
        result = measure(scenario, whole=chosen.up)
        results[scenario.name] = {**result, "bare": bare}
        rows[scenario.name] = row(result, bare)
        held += goals(scenario, result)
        print(f"{scenario.name}: {rows[scenario.name]}", flush=True)
        explain(result)
    # The runs are columns, the measurements rows.
    table(
        f"Canaries; down at {GRACE:g} s or {silence(2, INTERVAL):g} s; ours / bare",
        {what: {name: each[what] for name, each in rows.items()} for what in next(iter(rows.values()))},
    )
    conclude("canaries", chosen.out, held, {"runs": results})


if __name__ == "__main__":
    main()
