"""Are certificates renewed under a running fleet, and does anybody notice? `python -m benchmarks.rotation`.

A whole system with mutual TLS, whose programs and 500 agents (half on shared streams, half on streams of their own)
have certificates that end after a minute. Under load, the CA is replaced and all certificates are renewed; the former
certificates end; the former CA is removed; a token is revoked; an agent without rights joins a shared stream.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from grid_model.access import Grant, Role
from tron_client import Agent, RegistryClient
from tron_client.access import AccessClient
from tron_client.channel import open_channel
from tron_client.endpoint import Endpoint

from benchmarks._report import Figure, arguments, conclude, table
from grid_hosting.access.book import Registered
from grid_hosting.access.store import AccessStore
from tests.e2e.raw_agent import RawAgent
from tests.support.certificates import Issued, TestAuthority
from tests.support.processes import System, start_system
from tests.support.waiting import let_pass, wait_until

GRANTS = {
    "spiffe:tests/worker": (Grant(Role.AGENT, "fleet-*"),),
    "spiffe:tests/admin": (Grant(Role.ADMIN, "*"),),
    "token:guest": (Grant(Role.AGENT, "guest-*"),),
}
GUESTS = [f"guest-{number}" for number in range(5)]
"""The agents on the stream that one without rights joins."""

BROKEN = ("registry_stream_broken", "beats_stream_broken", "registry_watch_broken", "stream_ended")
"""Words of the servers' logs when a stream of their own ends."""

RELOADED_WITHIN = 4.0
"""Seconds for all programs to take up renewed files, which they look at once a second."""

REVOKED_WITHIN = 1.0


class Files:
    """All files of the system: two CAs in turn, and certificates that outsiders may only connect with."""

    def __init__(self, folder: Path, lasts: timedelta) -> None:
        self._first = TestAuthority(folder / "first")
        self._second = TestAuthority(folder / "second")
        self._others = TestAuthority(folder / "others", "others")
        self.bundle = folder / "bundle.pem"
        self.trust(self._first)
        self.server = self._first.server(ends=lasts)
        self.worker = self._first.issue("worker", ends=lasts)
        self.ends_at = time.time() + lasts.total_seconds()
        self.outsider = self._others.issue("outsider")
        self._current = self._first

    def trust(self, *authorities: TestAuthority) -> None:
        """Let everybody trust these CAs."""
        self.bundle.write_bytes(b"".join(each.ca.read_bytes() for each in (*authorities, self._others)))

    def renew_ca(self) -> None:
        """Trust the second CA, too."""
        self.trust(self._first, self._second)

    def renew_certificates(self) -> None:
        """Replace the certificates of the servers and of the agents by those of the second CA."""
        self._current = self._second
        for name, old in (("server", self.server), ("worker", self.worker)):
            new = self._second.server() if name == "server" else self._second.issue("worker")
            for source, target in ((new.key, old.key), (new.cert, old.cert)):
                target.write_bytes(source.read_bytes())

    def drop_first_ca(self) -> None:
        """Trust the second CA only."""
        self.trust(self._second)

    def endpoint(self, address: str, issued: Issued, **more: Any) -> Endpoint:
        """The endpoint of a client with this certificate."""
        return Endpoint(address, ca=self.bundle, cert=issued.cert, key=issued.key, **more)

    @property
    def admin(self) -> Issued:
        """The certificate of the administrator, of the CA that issues now."""
        return self._current.issue("admin")

    @property
    def stranger(self) -> Issued:
        """A certificate of the first CA that has not ended."""
        return self._first.issue("worker-of-the-first-ca")


class Fleet:
    """The agents, in several processes."""

    def __init__(self, system: System, files: Files, agents: int, processes: int, interval: float) -> None:
        each = agents // processes
        env = {"TRON_CA": files.bundle, "TRON_CERT": files.worker.cert, "TRON_KEY": files.worker.key}
        self.count = each * processes
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks._rotating", system.registry_address, f"fleet-{number}",
                 str(each // 2), str(each - each // 2), str(interval)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, **{name: str(path) for name, path in env.items()}},
            )
            for number in range(processes)
        ]  # fmt: skip
        for process in self._processes:
            assert process.stdout is not None
            process.stdout.readline()

    def ask(self) -> list[dict[str, Any]]:
        """What happened in each process."""
        found = []
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            found.append(json.loads(process.stdout.readline()))
        return found

    def total(self, key: str) -> Counter[str]:
        """The sum of counts over the processes."""
        total: Counter[str] = Counter()
        for each in self.ask():
            total.update(each[key])
        return total

    def moved(self) -> int:
        """How many agents have moved to their next stream."""
        return sum(each["moved"] for each in self.ask())

    def close(self) -> None:
        """End all of it, without goodbye."""
        for process in self._processes:
            process.kill()
            process.wait()


