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
    """Return the value of an option that takes an address; end the command with one line and code 2 if it is not an
    address."""
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
JsonOption = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout.")]
LabelOption = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="K=V", help="A label of the service: key=text or key:=json. May be repeated."),
]


@contextmanager
def registry_at(address: str) -> Iterator[RegistryClient]:
    """Yield a client of the registry. Ctrl-C ends the command without an error; a failed call ends it with one line and
    code 1."""
    # grpc starts threads when it is imported and takes a while: only commands that need it pay for it, and `tron up`
    # and `tron run` start their children before.
    from tron_client.client import RegistryClient

    with registry_errors(address), RegistryClient(address) as client:
        yield client


@contextmanager
def registry_errors(address: str) -> Iterator[None]:
    """End the command with one line and code 1 for a failed call in the block, and without an error for Ctrl-C."""
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
    """Return one line about an invalid request, which the registry or (with a ValueError) the SDK refused."""
    fields = getattr(error, "fields", ())
    return "; ".join(f"{each.field}: {each.description}" for each in fields) or str(error)


def away(address: str, detail: str = "") -> str:
    """Return one line about a registry that does not answer, and about the program that answers instead. `detail` is
    gRPC's message."""
    return not_there("registry", address, detail)


def address_answers(address: str) -> bool:
    """Return whether a gRPC server answers at this address, so that an error about the registry can only come from that
    server."""
    from tron_client.reachability import what_answers

    return what_answers(parse_address(address, "")).kind == "grpc"


def not_there(name: str, address: str, detail: str = "") -> str:
    """Return one line about a server that does not answer. Checks the address for at most 2 s."""
    from tron_client.reachability import what_answers

    found = what_answers(parse_address(address, ""))
    if found.absent:
        return messages.nothing_listens(name, address)
    if found.kind == "silent" or (found.kind == "grpc" and "deadline" in detail.lower()):
        return messages.no_answer_in_time(name, address)
    return messages.something_else_listens(name, address, detail if found.kind == "grpc" else found.words)


def require_registry(client: RegistryClient) -> None:
    """End the command now if the registry does not answer: opening a stream would wait forever without a message."""
    client.list_events(limit=1)


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which Python's JSON parser accepts although JSON has no such values."""
    raise ValueError(constant)


def labels_from(words: Iterable[str]) -> dict[str, object]:
    """Return the labels in `key=text` and `key:=json` words. End with a usage error if a word has neither form."""
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
