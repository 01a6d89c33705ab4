"""Files that a program reads: whatever is in them, the program goes on or names the file in one line."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from grid_model import wire
from grid_model.declaration import Declaration
from grid_model.event import Event
from grid_model.observation import Delivery
from grid_model.service import ServiceRole
from hypothesis import strategies as st
from tron_cli import fleet_file
from tron_client.profiles import parse_profiles

from gateway_http.config import Config as GatewayConfig
from gateway_http.legacy import hhmrs_settings
from grid_hosting import backup, certificates, manifest
from grid_hosting.certificates import CertificateError, Material
from grid_hosting.program import read_config
from grid_hosting.security import SecuritySettings
from grid_hosting.sinks.journal import Journal, JournalError
from grid_hosting.sinks.notice import OperatorNotice
from grid_hosting.start import StartError
from grid_hosting.tls import ServerTls
from registry_server.config import Config as RegistryConfig
from registry_server.core.effects import AppendEvent, PutService
from registry_server.core.service import Judgement, Report, StoredService
from registry_server.io.loop import RegistryLoop
from registry_server.io.store import StoreError
from registry_server.io.store.sqlite import SqliteStore
from tests.fuzz.alarms import Alarms, raised
from tests.fuzz.cases import Case, Step
from tests.fuzz.http_bytes import VALUES
from tests.fuzz.mutation import changed
from tests.fuzz.registry_targets import memory_folder
from tests.fuzz.targets import Target, step
from tests.support.certificates import TestAuthority
from tron.config import Config as TronConfig
from tron.policy import Policies
from tron.policy_store import PolicyStore
from tron.rpc.policy import from_policy

FLEET = b"""
title = "Fleet"
favourite = "a"
[defaults]
role = "production"
labels = {tier = 1}
[[service]]
service_id = "a"
name = "A"
port = 6110
caps = ["x"]
labels = {team = "t", since = 2020-01-01, deep = [[1, {a = 1.5}]]}
[[service]]
service_id = "b"
name = "B"
parent = "a"
heartbeat_interval = 5.0
ttl = 20
"""
SETTINGS = b"""
[registry]
listen = "127.0.0.1:0"
event_retention_days = 7.5
max_streams = 10
sinks = {queue_size = 100, dead_man = {url = "http://localhost:1/x", every = 60}}
[monitor]
registry = "127.0.0.1:6122"
probe_targets = ["localhost:80"]
[monitor.policy]
keep_down = 5
orphan_policy = "stop"
[monitor.overrides."worker 1"]
misses_before_down = 2
[gateway]
root_path = "/tron"
max_body_bytes = 1048576
[security]
insecure_listen = false
"""
PROFILES = b"""
[profiles.default]
registry = "registry.example:6122"
tron = "[::1]:6123"
ca = "ca.pem"
cert = "a.pem"
key = "~/a-key.pem"
server_name = "x"
"""
POLICY = json.dumps(
    {"": {"keep_down": 5.0, "misses_before_down": 2, "deregister": True}, "a": {"orphan_policy": 2}}
).encode()
NOTICE = OperatorNotice(
    alert_id="1", type="t", severity=Event("t").severity, message="m", occurred_at=1e9, details={"a": [1]}
)
TOML_VALUES = (
    "1",
    "-1",
    "0.5",
    "nan",
    "inf",
    "1e400",
    "true",
    '"text"',
    '""',
    "[]",
    "{}",
    "[[]]",
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "9" * 5000,
    "[" * 3000 + "]" * 3000,
    "{a=" * 3000 + "1" + "}" * 3000,
    "'\\u0000'",
    '"\\u0001"',
    '"\\uD800"',
    "0x7fffffffffffffffff",
)


class FileRig:
    """Reads each step's bytes as the file that the step names."""

    def __init__(self, folder: Path, alarms: Alarms) -> None:
        self._folder = folder
        self._alarms = alarms
        self._count = 0

    def run(self, case: Case) -> None:
        """Read the files."""
        for name, data in case:
            self._count += 1
            folder = self._folder / str(self._count)
            folder.mkdir()
            try:
                READERS[name](folder, data)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        self._alarms.check()


def _one_line(text: object) -> None:
    lines = str(text).strip().splitlines()
    assert len(lines) == 1, f"not one line: {text}"


def _registry_db(folder: Path, data: bytes) -> None:
    (folder / "registry.db").write_bytes(data)
    asyncio.run(_start_registry(folder))


async def _start_registry(folder: Path) -> None:
    try:
        store = SqliteStore(folder)
    except StoreError as error:
        _one_line(error)
        return
    loop = RegistryLoop(store, event_retention=60)
    try:
        await loop.start()
    except StoreError as error:
        _one_line(error)
        store.close()
        return
    with suppress(StoreError):  # damage that only a read or a write finds
        await loop.read_events(0, 100, _everything())
        async with asyncio.timeout(10):
            running = asyncio.create_task(loop.run())
            loop.registry.register(Declaration("new", "new"), 0, "", None, loop.now())
            with suppress(Exception):
                await loop.flushed()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
    with suppress(StoreError):
        await loop.close()


