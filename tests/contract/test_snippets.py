"""Every snippet of the documents is read by the tool that it is for. A block in a language that nobody checks fails."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import shlex
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from google.protobuf import json_format
from grid.events.v1 import event_service_pb2
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2
from grid.tron.v1 import tron_service_pb2
from tron_cli.app import app
from tron_cli.fleet_file import load
from tron_client.profiles import parse_profiles

from gateway_http.config import Config as GatewayConfig
from grid_hosting.program import read_config
from registry_server.config import Config as RegistryConfig
from tests.support.binaries import find_binary
from tests.support.nginx import nginx_config
from tests.support.snippets import ROOT, Snippet, commands_of, snippets, spans
from tron.config import Config as MonitorConfig

PROGRAMS: dict[str, tuple[Any, str]] = {
    "registry": (RegistryConfig, "registry"),
    "monitor": (MonitorConfig, "monitor"),
    "gateway": (GatewayConfig, "gateway"),
}
PLACEHOLDERS = {"restart", "start_again", "work"}
"""Names in Python snippets that represent the reader's own functions."""

SERVICES = {
    service.full_name: service
    for module in (registry_service_pb2, event_service_pb2, tron_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}


# --- shell ------------------------------------------------------------------------------------------------------------


def check_bash(snippet: Snippet) -> None:
    """The shell reads it, and every command of ours in it exists and takes what it is given."""
    done = subprocess.run(["bash", "-n"], input=snippet.text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    for words in commands_of(snippet.text):
        check_command(words)


def check_console(snippet: Snippet) -> None:
    """Lines that begin with `$ ` are typed; JSON below grpcurl is what is sent."""
    request: Any = None
    for line in snippet.text.splitlines():
        if line.startswith("$ "):
            (words,) = commands_of(line[2:])
            check_command(words)
            request = _method_of(words).input_type if Path(words[0]).name == "grpcurl" else None
        elif line.startswith("{") and request is not None:
            _parse(line, request)


def check_command(words: Sequence[str]) -> None:
    """One command: `tron`, `make`, `grpcurl`, `curl`, `python -m`. Others are not ours."""
    program, arguments = Path(words[0]).name, list(words[1:])
    if program == "tron":
        check_tron(arguments)
    elif program == "make":
        targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {each for each in arguments if "=" not in each} <= targets, words
    elif program == "grpcurl":
        verbs = {"list", "describe"} & set(arguments)
        method = None if verbs else _method_of(words)
        if method is not None and "-d" in arguments and (sent := arguments[arguments.index("-d") + 1]) != "@":
            _parse(sent, method.input_type)
        for name in arguments[arguments.index("describe") + 1 :] if "describe" in verbs else []:
            assert name in SERVICES or _message(name), name
    elif program == "curl":
        for option in ("-d", "--data"):
            if option in arguments:
                json.loads(arguments[arguments.index(option) + 1])
    elif re.fullmatch(r"python[\d.]*", program) and "-m" in arguments:
        assert importlib.util.find_spec(arguments[arguments.index("-m") + 1]) is not None, words


STAND_INS = {"…": "1", "N": "1", "ADDR": "127.0.0.1:1"}
"""What the reader would put there."""


def check_tron(arguments: list[str], *, whole: bool = True) -> None:
    """The command line takes it; unless it is `whole`, something that is required may be missing."""
    arguments = [STAND_INS.get(each, each) for each in arguments]
    for program, (kind, table) in PROGRAMS.items():
        if arguments[:1] == [program]:
            flags = ["127.0.0.1:1" if before.endswith("listen") else each for before, each in _pairs(arguments[1:])]
            read_config(kind, table, flags)
            return
    command: Any = typer.main.get_command(app)
    try:
        context = command.make_context("tron", list(arguments))
        while hasattr(command, "commands") and (rest := [*context._protected_args, *context.args]):  # noqa: SLF001
            _, command, rest = command.resolve_command(context, rest)
            context = command.make_context(command.name, rest, parent=context)
    except typer.Exit:
        pass  # `--version` and the like end here
    except Exception as error:
        if whole or type(error).__name__ not in ("MissingParameter", "BadOptionUsage"):
            raise


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(["", *words], words, strict=False)


def _method_of(words: Sequence[str]) -> Any:
    service, _, method = words[-1].rpartition("/")
    if service == "grpc.health.v1.Health":
        return None
    assert service in SERVICES, words
    return SERVICES[service].methods_by_name[method]


def _message(name: str) -> Any:
    return heartbeat_pb2.DESCRIPTOR.pool.FindMessageTypeByName(name)


def _parse(text: str, descriptor: Any) -> None:
    json_format.Parse(text, descriptor._concrete_class())  # noqa: SLF001 - the way from a descriptor to its class


# --- Python -----------------------------------------------------------------------------------------------------------


def check_python(snippet: Snippet) -> None:
    """It compiles; what it imports is there; what it calls takes what it is given; no name comes from nowhere."""
    compile(snippet.text, snippet.where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    known: dict[str, Any] = {}
    tree = ast.parse(snippet.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            known |= {each.asname or each.name: _member(module, each.name) for each in node.names}
        elif isinstance(node, ast.Import):
            known |= {each.asname or each.name: importlib.import_module(each.name) for each in node.names}
    for node in ast.walk(tree):
        for name, value in _bound(node):
            if isinstance(value, ast.Call) and isinstance(kind := _value(value.func, known), type):
                known[name] = _Instance(kind)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            _check_call(node, known)
        elif isinstance(node, ast.Attribute):
            _value(node, known)
    ruff = find_binary("ruff")
    assert ruff is not None
    command = [
        ruff,
        "check",
        "--isolated",
        "--select",
        "F821",
        "--output-format",
        "json",
        "--stdin-filename",
        "x.py",
        "-",
    ]
    done = subprocess.run(command, input=snippet.text, text=True, capture_output=True, check=False)
    problems = [each["message"] for each in json.loads(done.stdout)]
    assert not [each for each in problems if not set(re.findall(r"`(\w+)`", each)) & PLACEHOLDERS]


def _member(module: Any, name: str) -> Any:
    return getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{module.__name__}.{name}")


class _Instance:
    def __init__(self, kind: type) -> None:
        self.kind = kind


def _bound(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.With | ast.AsyncWith):
        for item in node.items:
            if isinstance(item.optional_vars, ast.Name):
                yield item.optional_vars.id, item.context_expr
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id, node.value


def _value(node: ast.expr, known: dict[str, Any]) -> Any:
    """What a name or an attribute is, as far as that is known; fails for an attribute that is not there."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute) and (owner := _value(node.value, known)) is not None:
        holder = owner.kind if isinstance(owner, _Instance) else owner
        if isinstance(owner, _Instance) and node.attr in _attributes(holder):
            return getattr(holder, node.attr, None)
        return getattr(holder, node.attr)
    return None


def _attributes(kind: type) -> set[str]:
    return {*dir(kind), *(name for each in kind.__mro__ for name in getattr(each, "__annotations__", {}))}


def _check_call(node: ast.Call, known: dict[str, Any]) -> None:
    called = _value(node.func, known)
    if called is None:
        return
    try:
        parameters = inspect.signature(called).parameters
    except (ValueError, TypeError):
        return
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    for keyword in node.keywords:
        assert keyword.arg is None or keyword.arg in parameters, f"{ast.unparse(node.func)} takes no {keyword.arg}"


# --- files ------------------------------------------------------------------------------------------------------------


def check_yaml(snippet: Snippet, folder: Path) -> None:
    """Prometheus or Alertmanager takes it."""
    top = set(re.findall(r"^(\w+):", snippet.text, re.MULTILINE))
    file = folder / "snippet.yml"
    if top <= {"inhibit_rules", "route", "receivers"}:
        rest = {"route": "route: {receiver: x}\n", "receivers": "receivers: [{name: x}]\n"}
        file.write_text(snippet.text + "".join(text for name, text in rest.items() if name not in top))
        _run("amtool", "check-config", str(file))
    else:
        file.write_text(snippet.text)
        _run("promtool", "check", "config", str(file))


def check_nginx(snippet: Snippet, folder: Path) -> None:
    """nginx takes it, as part of a server."""
    with tempfile.TemporaryDirectory() as short:  # the name of a socket has little room
        file = folder / "nginx.conf"
        file.write_text(nginx_config(snippet.text, f"unix:{short}/socket", folder))
        _run("nginx", "-t", "-c", str(file), "-p", str(folder))


def check_toml(snippet: Snippet, folder: Path) -> None:
    """The programs take it as settings, or the commands as a catalogue."""
    tables = set(tomllib.loads(snippet.text))
    file = folder / "snippet.toml"
    file.write_text(snippet.text)
    if tables <= {"service", "defaults"}:
        load(str(file))
        return
    if tables == {"profiles"}:
        assert parse_profiles(snippet.text, folder)
        return
    assert tables <= {*PROGRAMS, "security"}, tables
    for table in tables:
        kind, name = PROGRAMS["registry" if table == "security" else table]  # all programs read [security]
        read_config(kind, name, ["--config", str(file)])


def _run(program: str, *arguments: str) -> None:
    found = find_binary(program)
    assert found is not None, f"{program} is not installed; run `make setup`"
    done = subprocess.run([found, *arguments], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- all of them ------------------------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[Snippet, Path], object]] = {
    "bash": lambda snippet, _: check_bash(snippet),
    "console": lambda snippet, _: check_console(snippet),
    "python": lambda snippet, _: check_python(snippet),
    "json": lambda snippet, _: json.loads(snippet.text),
    "yaml": check_yaml,
    "nginx": check_nginx,
    "toml": check_toml,
    "text": lambda *_: None,  # pictures and output
}
NEEDS = {"yaml": ("promtool", "amtool"), "nginx": ("nginx",)}


@pytest.mark.parametrize(
    "snippet",
    [pytest.param(each, id=each.where, marks=pytest.mark.needs(*NEEDS.get(each.language, ()))) for each in snippets()],
)
def test_a_snippet_is_what_it_says(snippet: Snippet, tmp_path: Path) -> None:
    assert snippet.language in CHECKS, f"a block must say its language, one of {', '.join(CHECKS)}"
    CHECKS[snippet.language](snippet, tmp_path)


@pytest.mark.parametrize(("where", "command"), sorted(set(spans("tron "))))
def test_a_command_in_a_sentence_is_one(where: str, command: str) -> None:
    check_tron(shlex.split(command)[1:], whole=False)


@pytest.mark.parametrize(("where", "command"), sorted(set(spans("make "))))
def test_a_target_in_a_sentence_is_one(where: str, command: str) -> None:
    check_command(shlex.split(command))


@pytest.mark.parametrize(
    "wrong", ["tron servces", "tron services --no-such-flag", "tron gateway --lissten x", "make nothing"]
)
def test_a_command_that_is_none_is_found(wrong: str) -> None:
    with pytest.raises(BaseException):  # noqa: B017, PT011 - each parser has errors of its own
        check_command(shlex.split(wrong))


@pytest.mark.needs("promtool")
def test_a_regular_expression_that_is_no_text_for_yaml_is_found(tmp_path: Path) -> None:
    rule = "{source_labels: [a], regex: https?, action: keep}"
    text = f"scrape_configs:\n  - job_name: a\n    relabel_configs:\n      - {rule}\n"
    with pytest.raises(AssertionError, match="yaml"):
        check_yaml(Snippet("here", "yaml", text), tmp_path)
