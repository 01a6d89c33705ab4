"""The command `tron support-bundle`, which writes one file with the data that a maintainer needs, without secrets, even
if programs are down."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from tron_client.address import DEFAULT_MONITOR, DEFAULT_REGISTRY

from grid_hosting.addresses import reachable_here
from grid_hosting.start import StartError, absolute, read_settings, reason
from tron_cli import messages, support_machine, support_system
from tron_cli.backups import DATA_DIR, DataDirOption
from tron_cli.connection import RegistryOption
from tron_cli.judgement import MonitorOption
from tron_cli.output import fail, out
from tron_cli.redaction import Redactor, environment
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from tron_client.models import Service

LARGEST_PART = 2 << 20
"""The largest size of one file in the bundle, in bytes. A longer file is truncated; of a log, the end is kept."""

LARGEST = 20 << 20
"""The largest total size of the files, in bytes. A file that would exceed it is left out."""

ADDRESSES = {
    "registry_metrics": ("registry", "metrics_listen", "127.0.0.1:6124"),
    "tron_metrics": ("monitor", "metrics_listen", "127.0.0.1:6125"),
    "registry_http": ("gateway", "registry_http_listen", "127.0.0.1:6121"),
}
"""The HTTP addresses of the programs, by their keys in the ready file: the table and the name of the setting, and its
default."""

README = """A support bundle of TRON, made by `tron support-bundle` on {made_at}.

Review it before you share it. It does not contain labels, messages or other texts of agents, texts of events, settings
that may be secret, environment variables of other programs, or rows of the databases. URLs are reduced to their hosts.

{listed}
{missing}
"""


class Bundle:
    """The parts of a bundle as they are collected, each with a bounded size and without secrets."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._parts: dict[str, tuple[bytes, str]] = {}
        self.missing: list[str] = []
        """One text for each part that could not be read, with the reason."""

    def add_text(self, name: str, about: str, read: Callable[[], str], *, newest: bool = False) -> None:
        """Add the text that `read` returns. If it fails, the reason is noted and the text is left out. `about`: the
        description of the text in the README; `newest`: if the text is too long, its end is kept."""
        self._add(name, about, lambda: self._redactor.text(read()), newest=newest)

    def add(self, name: str, about: str, read: Callable[[], Any]) -> None:
        """Add the document that `read` returns, as JSON. If it fails, the reason is noted and the document is left out.
        `about`: the description of the document in the README."""

        def text() -> str:
            document = json.loads(json.dumps(read(), default=str))
            return json.dumps(self._redactor.document(document), indent=1, ensure_ascii=False) + "\n"

        self._add(name, about, text)

    def write(self, path: Path) -> int:
        """Write all parts to a file that only this user can read; return its size. Raises OSError."""
        listed = "\n".join(f"- {name}: {about}" for name, (_, about) in self._parts.items())
        missing = "\n".join(["", "Could not be read:", *(f"- {each}" for each in self.missing)]) if self.missing else ""
        made_at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        readme = README.format(made_at=made_at, listed=listed, missing=missing)
        parts = {"README.txt": readme.encode(), **{name: content for name, (content, _) in self._parts.items()}}
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(file, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
                for name, content in parts.items():
                    entry = tarfile.TarInfo(f"tron-support/{name}")
                    entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o644
                    archive.addfile(entry, io.BytesIO(content))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path.stat().st_size

    def _add(self, name: str, about: str, read: Callable[[], str], *, newest: bool = False) -> None:
        try:
            content = read().encode(errors="replace")
        except Exception as error:  # whatever is broken must not keep the rest from the maintainer
            why = self._redactor.text(" ".join(str(error).split()) or type(error).__name__)
            self.missing.append(f"{name}: {why}")
            return
        if len(content) > LARGEST_PART:
            content = content[-LARGEST_PART:] if newest else content[:LARGEST_PART]
            self.missing.append(f"{name}: only {'the last' if newest else 'the first'} {LARGEST_PART} bytes")
        if sum(len(each) for each, _ in self._parts.values()) + len(content) > LARGEST:
            self.missing.append(f"{name}: left out, because the bundle would be larger than {LARGEST} bytes")
            return
        self._parts[name] = content, about


@connects
def support_bundle(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write. Default: tron-support-TIME.tar.gz."),
    ] = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
    monitor: MonitorOption = "",
    data_dir: DataDirOption = DATA_DIR,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The settings file of the programs. Default: tron.toml, if it exists."),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The ready file of tron up, from which the addresses of its programs are read."
        ),
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A log file to include, of which the last 2 MB are kept. May be repeated. The programs log to stderr.",
        ),
    ] = None,
) -> None:
    """Collect the data that a maintainer needs, in one file, without secrets.

    The command also works if parts of the system are down.
    """
    path = output or Path(time.strftime("tron-support-%Y%m%d-%H%M%S.tar.gz", time.gmtime()))
    tables, trouble = _settings(config)
    bundle = Bundle(redactor := support_machine.redactor_for(tables, os.environ))
    if trouble:
        bundle.missing.append(f"settings.json: {redactor.text(trouble)}")
    addresses = _addresses(tables, ready_file, bundle)
    bundle.add("versions.json", "versions, and the resources of the machine", support_machine.versions)
    bundle.add(
        "settings.json",
        "settings and environment variables, only harmless values",
        lambda: {"file": redactor.settings(tables), "environment": environment(os.environ, redactor)},
    )
    bundle.add(
        "processes.json", "running programs: flags, threads, open files", lambda: support_machine.processes(redactor)
    )
    bundle.add(
        "store.json", f"files below {absolute(data_dir)}, rows per table", lambda: support_machine.store(data_dir)
    )
    _ask_programs(bundle, str(addresses.get("registry_grpc", registry)), monitor, addresses)
    for number, file in enumerate(log or (), 1):
        bundle.add_text(f"logs/{number}-{file.name}", "a log", lambda file=file: _tail(file), newest=True)  # type: ignore[misc]
    try:
        size = bundle.write(path)
    except FileExistsError:
        fail(messages.file_exists(absolute(path)))
    except OSError as error:
        fail(f"{absolute(path)}: {reason(error)}")
    out.print(messages.bundle_written(escape(absolute(path)), size), soft_wrap=True)
    for each in bundle.missing:
        out.print(f"  {escape(messages.not_in_bundle(each))}", soft_wrap=True)