class Watch(threading.Thread):
    """Every state of every agent that a reader sees."""

    def __init__(self, channel: grpc.Channel) -> None:
        super().__init__(daemon=True)
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        self._call = stub.WatchServices(registry_service_pb2.WatchServicesRequest())
        self.connected: set[str] = set()
        self.broken: Counter[str] = Counter()
        self.liveness: Counter[str] = Counter()
        self.start()

    def run(self) -> None:
        """Read until the end."""
        try:
            for answer in self._call:
                service = answer.upserted
                if service.connected:
                    self.connected.add(service.service_id)
                elif service.service_id in self.connected:
                    self.broken[service.service_id] += 1
                if service.service_id.startswith("fleet-") or service.service_id in GUESTS:
                    self.liveness[liveness_pb2.Liveness.Name(service.liveness).removeprefix("LIVENESS_")] += 1
        except grpc.RpcError:
            return

    def close(self) -> None:
        """Stop reading."""
        self._call.cancel()


@contextmanager
def running(folder: Path, files: Files) -> Iterator[System]:
    """The whole system."""
    store = AccessStore(folder / "data" / "registry")
    for name, grants in GRANTS.items():
        store.change(lambda book, n=name, g=grants: book.put(Registered(n, grants=g)))  # type: ignore[misc]
    store.close()
    env = {
        "TRON_SECURITY_CERT": str(files.server.cert),
        "TRON_SECURITY_KEY": str(files.server.key),
        "TRON_SECURITY_CLIENT_CA": str(files.bundle),
        "TRON_SECURITY_AUTHENTICATION": "true",
        "TRON_SECURITY_TRUST_DOMAINS": "tests",
    }
    with start_system(folder, env=env) as system:
        yield system


