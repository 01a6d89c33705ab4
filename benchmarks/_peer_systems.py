"""The systems that `benchmarks.peers` compares: their settings, and how each is started on loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchmarks._peer_programs import NotMeasured, built, built_elsewhere, unpacked, version
from benchmarks._ports import answers, free_ports
from tests.support.processes import start_system

SERVES_WITHIN = 60.0
ENDS_WITHIN = 10.0

CONSUL = "github.com/hashicorp/consul", "v1.14.11"
"""A version that is open source; from 1.17 on it is not."""

Flags = dict[str, int | str]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a system is used with. `ttl` and `renew`: as for the driver, in seconds."""

    name: str
    meaning: str
    ttl: float
    renew: float
    server: Mapping[str, str] = field(default_factory=dict)
    """What is set in the server."""


@dataclass(frozen=True, slots=True)
class System:
    """A system that knows which clients are alive."""

    name: str
    """As the driver calls it."""
    title: str
    settings: tuple[Setting, ...]
    version: Callable[[], str]
    """Installs it, and returns its version. Raises NotMeasured."""
    start: Callable[[Setting, Path], AbstractContextManager[Flags]]
    """Runs it in a folder until the block ends; gives the flags with which the driver reaches it."""
    notices: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"": ()})
    """The notices whose times are shown apart, the last one last, and the words of the driver for each; an empty name
    is the first notice of any kind."""


def driver() -> Path:
    """The client of all systems."""
    return built(".", "peers_driver")


@contextmanager
def serving(
    command: list[str | Path], folder: Path, port: int, env: Mapping[str, str] | None = None
) -> Iterator[Flags]:
    """Run a server until the block ends. Raises NotMeasured if it does not serve."""
    log = folder / "server.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})}
        ) as server,
    ):
        try:
            deadline = time.monotonic() + SERVES_WITHIN
            while not answers(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    lines = log.read_text(errors="replace").strip().splitlines() or [""]
                    raise NotMeasured(f"its server does not serve; its last line: {lines[-1][:300]}")
                time.sleep(0.05)
            yield {"address": f"127.0.0.1:{port}"}
        finally:
            server.terminate()
            try:
                server.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                server.kill()


# TRON: the child of a watching parent holds a stream.


@contextmanager
def tron(setting: Setting, folder: Path) -> Iterator[Flags]:
    """All of `tron up`; the interval is the client's."""
    config = folder / "tron.toml"
    config.write_text("[monitor.policy]\n" + "".join(f"{name} = {value}\n" for name, value in setting.server.items()))
    with start_system(folder, "--config", str(config)) as system:
        yield {"address": system.registry_address}


def tron_version() -> str:
    """Nothing: it is that of this tree."""
    driver()
    return ""


# NATS: the server notices that a connection ended, and sends pings.


def nats_server() -> Path:
    """Built from its module."""
    return built("github.com/nats-io/nats-server/v2", "nats-server")


@contextmanager
def nats(setting: Setting, folder: Path) -> Iterator[Flags]:
    """A server with a system account, whose user is the watcher."""
    (port,) = free_ports(1)
    password = secrets.token_hex(16)
    lines = [
        f"listen: 127.0.0.1:{port}",
        f'accounts {{ SYS {{ users: [ {{ user: watch, password: "{password}" }} ] }}',
        f'PEERS {{ users: [ {{ user: hold, password: "{password}" }} ] }} }}',
        "system_account: SYS",
        *(f"{name}: {value}" for name, value in setting.server.items()),
    ]
    config = folder / "nats.conf"
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n")
    with serving([nats_server(), "--config", config], folder, port) as flags:
        yield {**flags, "password": password}


# etcd: a key with a lease.


def etcd_server() -> Path:
    """Built from its module."""
    return built("go.etcd.io/etcd/server/v3", "etcd")


@contextmanager
def etcd(setting: Setting, folder: Path) -> Iterator[Flags]:
    """A cluster of one."""
    port, among = free_ports(2)
    client, member = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{among}"
    flags = {
        "name": "one",
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": member,
        "initial-advertise-peer-urls": member,
        "initial-cluster": f"one={member}",
        **setting.server,
    }
    with serving([etcd_server(), *(f"--{name}={value}" for name, value in flags.items())], folder, port) as found:
        yield found


# Redis: a key that expires.


@cache
def redis_server() -> tuple[Path, Mapping[str, str]]:
    """The program that is installed, or Debian's; and the environment that it needs."""
    if found := shutil.which("redis-server"):
        return Path(found), {}
    folder = unpacked("redis-server", "redis-tools")
    libraries = sorted({str(each.parent) for each in folder.glob("usr/lib/**/*.so*")})
    return folder / "usr/bin/redis-server", {"LD_LIBRARY_PATH": ":".join(libraries)}


def redis_version() -> str:
    """The version of the server."""
    program, env = redis_server()
    return version("env", *(f"{name}={value}" for name, value in env.items()), program, "--version")


@contextmanager
def redis(setting: Setting, folder: Path) -> Iterator[Flags]:
    """A server without persistence, which publishes what expires."""
    (port,) = free_ports(1)
    program, env = redis_server()
    flags = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "save": "",
        "notify-keyspace-events": "Ex",
        **setting.server,
    }
    command: list[str | Path] = [program, *(word for name, value in flags.items() for word in (f"--{name}", value))]
    with serving(command, folder, port, env) as found:
        yield found


