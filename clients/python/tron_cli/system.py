"""The commands `tron up`, `tron registry`, `tron monitor` and `tron gateway`, which run the programs of the system."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from tron_client.address import DEFAULT_REGISTRY

from grid_hosting.addresses import parse_listen, reachable_here
from grid_hosting.listening import check_bindable
from grid_hosting.start import StartError, absolute, read_settings
from tron_cli import messages, security_messages
from tron_cli.demo import DEFAULT_CATALOGUE, to_try
from tron_cli.output import fail, out
from tron_cli.process_policy import RestartPolicy
from tron_cli.process_supervisor import Supervisor, child
from tron_cli.registering import CATALOGUES, load_catalogue
from tron_cli.streams import even_unread
from tron_cli.system_access import issue_credentials
from tron_cli.system_folders import only_one, prepare_folders, scratch_folder
from tron_cli.system_security import as_flags, check_security, exports, scheme, warn_of_exposure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grid_hosting.security import SecuritySettings
    from tron_cli.process_policy import Serving

HOST = "127.0.0.1"
_OFF = "off"

_SERVES = {
    "registry": "RegistryService, EventService, health, reflection",
    "monitor": "TronService, health, reflection",
    "demo": "a demo fleet: try tron demo --kill, --hang, --stall, --resume",
    "gateway": "legacy Registry REST API, JSON API under /v1",
    "tron_http": "legacy TRON REST API",
    "events_http": "legacy Event Stream: Socket.IO, SSE",
    "hmi_http": "the dashboard: open it in a browser",
    "registry_metrics": "metrics, at /metrics",
    "tron_metrics": "metrics, at /metrics",
}

# Everything after the word belongs to the program, --help too.
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def program(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs a program, given its module. The flag -P ensures that Python ignores a `tron/`
    folder in the current directory."""
    return [sys.executable, "-P", "-m", module, *arguments]


def registry(context: typer.Context) -> None:
    """Run only the registry."""
    _become("registry_server", context.args)


def monitor(context: typer.Context) -> None:
    """Run only TRON, the failure detector."""
    _become("tron", context.args)


def gateway(context: typer.Context) -> None:
    """Run only the gateway: legacy REST APIs, JSON API and dashboard."""
    _become("gateway_http", context.args)