def _everything() -> Any:
    from registry_server.core.event_log import EventFilter

    return EventFilter()


def _registry_rows(folder: Path, data: bytes) -> None:
    """Put a changed text in the place of a stored one, as a damaged disk may."""
    (folder / "registry.db").write_bytes(registry_file())
    kind, text = data[:1], data[1:].decode(errors="replace")
    with closing(sqlite3.connect(folder / "registry.db")) as db:
        if kind == b"s":
            db.execute("UPDATE services SET record = ? WHERE service_id = 'a'", (text,))
        else:
            db.execute("UPDATE events SET event = ?", (text,))
        db.commit()
    asyncio.run(_start_registry(folder))


def _policy(folder: Path, data: bytes) -> None:
    (folder / "policy.json").write_bytes(data)
    try:
        layers = PolicyStore(folder).load({})
        policies = layers.policies()
    except StartError as error:
        _one_line(error)
        return
    _check_policies(policies)


def _check_policies(policies: Policies) -> None:
    """The wire can say every policy that was accepted."""
    for each in (policies.default, *policies.overrides.values()):
        try:
            from_policy(each)
        except ValueError as error:
            raise AssertionError(f"a policy that no message can carry: {error}") from error


def _settings(folder: Path, data: bytes) -> None:
    path = folder / "tron.toml"
    path.write_bytes(data)
    programs: Sequence[tuple[type[Any], str]] = (
        (RegistryConfig, "registry"),
        (TronConfig, "monitor"),
        (GatewayConfig, "gateway"),
    )
    for kind, table in programs:
        printed = io.StringIO()
        try:
            with redirect_stderr(printed):
                config = read_config(kind, table, ["--config", str(path)])
        except SystemExit as end:
            assert end.code == 2, end.code
            _one_line(printed.getvalue())
            continue
        if isinstance(config, TronConfig):
            with suppress(ValueError):  # the start ends with this text
                policies = PolicyStore(folder).load(config.thresholds()).policies()
                _check_policies(policies)


def _fleet(folder: Path, data: bytes) -> None:
    path = folder / "fleet.toml"
    path.write_bytes(data)
    try:
        fleet = fleet_file.load(str(path))
    except fleet_file.FleetFileError:
        return
    for row in fleet.rows:
        wire.struct(row.declaration()["labels"])


def _profiles(folder: Path, data: bytes) -> None:
    with suppress(ValueError, RecursionError):  # `_read` names the file
        parse_profiles(data.decode(), folder)


def _manifest(folder: Path, data: bytes) -> None:
    (folder / manifest.FILE).write_bytes(data)
    (folder / "policy.json").write_bytes(b"{}")
    try:
        backup.restore(folder, folder / "restored", replace=False)
    except backup.BackupError as error:
        _one_line(error)


def _journal(folder: Path, data: bytes) -> None:
    (folder / "operator-queue.db").write_bytes(data)

    async def read() -> None:
        try:
            journal = Journal(folder)
        except JournalError as error:
            _one_line(error)
            return
        table = journal.table("a")
        for row in table.take_found():
            with suppress(ValueError):
                OperatorNotice.from_json(row.text)
        journal.drop_unclaimed()
        with suppress(JournalError):
            await journal.flush()
        await journal.close()

    asyncio.run(read())


def _notice(_: Path, data: bytes) -> None:
    with suppress(ValueError):
        OperatorNotice.from_json(data.decode(errors="replace")).to_json()


def _hhmrs(folder: Path, data: bytes) -> None:
    (folder / hhmrs_settings.FILE).write_bytes(data)
    hhmrs_settings.read(folder)
    hhmrs_settings.write(folder, {})


def _certificate(folder: Path, data: bytes) -> None:
    cert, _, rest = data.partition(SPLIT)
    key, _, client_ca = rest.partition(SPLIT)
    with suppress(CertificateError):
        certificates.check(Material(cert, key, client_ca), datetime.now(UTC))
    for name, content in (("cert", cert), ("key", key), ("client_ca", client_ca)):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    settings = SecuritySettings(
        cert=folder / "cert", key=folder / "key", client_ca=folder / "client_ca", ca=folder / "client_ca"
    )
    try:
        ServerTls(settings).grpc_credentials()
    except StartError as error:
        _one_line(error)


SPLIT = b"\n#split\n"

READERS: dict[str, Callable[[Path, bytes], None]] = {
    "registry.db": _registry_db,
    "registry rows": _registry_rows,
    "policy.json": _policy,
    "tron.toml": _settings,
    "fleet.toml": _fleet,
    "profiles.toml": _profiles,
    "manifest.json": _manifest,
    "operator-queue.db": _journal,
    "notice": _notice,
    "pas_settings.json": _hhmrs,
    "certificate": _certificate,
}


@cache
def registry_file() -> bytes:
    """Return the content of a small registry.db."""
    with TemporaryDirectory(dir=memory_folder()) as folder:
        store = SqliteStore(Path(folder))
        store.load()
        store.commit([PutService(STORED), AppendEvent(EVENT)])
        store.close()
        return (Path(folder) / "registry.db").read_bytes()


