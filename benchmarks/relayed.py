"""What do relayed heartbeats and registrations cost, many in a message? `python -m benchmarks.relayed`; needs Go.

A driver in Go (`benchmarks/driver -relay`) registers 1,000, 10,000 and 100,000 services that have no stream, 100 in a
message, and sends their heartbeats from then on, each once a second, 100 or 1,000 in a message. The cost of a beat is
the processor time of registry and TRON together, less what they use while nobody beats, divided by the beats. Beside it
the same load on a server that parses, notes when each id was heard, and answers. Then the same without a pause between
two messages: beats for each second of processor time.

Last, 100,000 services attach that beat every 5 s: nobody may be accused.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from tron_client import RegistryClient

from benchmarks._driver import Driver, is_built
from benchmarks._report import Figure, arguments, conclude, table
from benchmarks._servers import bare, on_processor, ours

GOALS = {100: 0.5, 1000: 0.4}
"""Beats for each second of processor time, as a share of what the noting server reaches, by beats in a message."""

REGISTRATIONS = {"alone": 10_000.0, "tron up": 7_000.0}
ATTACH = 100_000
ATTACH_WITHIN = 20.0
ACCUSATIONS = ("heartbeat_miss", "service_suspect", "service_down", "service_deregistered", "cascading_failure")

SETTLE = 2.0
LEAST = 0.1
"""Seconds of processor time below which a cost is not believed."""

FLOOD = 4
"""Messages on their way while no pause is made."""


def spent(pids: dict[str, int], seconds: float) -> float:
    """Seconds of processor time that the processes use in this time, together."""
    before = sum(map(on_processor, pids.values()))
    time.sleep(seconds)
    return sum(map(on_processor, pids.values())) - before


def measure(
    address: str, pids: dict[str, int], services: int, batch: int, seconds: float, form: str
) -> dict[str, float]:
    """One run against one server."""
    idle = spent(pids, min(seconds, 5.0)) / min(seconds, 5.0)
    flags: dict[str, int | str] = {"relay": services, "per_message": batch, "interval": "1s", "form": form}
    with Driver(address, **flags) as driver:
        driver.wait(lambda: driver.heard("relay_registered"), 300, "all to be registered")
        registering = driver.heard("relay_registered")[0]["seconds"]
        time.sleep(SETTLE)
        driver.ask("acks")
        before = driver.ask("beats")
        busy = spent(pids, seconds)
        beats = driver.ask("beats")["acked"] - before["acked"]
        acks = driver.ask("acks")
        driver.say(f"flood {FLOOD}")
        time.sleep(SETTLE)
        before = driver.ask("beats")
        flooded = spent(pids, seconds)
        flood = driver.ask("beats")["acked"] - before["acked"]
        counts = driver.ask("totals")["counts"]
    if counts:
        print(f"  beside acknowledgements: {counts}", file=sys.stderr)
    cost = busy - idle * seconds
    # A few services beat for less than what the processor time of a process is counted in.
    paced = {"paced, beats/CPU-s": beats / cost} if cost > LEAST else {}
    return {
        **paced,
        "flood, beats/CPU-s": flood / flooded,
        "flood, beats/s": flood / seconds,
        "ack p99 ms": acks.get("p99", 0.0),
        "registrations/s": services / registering,
    }


def registrations(*, whole: bool, services: int) -> float:
    """Durable registrations a second on one stream; without `whole` TRON is not there either."""
    if whole:
        with ours(whole=True) as (address, _):
            return _register(address, services)
    from tests.support.processes import start_registry

    with tempfile.TemporaryDirectory() as folder, start_registry(Path(folder) / "data") as registry:
        return _register(registry.address, services)


def _register(address: str, services: int) -> float:
    with Driver(address, relay=services, window=4, interval="30s") as driver:
        driver.wait(lambda: driver.heard("relay_registered"), 300, "all to be registered")
        return float(services / driver.heard("relay_registered")[0]["seconds"])


def attach(seconds: float) -> dict[str, Any]:
    """Let all attach, and see whether anybody is accused."""
    with ours() as (address, _), Driver(address, relay=ATTACH, per_message=1000, interval="5s") as driver:
        driver.wait(lambda: driver.heard("relay_registered"), 300, "all to be registered")
        attached = driver.heard("relay_registered")[0]["seconds"]
        time.sleep(seconds)
        acks = driver.ask("acks")
        page = RegistryClient(address, timeout=30.0).list_events(limit=1000, types=ACCUSATIONS)
        return {"attached_after_s": attached, "false": len(page.events), "ack p99 ms": acks.get("p99", 0.0)}


def compared(name: str, batch: int, rounds: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """The figures of some rounds, each beside the yardstick's; those with a goal say whether it holds."""
    figures: list[dict[str, Any]] = []
    for what in rounds["ours"][0]:
        if not all(what in each for server in rounds.values() for each in server):
            print(f"{name}: {what}: too little to be measured")
            continue
        values, noted = ([each[what] for each in rounds[server]] for server in ("ours", "noting"))
        value, yardstick = median(values), median(noted)
        figure: dict[str, Any] = {
            "name": f"{name}: {what}",
            "value": value,
            "unit": what.split()[-1],
            "values": values,
            "yardstick": "noting",
            "yardstick_value": yardstick,
            "ratio": value / yardstick if yardstick else None,
        }
        if what.endswith("CPU-s") and batch in GOALS:
            figure |= {"goal": GOALS[batch], "holds": figure["ratio"] is not None and figure["ratio"] >= GOALS[batch]}
        figures.append(figure)
    return figures


