"""Starts and stops a program of the system: reads its settings, sets up logs, writes the ready file, and handles
signals."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TextIO, TypeVar, cast
from urllib.parse import urlsplit

import structlog
from pydantic import AfterValidator, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliImplicitFlag,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from grid_hosting.addresses import parse_listen
from grid_hosting.collector import COLLECTOR
from grid_hosting.own_credential import use_own_credential
from grid_hosting.pauses import PAUSES
from grid_hosting.security import SecuritySettings, client_environment, from_environment, from_file, problems_of
from grid_hosting.start import SECURITY, StartError, absolute, claim_ready_file, prepare_data_dir, read_settings, reason
from grid_hosting.variables import named_variables, unknown_variables
from grid_hosting.wakeups import read_wakeups_at_once, wake_threads_rarely
from grid_hosting.whole_file import write_whole

log = structlog.get_logger("program")

SWITCH_EVERY = 0.001
"""Seconds for which a thread may keep the interpreter while another one waits for it. A commit needs the interpreter
several times; with Python's default of 5 ms, alerts had to wait for commits while the event loop was busy."""

C = TypeVar("C", bound="ProgramConfig")


def _checked(listen: str) -> str:
    parse_listen(listen)
    return listen


Listen = Annotated[str, AfterValidator(_checked)]
"""A setting that is an address to listen on. An invalid address stops the start."""


def _checked_unless_off(listen: str) -> str:
    return "" if listen in ("", OFF) else _checked(listen)


OFF = "off"
"""The value, in place of an address, with which a program does not listen. An empty flag or variable counts as not
given."""

OptionalListen = Annotated[str, AfterValidator(_checked_unless_off)]
"""A setting that is an address to listen on, or OFF, which is read as an empty text."""


def _checked_collector(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError(f"{url!r} is not a URL; write, for example, http://127.0.0.1:4318")
    return url


CollectorUrl = Annotated[str, AfterValidator(_checked_collector)]
"""A setting that is the base URL of a collector, or empty."""


class ProgramConfig(BaseSettings, SecuritySettings):
    """The settings of one program, in increasing priority: defaults, tron.toml, environment, flags. They are read once,
    and never change. Security settings are also read from the table and the variables that all programs share.

    An unknown name in the file, in a variable or in a flag is an error, and the program does not start.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        use_attribute_docstrings=True,
        env_ignore_empty=True,
    )

    ready_file: Path | None = None
    """File to which the program writes one JSON object, with its actual address and its process id, once it serves."""
    otlp_endpoint: CollectorUrl = ""
    """Base URL of an OpenTelemetry collector to which metrics are sent (OTLP over HTTP), such as
    `http://127.0.0.1:4318`. Needs the extra `otel`. If it is empty, the URL in OTEL_EXPORTER_OTLP_ENDPOINT is used;
    without that, metrics are not sent."""
    log_json: CliImplicitFlag[bool] = False
    """Log JSON lines instead of text."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level of log lines. At debug, details of single heartbeats are logged; above info, changes of liveness
    are not logged."""


def read_config(kind: type[C], table: str, argv: Sequence[str]) -> C:
    """Return the settings of one program, from `[table]` of the settings file, the environment, and flags. Exits with
    status 2 if they are invalid."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--config", type=Path)
    found, flags = finder.parse_known_args(argv)
    file, tables = _find_tables(table, found.config)

    class Configured(kind):  # type: ignore[valid-type,misc]
        __doc__ = kind.__doc__
        model_config = SettingsConfigDict(env_prefix=f"TRON_{table.upper()}_", cli_prog_name=f"tron {table}")

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Return the sources of the settings, in decreasing priority; pydantic-settings puts the flags before all
            of them."""
            shared = InitSettingsSource(settings_cls, dict(from_environment(os.environ)))
            if file is None:
                return init_settings, env_settings, shared
            own = [] if table not in tables else [TomlConfigSettingsSource(settings_cls, file, (table,))]
            return init_settings, env_settings, shared, *own, InitSettingsSource(settings_cls, from_file(tables))

    try:
        config: C = Configured(_cli_parse_args=list(flags))
    except (ValidationError, SettingsError) as error:
        problems = problems_of(error) if isinstance(error, ValidationError) else [str(error)]
        _refuse(table, "; ".join(problems), code=2)
    unknown = unknown_variables(os.environ, "security", SECURITY)
    named = named_variables(config.model_dump())
    if unknown := unknown + unknown_variables(os.environ, table, kind.model_fields, also=named):
        _refuse(table, "; ".join(unknown), code=2)
    return config


def _refuse(table: str, *problems: str, code: int = 1) -> NoReturn:
    """Print one line for each reason why the program does not run, and exit with `code`."""
    for problem in problems:
        _Log(sys.stderr).write(f"tron {table}: {' '.join(problem.split())}\n")
    sys.exit(code)


def _find_tables(table: str, named: Path | None) -> tuple[Path | None, dict[str, Any]]:
    """Return the path of the settings file (None if there is none) and its tables. Exits with status 2 if it cannot be
    read."""
    path = named or Path("tron.toml")
    try:
        tables = read_settings(path)
    except StartError as error:
        _refuse(table, str(error), code=2)
    if tables is None and named is not None:
        _refuse(table, f"settings file {absolute(path)}: no such file", code=2)
    return (None, {}) if tables is None else (path, tables)


class _Log:
    """Standard error, for logs: a full disk, or a reader that has closed it, does not stop the program."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            if self._file is not None:
                self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            if self._file is not None:
                self._file.flush()


