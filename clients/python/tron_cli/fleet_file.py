"""Reads a catalogue of services from TOML, and reports the row and field of each mistake."""

from __future__ import annotations

import importlib.resources
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from grid_model import wire
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tron_cli import messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PACKAGE = "tron_catalogue"
_TABLES = ("title", "favourite", "defaults", "service")


class FleetFileError(Exception):
    """A catalogue is invalid. The text lists all mistakes, separated by semicolons."""

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(f"{source}: " + "; ".join(self.problems))


class Row(BaseModel):
    """One service of a catalogue. Unless stated otherwise, a field has the name and the meaning of the corresponding
    field of a service in the API of the registry; intervals are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    service_id: str = Field(min_length=1, max_length=512)
    name: str = Field(min_length=1, max_length=100)
    key: str = Field(default="", max_length=100)
    """A short name of the service for the command line; if empty, only the service_id and the name identify it."""
    type: Literal["agent", "model", "tool"] = "agent"
    role: Literal["production", "staging", "canary", "experimental"] = "production"
    port: int | None = Field(default=None, ge=1, le=65535)
    """The port of the service. The label `port` is set to it, and an unset `url` to `http://localhost:PORT`."""
    url: str = Field(default="", max_length=2048)
    caps: tuple[str, ...] = Field(default=(), strict=False)
    labels: dict[str, Any] = Field(default_factory=dict)
    parent: str = Field(default="", max_length=512)
    """The parent: the service_id of another row, or its name if only one row has that name."""
    heartbeat_interval: float = Field(default=30.0, ge=0.1, le=86_400)
    ttl: float | None = Field(default=None, gt=0)
    reconnect_grace: float | None = Field(default=None, ge=0, le=3600)
    stall_after: float | None = Field(default=None, ge=0.1, le=86_400)
    system: bool = False
    """Whether the row is a program of the system itself, which registers itself and is not started by a demo."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_port(cls, given: Any) -> Any:
        port = given.get("port") if isinstance(given, dict) else None
        if isinstance(port, int):
            given = {"url": f"http://localhost:{port}", **given}
            if isinstance(given.get("labels", {}), dict):
                given["labels"] = {"port": port, **given.get("labels", {})}
        return given

    @field_validator("labels")
    @classmethod
    def _are_json(cls, labels: dict[str, Any]) -> dict[str, Any]:
        try:
            wire.struct(labels)
        except (ValueError, TypeError) as error:
            raise ValueError(messages.LABELS_MUST_BE_JSON) from error
        return labels

    def declaration(self) -> dict[str, Any]:
        """Return the service's declaration as keywords of `Agent` and `RegistryClient.register`."""
        return self.model_dump(exclude={"key", "port", "system"})


class FleetFile:
    """A catalogue of services, in the order of the file."""

    def __init__(self, source: str, title: str, rows: tuple[Row, ...], favourite: str = "") -> None:
        self.source = source
        self.title = title
        self.rows = rows
        self.favourite = favourite
        """The service_id that is used in hints and examples; empty if the catalogue sets none."""

    def find(self, word: str) -> Row | None:
        """Return the row whose service_id or key is `word`, or the only row whose name is `word`; None if no row
        matches."""
        if not word:
            return None
        for row in self.rows:
            if word in (row.service_id, row.key):
                return row
        named = [row for row in self.rows if row.name == word]
        return named[0] if len(named) == 1 else None

    def parent_of(self, row: Row) -> Row | None:
        """Return the parent's row; None for a row without a parent."""
        return self.find(row.parent)

    def children_of(self, row: Row) -> tuple[Row, ...]:
        """Return the rows whose parent is `row`."""
        return tuple(each for each in self.rows if self.parent_of(each) is row)


def built_in() -> tuple[str, ...]:
    """Return the names of the catalogues that come with the package."""
    folder = importlib.resources.files(_PACKAGE)
    return tuple(sorted(each.name.removesuffix(".toml") for each in folder.iterdir() if each.name.endswith(".toml")))