def declared(found: dict[str, Any]) -> Figure:
    """A figure as all benchmarks declare it."""
    names = ("value", "unit", "yardstick", "yardstick_value", "goal", "at_least")
    return Figure(f"relayed: {found['name']}", **{name: found[name] for name in names if name in found})


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--services", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--batches", type=int, nargs="*", default=list(GOALS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--form", choices=("columns", "beats"), default="columns")
    parser.add_argument("--registrations", type=int, default=50_000, help="how many; 0: not measured")
    parser.add_argument("--no-attach", action="store_true", help="without the attach of 100,000")
    chosen = parser.parse_args()
    if not is_built():
        return
    figures: list[dict[str, Any]] = []
    for batch in chosen.batches:
        for services in chosen.services:
            rounds: dict[str, list[dict[str, float]]] = {"ours": [], "noting": []}
            for _ in range(chosen.rounds):
                for name, server in (("ours", ours()), ("noting", bare("--noting"))):
                    with server as (address, pids):
                        rounds[name].append(measure(address, pids, services, batch, chosen.seconds, chosen.form))
            found = compared(f"{batch} a message, {services:,} services", batch, rounds)
            figures += found
            for each in found:
                print(f"{each['name']}: {each['value']:,.1f} / {each['yardstick_value']:,.1f}", flush=True)
    if chosen.registrations:
        for name, whole in (("alone", False), ("tron up", True)):
            rates = [registrations(whole=whole, services=chosen.registrations) for _ in range(chosen.rounds)]
            value, goal = median(rates), REGISTRATIONS[name]
            figures.append(
                {
                    "name": f"registrations/s, {name}",
                    "unit": "registrations/s",
                    "value": value,
                    "values": rates,
                    "goal": goal,
                    "holds": value >= goal,
                }
            )
    if not chosen.no_attach:
        result = attach(20.0)
        for name, value, unit, goal in (
            (f"{ATTACH:,} attach", result["attached_after_s"], "s", ATTACH_WITHIN),
            (f"{ATTACH:,} attach, accused", result["false"], "events", 0),
        ):
            holds = value <= goal
            figures.append(
                {"name": name, "value": value, "unit": unit, "goal": goal, "at_least": False, "holds": holds, **result}
            )
    columns = ("value", "yardstick_value", "ratio", "goal", "holds")
    rows = {each["name"]: {column: each.get(column, "") for column in columns} for each in figures}
    table(f"Relayed heartbeats in {chosen.form}", rows)
    conclude("relayed", chosen.out, list(map(declared, figures)), {"figures": figures})


if __name__ == "__main__":
    main()