def _ask_programs(bundle: Bundle, registry: str, monitor: str, addresses: dict[str, str]) -> None:
    """Add the answers of the running programs."""
    from tron_client.client import RegistryClient
    from tron_client.tron_api import MonitorClient, find_monitor

    failing: list[Service] = []

    def services() -> dict[str, Any]:
        with RegistryClient(registry, timeout=support_system.PATIENCE) as client:
            found, not_alive = support_system.counts(client)
        failing.extend(not_alive)
        return found

    def events() -> list[dict[str, Any]]:
        with RegistryClient(registry, timeout=support_system.PATIENCE) as client:
            return support_system.events(client)

    bundle.add("services.json", "the number of services of each kind and state", services)
    bundle.add("events.json", "the newest events, without their texts", events)
    tron = monitor or addresses.get("tron_grpc", "")
    if not tron:
        tron = DEFAULT_MONITOR
        with suppress(Exception):  # then the default is as good as any other
            tron = str(find_monitor(registry, timeout=support_system.PATIENCE))
    with MonitorClient(tron, timeout=support_system.PATIENCE) as client:
        bundle.add("tron.json", "the statistics of TRON", lambda: support_system.statistics(client))
        bundle.add("policy.json", "the thresholds in force", lambda: support_system.thresholds(client))
        bundle.add(
            "explanations.json",
            f"why services are not alive, the first {support_system.MOST_EXPLAINED} of them",
            lambda: support_system.explanations(client, failing),
        )
    scheme = "https" if os.environ.get("TRON_CA") else "http"  # a secured program speaks TLS on all of its ports
    for name, key in (("registry", "registry_metrics"), ("monitor", "tron_metrics"), ("gateway", "registry_http")):
        if not addresses[key]:
            bundle.missing.append(f"metrics/{name}.txt: the program serves no metrics")
            continue
        url = f"{scheme}://{addresses[key]}/metrics"
        bundle.add_text(f"metrics/{name}.txt", f"metrics, from {url}", lambda url=url: support_system.read(url))  # type: ignore[misc]
    status = f"{scheme}://{addresses['registry_http']}/v1/status"
    bundle.add("gateway.json", "the state of the gateway", lambda: support_system.read_json(status))


def _settings(config: Path | None) -> tuple[dict[str, Any], str]:
    """Return the tables of the settings file, and an empty text; if the file is invalid, no tables and the error."""
    try:
        return read_settings(config or Path("tron.toml")) or {}, ""
    except StartError as error:
        return {}, str(error)


def _addresses(tables: dict[str, Any], ready_file: Path | None, bundle: Bundle) -> dict[str, str]:
    """Return the addresses of the programs by their keys, from the ready file, the settings or the defaults, in this
    order. An address is empty if the program does not serve it."""
    found = {}
    for key, (table, setting, default) in ADDRESSES.items():
        listen = str(tables.get(table, {}).get(setting, default))
        found[key] = "" if listen == "off" else reachable_here(listen)
    if ready_file is not None:
        try:
            document = json.loads(ready_file.read_text())
            found |= {key: reachable_here(value) for key, value in document.items() if isinstance(value, str)}
        except (OSError, ValueError, AttributeError) as error:
            bundle.missing.append(f"the ready file {absolute(ready_file)}: {error}")
    return found


def _tail(file: Path) -> str:
    """Return the end of a log, beginning with a whole line."""
    with file.open("rb") as lines:
        lines.seek(0, os.SEEK_END)
        start = max(0, lines.tell() - LARGEST_PART)
        lines.seek(start)
        content = lines.read()
    return (content.partition(b"\n")[2] if start else content).decode(errors="replace")