STORED = StoredService(
    spec=Declaration("a", "a", labels={"tier": 1}, caps=("x",), parent="b", cost_hint={"usd": 1.0}),
    declared_role=ServiceRole.PRODUCTION,
    incarnation=1,
    instances=(("one", 1),),
    registered_at=1e9,
    last_heartbeat_at=1e9,
    streamed=True,
    report=Report(),
    judgement=Judgement(),
)
EVENT = Event("service_down", sequence=1, alert_id="1", service_id="a", recipient="operators", details={"a": [1, None]})
DELIVERY = Delivery(EVENT, 0.0)


@cache
def queue_file() -> bytes:
    """Return the content of a small operator-queue.db."""
    with TemporaryDirectory(dir=memory_folder()) as folder, closing(sqlite3.connect(Path(folder) / "q.db")) as db:
        db.executescript(
            "CREATE TABLE rows (shelf TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, text TEXT NOT NULL,"
            " PRIMARY KEY (shelf, number)) WITHOUT ROWID; PRAGMA user_version=1;"
        )
        db.execute("INSERT INTO rows VALUES ('a', 1, 1.0, ?)", (NOTICE.to_json(),))
        db.commit()
        db.close()
        return (Path(folder) / "q.db").read_bytes()


@cache
def certificate_files() -> tuple[bytes, bytes, bytes]:
    """Return a certificate, its key, and its CA."""
    with TemporaryDirectory(dir=memory_folder()) as folder:
        issued = TestAuthority(Path(folder)).server(ends=datetime(2100, 1, 1, tzinfo=UTC) - datetime.now(UTC))
        return issued.cert.read_bytes(), issued.key.read_bytes(), issued.ca.read_bytes()


def _documents(source: bytes, values: Sequence[str], sign: str) -> st.SearchStrategy[bytes]:
    """Return a text with other values in some places, changed bytes, and values on their own."""
    return changed(st.just(source)) | st.builds(
        _with_values,
        st.just(source),
        st.just(sign),
        st.lists(st.tuples(st.integers(0, 99), st.sampled_from(values)), min_size=1, max_size=3),
    )


def _with_values(source: bytes, sign: str, places: list[tuple[int, str]]) -> bytes:
    parts = source.decode().split(sign)
    for number, value in places:
        at = 1 + number % max(1, len(parts) - 1)
        if at < len(parts):
            rest = parts[at]
            cut = min([end for end in (rest.find(","), rest.find("\n"), rest.find("}")) if end >= 0], default=len(rest))
            parts[at] = " " + value + rest[cut:]
    return sign.join(parts).encode()


def _rows() -> st.SearchStrategy[bytes]:
    from registry_server.io.store.encoding import encode

    service, event = encode(STORED).encode(), encode(EVENT).encode()
    return _documents(service, VALUES, ":").map(lambda text: b"s" + text) | _documents(event, VALUES, ":").map(
        lambda text: b"e" + text
    )


def _pems() -> st.SearchStrategy[bytes]:
    def pems() -> st.SearchStrategy[bytes]:
        cert, key, authority = certificate_files()
        each = st.sampled_from([cert, key, authority, b"", cert + authority])
        return st.builds(
            lambda one, two, three: SPLIT.join((one, two, three)),
            changed(st.just(cert)) | each,
            changed(st.just(key)) | st.just(key),
            changed(st.just(authority)) | each,
        )

    return st.deferred(pems)


MANIFEST = (
    b'{"format":1,"made_at":"2020-01-01T00:00:00Z","version":"0.1.0","files":[{"path":"policy.json","size":2,"sha256":'
    b'"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","schema":0}]}'
)

_CONTENTS: dict[str, st.SearchStrategy[bytes]] = {
    "registry.db": st.deferred(lambda: changed(st.just(registry_file()))),
    "registry rows": _rows(),
    "policy.json": _documents(POLICY, VALUES, ":"),
    "tron.toml": _documents(SETTINGS, TOML_VALUES, "="),
    "fleet.toml": _documents(FLEET, TOML_VALUES, "="),
    "profiles.toml": _documents(PROFILES, TOML_VALUES, "="),
    "manifest.json": _documents(MANIFEST, VALUES, ":"),
    "operator-queue.db": st.deferred(lambda: changed(st.just(queue_file()))),
    "notice": _documents(NOTICE.to_json().encode(), VALUES, ":"),
    "pas_settings.json": _documents(b'{"hhmrs": {"a": 1}, "other": [1]}', VALUES, ":"),
    "certificate": _pems(),
}


@contextmanager
def open_files() -> Iterator[FileRig]:
    """Read files until the block ends."""
    with raised() as alarms, TemporaryDirectory(prefix="fuzz-", dir=memory_folder()) as folder:
        yield FileRig(Path(folder), alarms)
        alarms.check()


def _one_step(each: Step) -> Case:
    return (each,)


FILE_TARGET = Target(
    "files", st.one_of(*(step(name, content) for name, content in _CONTENTS.items())).map(_one_step), open_files
)
