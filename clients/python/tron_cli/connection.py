"""Connects a command to the registry, and prints an error if the registry cannot be reached."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from tron_client.address import parse_address

from tron_cli import messages
from tron_cli.output import fail

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tron_client.client import RegistryClient


def checked_address(context: typer.Context, option: typer.CallbackParam, text: str) -> str:
    """Return an address from an option or its environment variable; end the command with one line and code 2 if it is
    invalid."""
    source = context.get_parameter_source(str(option.name))
    named = str(option.envvar) if source is not None and source.name == "ENVIRONMENT" else option.opts[0]
    try:
        return parse_address(text, named, str(option.default)).text
    except ValueError as error:
        fail(str(error), code=2)


RegistryOption = Annotated[
    str,
    typer.Option(
        "--registry",
        metavar="ADDR",
        envvar="TRON_REGISTRY",
        help="The address of the registry.",
        callback=checked_address,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else on stdout.")]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="K=V",
        help="A label of the service: key=text, or key:=json for a value that is not a string, such as "
        "gpu:=true. May be repeated.",
    ),
]


@contextmanager
def registry_at(address: str) -> Iterator[RegistryClient]:
    """Yield a client of the registry. If a call fails, print one line and end the command with code 1; end it with code
    0 at Ctrl-C."""
    # grpc starts threads when it is imported and takes a while: only commands that need it pay for it, and `tron up`
    # and `tron run` start their children before.
    from tron_client.client import RegistryClient

    with registry_errors(address), RegistryClient(address) as client:
        yield client


@contextmanager
def registry_errors(address: str) -> Iterator[None]:
    """Run a block that calls the registry. If a call fails, print one line and end the command with code 1; end it with
    code 0 at Ctrl-C."""
    from tron_client.errors import InvalidRequest, RegistryUnavailable, TronError

    try:
        yield
    except RegistryUnavailable as error:
        fail(away(address, error.message))
    except (InvalidRequest, ValueError, OverflowError) as error:
        fail(refusal(error))
    except TronError as error:
        fail(error.message or error.reason)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None  # how one leaves a stream


def refusal(error: Exception) -> str:
    """Return one line that says what is wrong with a request. `error` is from the registry, or a ValueError of the
    SDK."""
    fields = getattr(error, "fields", ())
    return "; ".join(f"{each.field}: {each.description}" for each in fields) or str(error)


def away(address: str, detail: str = "") -> str:
    """Return one line that says why the registry at an address cannot be reached, for example because another program
    listens there. `detail` is the message of gRPC."""
    return not_there("registry", address, detail)


def address_answers(address: str) -> bool:
    """Return whether a gRPC server answers at an address."""
    from tron_client.reachability import what_answers

    return what_answers(parse_address(address, "")).kind == "grpc"


def not_there(name: str, address: str, detail: str = "") -> str:
    """Return one line that says why the server at an address cannot be reached. `name` is `registry` or `TRON`, and
    `detail` the message of gRPC. Probes the address for at most 2 s."""
    from tron_client.reachability import what_answers

    found = what_answers(parse_address(address, ""))
    if found.absent:
        return messages.nothing_listens(name, address)
    if found.kind == "silent" or (found.kind == "grpc" and "deadline" in detail.lower()):
        return messages.no_answer_in_time(name, address)
    return messages.something_else_listens(name, address, detail if found.kind == "grpc" else found.words)


def require_registry(client: RegistryClient) -> None:
    """End the command with an error if the registry does not answer. Called before a stream is opened, because a stream
    would wait for the registry forever, without a message."""
    client.list_events(limit=1)


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which Python's JSON parser accepts although JSON has no such values."""
    raise ValueError(constant)


def labels_from(words: Iterable[str]) -> dict[str, object]:
    """Return the labels that words of a command line describe, each in the form `key=text` or `key:=json`. End the
    command with a usage error if a word has any other form."""
    labels: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        typed = key.endswith(":")
        key = key.removesuffix(":")
        if not equals or not key:
            raise typer.BadParameter(messages.not_a_label(word), param_hint="--label")
        if not typed:
            labels[key] = value
            continue
        try:
            labels[key] = json.loads(value, parse_constant=_refuse)
        except ValueError as error:
            raise typer.BadParameter(messages.label_is_not_json(word, value), param_hint="--label") from error
    return labels