# ZooKeeper: an ephemeral node of a session.


@cache
def zookeeper_jars() -> Path:
    """The folder with its jars: installed, or Debian's."""
    if shutil.which("java") is None:
        raise NotMeasured("there is no `java` on the PATH")
    installed = Path("/usr/share/java")
    if (installed / "zookeeper.jar").exists():
        return installed
    return unpacked("libzookeeper-java") / "usr/share/java"


def zookeeper_version() -> str:
    """The version in the name of its jar."""
    found = next(zookeeper_jars().glob("zookeeper-[0-9]*.jar"), None)
    return found.stem.rpartition("-")[2] if found else ""


@contextmanager
def zookeeper(setting: Setting, folder: Path) -> Iterator[Flags]:
    """A server alone."""
    (port,) = free_ports(1)
    settings = {
        "clientPort": port,
        "clientPortAddress": "127.0.0.1",
        "dataDir": folder / "zookeeper",
        "maxClientCnxns": 0,
        "admin.enableServer": "false",
        **setting.server,
    }
    config = folder / "zoo.cfg"
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    main = "org.apache.zookeeper.server.ZooKeeperServerMain"
    classes = f"{zookeeper_jars()}/*:/usr/share/java/*"
    with serving(["java", "-cp", classes, main, config], folder, port) as found:
        yield found


# Consul: a service with a TTL check at the agent.


@cache
def consul_agent() -> Path:
    """The program that is installed, or one built from its module."""
    found = shutil.which("consul")
    return Path(found) if found else built_elsewhere(*CONSUL, "consul")


@contextmanager
def consul(setting: Setting, folder: Path) -> Iterator[Flags]:
    """A server alone, which is the agent too."""
    http, server, lan, wan = free_ports(4)
    ports = {"http": http, "server": server, "serf-lan": lan, "serf-wan": wan, "dns": -1, "grpc": -1, "grpc-tls": -1}
    command: list[str | Path] = [
        consul_agent(),
        *("agent", "-server", "-bootstrap", "-bind=127.0.0.1", "-client=127.0.0.1", "-node=one"),
        f"-data-dir={folder / 'consul'}",
        *(f"-{name}-port={port}" for name, port in ports.items()),
        "-hcl=disable_update_check = true",
    ]
    with serving(command, folder, http) as found:
        yield found


SYSTEMS = (
    System(
        "tron",
        "TRON",
        (
            Setting(
                "shortest",
                "interval, tolerance 0.1 s, grace 0.3 s",
                0.3,
                0.1,
                {"tolerance_min": "0.1", "reconnect_grace": "0.3"},
            ),
            Setting("defaults", "interval 30 s, grace 2 s", 90.0, 30.0),
        ),
        tron_version,
        tron,
        {"suspicion": ("service_suspect", "heartbeat_miss"), "service_down": ("service_down",)},
    ),
    System(
        "nats",
        "NATS",
        (
            Setting(
                "shortest", "ping each 0.1 s, 2 unanswered", 0.3, 0.1, {"ping_interval": '"100ms"', "ping_max": "2"}
            ),
            Setting("defaults", "ping each 2 min, 2 unanswered", 360.0, 30.0),
        ),
        lambda: version(nats_server(), "--version"),
        nats,
    ),
    System(
        "etcd",
        "etcd",
        (
            Setting("shortest", "lease 1 s", 1.0, 0.33, {"heartbeat-interval": "20", "election-timeout": "100"}),
            Setting("defaults", "lease 60 s", 60.0, 20.0),
        ),
        lambda: version(etcd_server(), "--version"),
        etcd,
    ),
    System(
        "redis",
        "Redis",
        (
            Setting("shortest", "expiry 0.3 s, hz 500", 0.3, 0.1, {"hz": "500"}),
            Setting("defaults", "expiry 30 s, hz 10", 30.0, 10.0),
        ),
        redis_version,
        redis,
    ),
    System(
        "zookeeper",
        "ZooKeeper",
        (
            Setting("shortest", "session 0.3 s, tick 50 ms", 0.3, 0.1, {"tickTime": "50"}),
            Setting("defaults", "session 30 s, tick 2 s", 30.0, 10.0, {"tickTime": "2000"}),
        ),
        zookeeper_version,
        zookeeper,
    ),
    System(
        "consul",
        "Consul",
        (
            Setting("shortest", "TTL 0.3 s", 0.3, 0.1),
            Setting("defaults", "TTL 30 s", 30.0, 10.0),
        ),
        lambda: version(consul_agent(), "version"),
        consul,
    ),
)