def _log_no_handshakes() -> None:
    """Keep gRPC from logging each failed handshake of the programs that are started from now on: a client without a
    certificate could fill the disk. gRPC reads the variable when it is imported."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def _become(module: str, arguments: Sequence[str]) -> None:
    _log_no_handshakes()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, program(module, arguments))


def up(
    data_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="The directory for all state of the system. If it is empty or does not exist, a new system is "
            "created in it.",
        ),
    ] = Path("tron-data"),
    registry_listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="The listen address of the registry. Use port 0 for any free port; leave out HOST to "
            "listen on all interfaces.",
        ),
    ] = DEFAULT_REGISTRY,
    tron_listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The listen address of TRON, the failure detector.")
    ] = "127.0.0.1:6123",
    registry_http_listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The listen address of the legacy Registry REST API.")
    ] = f"{HOST}:6121",
    tron_http_listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The listen address of the legacy TRON REST API.")
    ] = f"{HOST}:6109",
    events_http_listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The listen address of the legacy Event Stream (Socket.IO, SSE).")
    ] = f"{HOST}:6102",
    hmi_listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The listen address of the dashboard (HMI).")
    ] = f"{HOST}:6101",
    registry_metrics_listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="The listen address of the registry's metrics for Prometheus. Use 'off' to disable them.",
        ),
    ] = f"{HOST}:6124",
    tron_metrics_listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="The listen address of TRON's metrics for Prometheus. Use 'off' to disable them."
        ),
    ] = f"{HOST}:6125",
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="When all programs are ready, write a JSON object with their addresses and process ids to this file.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The settings file for all programs. Default: tron.toml, if it exists."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Also run a demo fleet (see: tron demo).")] = False,
    catalogue: Annotated[
        str, typer.Option(metavar="NAME|FILE", help=f"The catalogue of the demo fleet: {CATALOGUES}. Requires --demo.")
    ] = DEFAULT_CATALOGUE,
    cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The certificate of the servers in PEM format, followed by the certificates of its issuers. With "
            "it, all ports speak TLS only.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The private key of --cert in PEM format. Only the owner of the file may have access to it.",
        ),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A CA bundle in PEM format. With it, all ports require a client certificate that one of these CAs "
            "issued.",
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=(
                "The CA bundle in PEM format with which the programs verify each other's certificates. Default: "
                "the bundle of --client-ca."
            ),
        ),
    ] = None,
    http_hosts: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Additional host names that clients may use for the HTTP ports, separated by commas. The "
            "names in --cert, localhost and the hosts of the listen addresses need not be listed.",
        ),
    ] = "",
    trusted_proxies: Annotated[
        str,
        typer.Option(
            metavar="ADDRS",
            help="Addresses of reverse proxies, separated by commas. The HTTP ports use the headers "
            "X-Forwarded-Host, X-Forwarded-Proto and X-Forwarded-For only if the request comes from one of these "
            "addresses.",
        ),
    ] = "",
    authentication: Annotated[
        bool | None,
        typer.Option(
            "--authentication/--no-authentication",
            help="Whether callers must authenticate. Default: --no-authentication, unless the settings file or "
            "TRON_SECURITY_AUTHENTICATION says otherwise. To set up certificates and tokens, use: tron security enable",
            show_default=False,
        ),
    ] = None,
    trust_domains: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help=(
                "SPIFFE trust domains, separated by commas. A client certificate for a name in one of "
                "these domains authenticates the principal spiffe:DOMAIN/NAME. Requires --client-ca."
            ),
        ),
    ] = "",
    accept_common_name: Annotated[
        bool,
        typer.Option(
            "--accept-common-name",
            help="Let a client certificate without a URI authenticate the principal cn:COMMON_NAME. Requires "
            "--client-ca.",
        ),
    ] = False,
    max_connection_age: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help=(
                "Seconds after which the gRPC servers accept no more calls on a connection, so that "
                "clients open a new one and their certificates are checked again; 0 means no limit. "
                "Applies only with --client-ca and --authentication. Default: 3600."
            ),
        ),
    ] = None,
    legacy_open_to: Annotated[
        str,
        typer.Option(
            metavar="NETWORKS",
            help="Networks, separated by commas, whose legacy clients need no token; they act as the "
            "principal token:legacy. Requires --authentication.",
        ),
    ] = "",
    http_origins: Annotated[
        str,
        typer.Option(
            metavar="ORIGINS",
            help=(
                "Web origins, such as https://hmi.example:8443, separated by commas. Their pages may send "
                "requests with a token to the HTTP ports. Requires --authentication."
            ),
        ),
    ] = "",
    insecure_listen: Annotated[
        bool,
        typer.Option(
            "--insecure-listen",
            help="Allow ports without authentication at addresses that other machines can reach, with or without TLS.",
        ),
    ] = False,
) -> None:
    """Run the whole system: the registry, TRON (the failure detector) and the gateway.

    If one of these programs dies, it is restarted. Press Ctrl-C to stop all of them.
    """
    commands: Sequence[str] = ("services", "run --id hello --name hello")
    if demo:
        commands = to_try(load_catalogue(catalogue))  # what is wrong with it is said now, and once
    elif catalogue != DEFAULT_CATALOGUE:
        raise typer.BadParameter(messages.NEEDS_DEMO, param_hint="--catalogue")
    listens = {
        "--registry-listen": registry_listen,
        "--tron-listen": tron_listen,
        "--registry-http-listen": registry_http_listen,
        "--tron-http-listen": tron_http_listen,
        "--events-http-listen": events_http_listen,
        "--hmi-listen": hmi_listen,
    }
    # An empty text is no address for a program: it would serve where it does by default.
    registry_metrics_listen, tron_metrics_listen = registry_metrics_listen or _OFF, tron_metrics_listen or _OFF
    metrics = {"--registry-metrics-listen": registry_metrics_listen, "--tron-metrics-listen": tron_metrics_listen}
    tables = _check_settings(config)
    pages = {flag: address for flag, address in metrics.items() if address != _OFF}
    _check_addresses(listens, pages)
    files = {"cert": cert, "key": key, "client_ca": client_ca, "ca": ca}
    given: dict[str, Path | bool | float | str] = {name: path for name, path in files.items() if path is not None}
    lists = {
        "http_hosts": http_hosts,
        "trusted_proxies": trusted_proxies,
        "trust_domains": trust_domains,
        "legacy_open_to": legacy_open_to,
        "http_origins": http_origins,
    }
    given |= {name: text for name, text in lists.items() if text}
    optional = {"authentication": authentication, "max_connection_age": max_connection_age}
    given |= {name: value for name, value in optional.items() if value is not None}
    switches = {
        "accept_common_name": accept_common_name,
        "insecure_listen": insecure_listen,
    }
    given |= {name: True for name, wanted in switches.items() if wanted}
    security = check_security(tables, given, listens | pages)
    _log_no_handshakes()
    prepare_folders(data_dir, ready_file, private=security["registry"].authentication)
    also = {"tron_http": tron_http_listen, "events_http": events_http_listen, "hmi_http": hmi_listen}
    shared = [*([] if config is None else ["--config", str(config)]), *as_flags(given)]

    def registry_command(listen: str, ready: Path, addresses: dict[str, str]) -> list[str]:
        folder = str(data_dir / "registry")
        arguments = ["--listen", listen, "--data-dir", folder, "--ready-file", str(ready), *shared]
        return program("registry_server", [*arguments, "--metrics-listen", addresses["registry_metrics"]])

    def monitor_command(listen: str, ready: Path, addresses: dict[str, str]) -> list[str]:
        folder, registry_address = str(data_dir / "monitor"), reachable_here(addresses["registry_grpc"])
        arguments = ["--listen", listen, "--registry", registry_address, "--data-dir", folder]
        arguments += ["--metrics-listen", addresses["tron_metrics"]]
        return program("tron", [*arguments, "--ready-file", str(ready), *own_token("monitor"), *shared])

    def demo_command(_: str, ready: Path, addresses: dict[str, str]) -> list[str]:
        arguments = ["--registry", reachable_here(addresses["registry_grpc"]), "--catalogue", catalogue]
        return program("tron_cli", ["demo", *arguments, "--ready-file", str(ready)])

    def gateway_command(listen: str, ready: Path, addresses: dict[str, str]) -> list[str]:
        arguments = ["--registry-http-listen", listen, "--tron-http-listen", addresses["tron_http"]]
        arguments += ["--events-http-listen", addresses["events_http"], "--hmi-listen", addresses["hmi_http"]]
        arguments += ["--registry", reachable_here(addresses["registry_grpc"])]
        arguments += ["--tron", reachable_here(addresses["tron_grpc"])]
        arguments += ["--data-dir", str(data_dir / "gateway"), *own_token("gateway")]
        return program("gateway_http", [*arguments, "--ready-file", str(ready), *shared])

    tokens: dict[str, Path] = {}

    def own_token(name: str) -> list[str]:
        return [] if name not in tokens else ["--token-file", absolute(tokens[name])]

    async def supervise(scratch: Path) -> int:
        children = [
            child(
                "registry",
                "registry_grpc",
                registry_listen,
                registry_command,
                more={"registry_metrics": registry_metrics_listen},
            ),
            child("monitor", "tron_grpc", tron_listen, monitor_command, more={"tron_metrics": tron_metrics_listen}),
            child("gateway", "registry_http", registry_http_listen, gateway_command, more=also),
        ]
        if demo:
            children.append(child("demo", "demo_control", "", demo_command, _DEMO_POLICY))
        supervisor = Supervisor(
            children,
            scratch=scratch,
            ready_file=ready_file,
            on_ready=lambda serving: _welcome(serving, data_dir, commands, security),
        )
        return await supervisor.run()

    with only_one(data_dir), scratch_folder() as scratch:
        warn_of_exposure(security, listens | pages)
        tokens |= issue_credentials(data_dir, security, ("monitor", "gateway", *(("demo",) if demo else ())))
        if "demo" in tokens:  # the other programs are given theirs by a flag
            os.environ["TRON_TOKEN_FILE"] = absolute(tokens["demo"])
        code = asyncio.run(supervise(scratch))
    raise typer.Exit(code)


# An agent of the demo that was too slow to start says nothing about the next attempt.
_DEMO_POLICY = RestartPolicy(refusals=frozenset())


def _check_settings(config: Path | None) -> Mapping[str, Any]:
    """Return the tables of the settings file. End the command with one line if the file is invalid, because every
    program would read it, or if it is missing although `config` is given."""
    path = config or Path("tron.toml")
    try:
        found = read_settings(path)
    except StartError as error:
        fail(str(error), code=2)
    if found is None and config is not None:
        fail(messages.no_settings_file(absolute(path)), code=2)
    return found or {}


def _check_addresses(listens: dict[str, str], spare: dict[str, str]) -> None:
    """End the command with one line that names the flag if an address is invalid, given twice, or already in use.

    The programs start together, so without this check one of them could connect to another system at an address that it
    expects to be its own. The addresses in `spare` may be in use, because the programs also run without them.
    """
    seen: dict[str, str] = {}
    for flag, address in (listens | spare).items():
        try:
            parsed = parse_listen(address)
        except ValueError as error:
            fail(f"{flag}: {error}", code=2)
        if parsed.port and str(parsed) in seen:
            fail(messages.address_in_use(flag, address, seen[str(parsed)]), code=2)
        seen[str(parsed)] = flag
        if flag in spare:
            continue
        try:
            check_bindable(address)
        except StartError as error:
            fail(f"{flag}: {error}")


def _welcome(
    serving: tuple[Serving, ...], data_dir: Path, commands: Sequence[str], security: Mapping[str, SecuritySettings]
) -> None:
    table = Table(title="TRON is up", title_justify="left", box=None, pad_edge=False)
    for heading in ("name", "address", "serves"):
        table.add_column(heading, overflow="fold")
    for each in serving:
        table.add_row(each.name, each.address, _SERVES.get(each.name, ""))
        for key, address in each.more.items():
            if not address:
                continue
            table.add_row("", f"{scheme(each.name, security)}://{reachable_here(address)}", _SERVES.get(key, ""))
    address = reachable_here(serving[0].address)
    elsewhere = "" if address == DEFAULT_REGISTRY else f" --registry {address}"
    with even_unread():
        state = f"{_state(serving[0])}: {absolute(data_dir)}"
        _print_welcome(table, state, exports(security), commands, elsewhere, security["registry"])


def _state(registry: Serving) -> str:
    """Return a text about the data directory: that it is new, or how many services and events it has."""
    found = registry.facts.get("found")
    if not isinstance(found, dict) or not any(found.values()):
        return messages.NEW_DATA_DIRECTORY
    services, events = found.get("services", 0), found.get("events", 0)
    return (
        f"Existing data directory ({services} {'service' if services == 1 else 'services'}, "
        f"{events} {'event' if events == 1 else 'events'} so far)"
    )


def _as_typed() -> str:
    """Return the command that a person must type for this `tron`: a path if the shell would find no `tron`, or another
    one."""
    own = Path(sys.executable).with_name("tron")
    found = shutil.which("tron")
    # `make up` runs with our own folder in front of PATH; the person who typed it does not.
    made = "MAKELEVEL" in os.environ
    if not own.exists() or (found is not None and not made and Path(found).samefile(own)):
        return "tron"
    with suppress(ValueError, OSError):
        return str(own.relative_to(Path.cwd()))
    return str(own)


def _print_welcome(
    table: Table, state: str, first: str, commands: Sequence[str], elsewhere: str, registry: SecuritySettings
) -> None:
    out.print(table)
    command_name = _as_typed()
    out.print(f"\n{state}", highlight=False, markup=False, soft_wrap=True)
    out.print(messages.STOP_AND_TRY, highlight=False, markup=False)
    if registry.authentication:
        certificates = bool(registry.certificate_rules.trust_domains or registry.accept_common_name)
        hint = security_messages.authenticate_first(command_name, certificates=certificates)
        out.print(f"  # {hint}", highlight=False, markup=False, soft_wrap=True)
    if first:
        out.print(f"  {first}", highlight=False, markup=False, soft_wrap=True)
    for command in commands:
        arguments = " -- sleep 60" if command.startswith("run ") else ""
        out.print(f"  {command_name} {command}{elsewhere}{arguments}", highlight=False, markup=False, soft_wrap=True)
    out.print()
    sys.stdout.flush()