def set_up_logs(config: ProgramConfig) -> None:
    """Configure logging to stderr, as text for people or as JSON lines. Each line has a constant event name, and its
    facts as keys."""
    file = cast("TextIO", _Log(sys.stderr))
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if config.log_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr is not None and sys.stderr.isatty(), pad_event_to=0)
    )
    head: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tail: list[structlog.typing.Processor] = [
        structlog.processors.dict_tracebacks if config.log_json else structlog.processors.format_exc_info,
        renderer,
    ]
    structlog.configure(
        processors=[*head, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # One write for each line: a logger that writes the end of a line apart lets lines of two threads mix.
        logger_factory=structlog.WriteLoggerFactory(file),
    )
    # gRPC logs what it cannot decode, which may be a token, and a traceback for each client that sends such metadata.
    logging.getLogger("grpc._cython.cygrpc").addFilter(lambda record: "Invalid encoding" not in str(record.msg))
    # What libraries and our own client log has the same form, so that a reader of JSON lines can read every line.
    handler = logging.StreamHandler(file)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *head],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])


def write_ready(path: Path | None, facts: dict[str, object]) -> None:
    """Write the ready file, one JSON object with these facts and the process id, so that a reader sees all of it or
    nothing. If the path is None, do nothing."""
    if path is None:
        return
    write_whole(path, json.dumps({**facts, "pid": os.getpid()}) + "\n")


@dataclass(frozen=True, slots=True)
class Dials:
    """The servers that a program connects to, and the file with the token that it sends to them. If the file is None,
    it sends the token of the environment, if there is one."""

    token_file: Path | None
    servers: tuple[str, ...]


def host(
    config: ProgramConfig,
    table: str,
    serve: Callable[[asyncio.Event], Awaitable[None]],
    *,
    data_dir: Path,
    known: tuple[type[Exception], ...] = (),
    dials: Dials | None = None,
) -> None:
    """Run a program until it ends. Exits with status 1, and one line that explains the problem, if the program cannot
    start or continue.

    `known` are further exceptions whose message is such a line; any other exception is a bug, and is printed with its
    traceback. `dials`: the servers that the program connects to, if there are any.
    """
    set_up_logs(config)
    sys.setswitchinterval(SWITCH_EVERY)
    try:
        # Else other users could read in the files what no grant allows them.
        prepare_data_dir(data_dir, private=config.authentication)
        claim_ready_file(config.ready_file)
        os.environ.update(client_environment(config, os.environ))
        if dials is not None:
            use_own_credential(table, config, dials.token_file, dials.servers, os.environ)
        run(serve)
    except Exception as error:
        found = list(_leaves(error))
        if not all(isinstance(each, (StartError, OSError, *known)) for each in found):
            raise
        _refuse(table, *dict.fromkeys(_line(each) for each in found))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{absolute(Path(os.fsdecode(error.filename2 or error.filename)))}: {reason(error)}"
    return str(error)


def run(main: Callable[[asyncio.Event], Awaitable[None]], *, plain_grpc: bool = False) -> None:
    """Run the function `main` of a program on an event loop. SIGTERM and SIGINT set the event that is passed to it,
    which asks the program to stop. `plain_grpc`: leave grpc.aio unchanged, for comparisons; see `wakeups`."""

    async def hosted() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if not plain_grpc:
            read_wakeups_at_once(loop)
        COLLECTOR.install()
        watching = asyncio.create_task(PAUSES.watch(COLLECTOR.step))
        try:
            await main(stop)
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    # Each stream is a file, and shells start programs with room for 1024 of them; select(2) is not used here.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # grpc's fork handlers only get in the way of a program that never forks.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    wake_threads_rarely()
    try:
        import uvloop
    except ImportError:
        asyncio.run(hosted())
    else:
        uvloop.run(hosted())