def presented(address: str, files: Files, issued: Issued) -> str:
    """What tells the certificate that a new connection gets from others; empty if the connection is refused."""
    context = ssl.create_default_context(cafile=str(files.bundle))
    context.load_cert_chain(issued.cert, issued.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), 5) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            secured.settimeout(5)
            if not secured.recv(1):  # TLS 1.3 reports a refused client certificate with the first bytes
                return ""
            der = secured.getpeercert(binary_form=True)
            return "" if der is None else str(hash(der))
    except OSError:
        return ""


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--agents", type=int, default=500)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=60.0, help="after which the first certificates end")
    chosen = parser.parse_args()
    lines: dict[str, Any] = {}
    figures: list[Figure] = []

    def line(what: str, shown: Any, number: float | None = None, *, goal: float, at_least: bool = False) -> None:
        note(what, shown)
        value = float(shown) if number is None else number
        figures.append(Figure(f"rotation: {what}", value, "", goal=goal, at_least=at_least))

    def note(what: str, shown: Any) -> None:
        lines[what] = shown
        print(f"{what}: {shown}", flush=True)

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = Files(folder / "files", timedelta(seconds=chosen.seconds))
        system = stack.enter_context(running(folder, files))
        fleet = Fleet(system, files, chosen.agents, chosen.processes, chosen.interval)
        stack.callback(fleet.close)
        admin = files.endpoint(system.registry_address, files.admin)
        watch = Watch(stack.enter_context(open_channel(admin)))
        stack.callback(watch.close)
        wait_until(lambda: len(watch.connected) >= fleet.count, 30, "the agents are connected")
        note("agents connected when the CA was renewed", fleet.total("states")["connected"])
        before = presented(system.registry_address, files, files.admin)
        files.renew_ca()
        let_pass(RELOADED_WITHIN)
        files.renew_certificates()
        let_pass(RELOADED_WITHIN)
        after = presented(system.registry_address, files, files.admin)
        renewed = bool(after) and after != before
        line("a new connection gets the renewed certificate", renewed, goal=1, at_least=True)
        left = files.ends_at - time.time()
        if left < chosen.seconds / 2:  # the registry asks for next streams in the last third
            sys.exit(f"too slow to measure anything: {left:.0f} s are left; choose more --seconds")
        ended = fleet.total("words")["stream_ended"] + sum(watch.broken.values())
        line("streams ended by the renewal of CA and certificates", ended, goal=0)
        note("seconds from the renewal to the end of the first certificates", round(left, 1))
        wait_until(lambda: time.time() > files.ends_at + 3 * chosen.interval, chosen.seconds + 30, "the end")
        moments = sorted(files.ends_at - at for each in fleet.ask() for at in each["moved_at"])
        line("agents that moved to their next stream before the end", fleet.moved(), goal=fleet.count, at_least=True)
        if moments:
            note("seconds before the end at which streams moved", f"{moments[-1]:.1f} to {moments[0]:.1f}")
            busiest = Counter(int(each) for each in moments).most_common(1)[0][1]
            note("streams that moved in the busiest second", busiest)
        broken = sum(count for each, count in watch.broken.items() if each.startswith("fleet-"))
        line("streams of agents that ended before the next one was registered", broken, goal=0)
        warnings = [text for each in fleet.ask() for text in each["warnings"]]
        line("warnings in the logs of the agents", len(warnings), goal=0)
        for text in warnings[:5]:
            print(f"  {text}")
        log = system.log
        again = sum(log.count(each) for each in BROKEN)
        note("streams of the programs that ended and were opened again", again)
        lost = sum(log.count(each) for each in ("registry_lost", "monitor_lost"))
        line("reports of a lost registry or a lost TRON", lost, goal=0)
        files.drop_first_ca()
        let_pass(RELOADED_WITHIN)
        refused = not presented(system.registry_address, files, files.stranger)
        line("a new connection with a certificate of the removed CA is refused", refused, goal=1, at_least=True)
        connected = fleet.total("states")["connected"]
        line("agents connected after it", connected, goal=fleet.count, at_least=True)
        admin = files.endpoint(system.registry_address, files.admin)

        token = folder / "guest.token"
        with AccessClient(admin) as access:
            created = access.create_token("token:guest")
            token.touch(mode=0o600)
            token.write_text(created.secret + "\n")
            guest = files.endpoint(system.registry_address, files.outsider, token_file=token)
            with RawAgent(system.registry_address, open_channel(guest)) as raw:
                raw.register("guest-raw")
                revoking = time.monotonic()
                access.revoke_token(created.info.token_id)
                reason = raw.wait_refused(5).reason
                took = time.monotonic() - revoking
            line("a revoked token ended its stream after [s]", f"{took:.3f} ({reason})", took, goal=REVOKED_WITHIN)
            created = access.create_token("token:guest")
            token.write_text(created.secret + "\n")
        guests = [Agent(each, registry=guest, heartbeat_interval=chosen.interval) for each in GUESTS]
        boss = Agent("boss", registry=guest, heartbeat_interval=chosen.interval, register_timeout=1.0)
        for agent in (*guests, boss):
            agent.start()
            stack.callback(agent.stop)
        let_pass(3 * chosen.interval)
        why, state = boss.last_error, boss.state
        named = "no agent grant" in why
        line("an agent without rights on a shared stream", f"{state}: {why}", named, goal=1, at_least=True)
        noticed = [each.service_id for each in guests if not each.healthy or watch.broken[each.service_id]]
        line("others on its stream that noticed anything", len(noticed), goal=0)

        with RegistryClient(admin) as client:
            found = [each for each in client.list_events(limit=1000).events if each.service_id != "guest-raw"]
            events = Counter(each.type for each in found)
        line("events about agents", dict(events) or 0, events.total(), goal=0)
        for each in found[:10]:
            print(f"  {each.occurred_at} {each.type} {each.service_id}: {each.message}")
        states = {each: count for each, count in watch.liveness.items() if each in ("SUSPECT", "DOWN")}
        line("agents seen SUSPECT or DOWN", states or 0, sum(states.values()), goal=0)
    table("Rotation", {what: {"": number} for what, number in lines.items()})
    conclude("rotation", chosen.out, figures, {"lines": lines})


if __name__ == "__main__":
    main()
