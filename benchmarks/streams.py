"""Whether the gateway's memory stays flat under many browsers: `python -m benchmarks.streams`.

A whole system; 5,000 services that one stream carries, a tenth of which beat each second; every tenth of a second one
of them changes. 200 browsers follow GET /v1/stream and note how late each change comes. Then 200 more come that read
nothing at all, and once they were cut off another 200: they must cost a bounded amount, leave nothing behind that the
next do not use again, and disturb nobody.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from grid.registry.v1 import heartbeat_pb2
from grid_model import wire

from benchmarks._report import Figure, arguments, conclude, distribution, table
from tests.e2e.raw_agent import RawAgent, a_service
from tests.support.processes import start_system
from tests.support.waiting import wait_until

INTERVAL = 10.0
CHANGE_EVERY = 0.1
CUT_WITHIN = 45.0
"""Seconds: the gateway's patience with who does not read, and some more."""


class Load:
    """Services that beat in turns, and now and then one that changes."""

    def __init__(self, address: str, services: int) -> None:
        self._agent = RawAgent(address)
        self._ids = [f"carried-{number:05}" for number in range(services)]
        for service_id in self._ids:
            self._agent.announce(a_service(service_id, heartbeat_interval=wire.duration(INTERVAL)), "load")
        self._agent.wait("registered", services, timeout=60)
        self._agent.heard.clear()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Beat no more."""
        self._over.set()
        self._thread.join()
        self._agent.cut()

    def _run(self) -> None:
        steps = int(INTERVAL / CHANGE_EVERY / 2)
        step = 0
        while not self._over.wait(CHANGE_EVERY):
            step += 1
            beats = [heartbeat_pb2.Beat(service_id=each) for each in self._ids[step % steps :: steps]]
            beats[0].message = f"t={time.time():.4f}"
            self._agent.say(beats=heartbeat_pb2.Beats(beats=beats))
            self._agent.heard.clear()


class Browsers:
    """The reading processes."""

    def __init__(self, url: str, count: int, processes: int = 2) -> None:
        command = [sys.executable, "-m", "benchmarks._readers", url]
        each, more = divmod(count, processes)
        self._processes = [
            subprocess.Popen(
                [*command, str(each + (number < more))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for number in range(processes)
        ]

    def ask(self) -> dict[str, Any]:
        """What they heard since they were last asked, together."""
        total: dict[str, Any] = {"open": 0, "loaded": 0, "bytes": 0, "late": []}
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            for key in total:
                total[key] += answer[key]
        return total

    def close(self) -> None:
        """Close all of them."""
        for process in self._processes:
            process.kill()
            process.wait()


def deaf(url: str, count: int) -> list[socket.socket]:
    """Connections that ask for the stream and never read it."""
    host, _, port = url.removeprefix("http://").partition(":")
    connections = []
    for _ in range(count):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(f"GET /v1/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        connections.append(connection)
    return connections


def memory(pid: int) -> float:
    """What a process holds now, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor(pid: int) -> float:
    """What it has used, in seconds."""
    user, kernel = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def sample(pid: int, seconds: float) -> list[float]:
    """Its memory in MB, each second."""
    found = []
    for _ in range(int(seconds)):
        time.sleep(1.0)
        found.append(memory(pid))
    return found


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--browsers", type=int, default=200)
    parser.add_argument("--deaf", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_system(Path(folder)) as system:
        gateway = system.child_pid("gateway")
        empty = memory(gateway)
        load = Load(system.registry_address, chosen.services)
        alone = median(sample(gateway, 10))
        url = system.url("hmi_http")
        browsers = Browsers(f"{url}/v1/stream", chosen.browsers)
        began = time.monotonic()
        wait_until(lambda: browsers.ask()["loaded"] == chosen.browsers, 60, "all browsers have the snapshot")
        loaded_after = time.monotonic() - began
        sample(gateway, 10)
        before = browsers.ask()["bytes"]
        cpu = processor(gateway)
        held = sample(gateway, chosen.seconds)
        cpu = (processor(gateway) - cpu) / chosen.seconds
        heard = browsers.ask()
        quarter = max(1, len(held) // 4)
        first, last = median(held[:quarter]), median(held[-quarter:])
        waves, cut = [], 0
        for _ in range(2):
            silent = deaf(url, chosen.deaf)
            waves.append(max(sample(gateway, CUT_WITHIN)))
            cut += sum(map(_is_cut, silent))
        after = browsers.ask()
        browsers.close()
        load.close()
    rows = {
        "a change, to each of the browsers [ms]": distribution(heard["late"]),
        "the same, with the deaf beside them [ms]": distribution(after["late"]),
    }
    table(f"{chosen.services} services, {chosen.browsers} browsers, {chosen.seconds:g} s", rows)
    rate = (heard["bytes"] - before) / chosen.seconds / 1e6
    print(f"all have the snapshot after {loaded_after:.1f} s; then {rate:.1f} MB/s in all, {cpu:.0%} of one processor")
    print(f"gateway's memory: {empty:.0f} MB empty, {alone:.0f} with the services, {first:.0f} in the first quarter")
    print(f"with browsers, {last:.0f} in the last; at most {waves[0]:.0f} and {waves[1]:.0f} with the deaf")
    each_deaf = (waves[0] - last) / max(1, chosen.deaf)
    figures = [
        Figure("streams: memory at the end", last, "MB", "memory at the start", first, goal=1.05, at_least=False),
        Figure("streams: browsers that still follow", after["open"], "", goal=chosen.browsers),
        Figure("streams: deaf clients that were cut off", cut, "", goal=2 * chosen.deaf),
        Figure("streams: memory of a deaf client", each_deaf, "MB", goal=1, at_least=False),
        Figure("streams: memory, second wave", waves[1], "MB", "first wave", waves[0], goal=1.05, at_least=False),
    ]
    result = {
        "services": chosen.services,
        "browsers": chosen.browsers,
        "loaded_after_s": round(loaded_after, 2),
        "mb_per_s": round(rate, 2),
        "processor": round(cpu, 3),
        "memory_mb": {
            "empty": round(empty, 1),
            "services": round(alone, 1),
            "first_quarter": round(first, 1),
            "last_quarter": round(last, 1),
            "with_deaf": [round(each, 1) for each in waves],
        },
        "distributions_ms": rows,
    }
    conclude("streams", chosen.out, figures, result)


def _is_cut(connection: socket.socket) -> bool:
    """Whether the other side ended it, behind what it had sent before."""
    connection.settimeout(1.0)
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


if __name__ == "__main__":
    main()