def load(name_or_path: str) -> FleetFile:
    """Return a catalogue, given the name of a built-in one or the path of a file. Raises FleetFileError."""
    if name_or_path in built_in():
        text = importlib.resources.files(_PACKAGE).joinpath(f"{name_or_path}.toml").read_text(encoding="utf-8")
        return parse(text, name_or_path)
    try:
        text = Path(name_or_path).read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(built_in())
        raise FleetFileError(name_or_path, (messages.no_such_catalogue(known),)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FleetFileError(name_or_path, (f"cannot be read: {error}",)) from error
    return parse(text, name_or_path)


def parse(text: str, source: str) -> FleetFile:
    """Return the catalogue in a TOML text. Raises FleetFileError with all mistakes."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FleetFileError(source, (f"is not valid TOML: {error}",)) from None
    problems = [
        f"{name}: is unknown; a catalogue has title, favourite, [defaults] and [[service]]"
        for name in document
        if name not in _TABLES
    ]
    problems += [
        f"{name}: must be a string" for name in ("title", "favourite") if not isinstance(document.get(name, ""), str)
    ]
    defaults, listed = document.get("defaults", {}), document.get("service", [])
    if not isinstance(defaults, dict) or not isinstance(defaults.get("labels", {}), dict):
        raise FleetFileError(source, [*problems, messages.DEFAULTS_MUST_BE_A_TABLE])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise FleetFileError(source, [*problems, messages.SERVICE_MUST_BE_TABLES])
    if not listed:
        problems.append(messages.NO_SERVICE)
    rows: list[Row] = []
    for number, given in enumerate(listed, 1):
        try:
            rows.append(Row.model_validate(_with_defaults(defaults, given)))
        except ValidationError as error:
            where = _where(number, given.get("service_id"))
            problems += [
                f"{where}: {'.'.join(map(str, each['loc'])) or 'row'}: {each['msg']}" for each in error.errors()
            ]
    if not problems:
        catalogue = FleetFile(source, document.get("title", ""), tuple(rows), document.get("favourite", ""))
        problems = _contradictions(catalogue)
    if problems:
        raise FleetFileError(source, problems)
    return catalogue


def _with_defaults(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row completed with the defaults; labels are merged one by one."""
    row = {**defaults, **given}
    if isinstance(given.get("labels", {}), dict):
        row["labels"] = {**defaults.get("labels", {}), **given.get("labels", {})}
    return row


def _where(number: int, service_id: object) -> str:
    return f"service {number} ({service_id})" if service_id else f"service {number}"


def _contradictions(catalogue: FleetFile) -> list[str]:
    """Return the contradictions between rows that are valid on their own."""
    problems: list[str] = []
    seen: dict[str, dict[str, int]] = {"service_id": {}, "key": {}}
    for number, row in enumerate(catalogue.rows, 1):
        where = _where(number, row.service_id)
        for field, taken in seen.items():
            word = getattr(row, field)
            if word and word in taken:
                problems.append(f"{where}: {field}: {messages.already_used(word, taken[word])}")
            taken.setdefault(word, number)
        if row.ttl is not None and row.ttl < row.heartbeat_interval:
            problems.append(f"{where}: ttl: {messages.ttl_too_short(row.ttl, row.heartbeat_interval)}")
        if row.parent and catalogue.parent_of(row) is None:
            problems.append(
                f"{where}: parent: {row.parent!r} is not a service of this catalogue, or several rows have this name"
            )
    favourite = catalogue.find(catalogue.favourite)
    if catalogue.favourite and (favourite is None or favourite.system):
        problems.append(
            f"favourite: {catalogue.favourite!r} is not a service of this catalogue, or is a program of the system"
        )
    return problems or _cycles(catalogue)


def _cycles(catalogue: FleetFile) -> list[str]:
    """Return each cycle of parents once, at its first row."""
    problems: list[str] = []
    settled: set[str] = set()
    for number, row in enumerate(catalogue.rows, 1):
        path: list[str] = []
        step: Row | None = row
        while step is not None and step.service_id not in settled and step.service_id not in path:
            path.append(step.service_id)
            step = catalogue.parent_of(step)
        if step is not None and step.service_id in path:
            cycle = [*path[path.index(step.service_id) :], step.service_id]
            problems.append(f"{_where(number, row.service_id)}: parent: {messages.cycle(cycle)}")
        settled.update(path)
    return problems
