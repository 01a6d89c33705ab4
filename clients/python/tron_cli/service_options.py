"""The options that describe a service, defined once for `tron run` and `tron register`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import typer

from tron_cli.connection import LabelOption, labels_from

ServiceType = Literal["agent", "model", "tool"]
ServiceRole = Literal["production", "staging", "canary", "experimental"]


def one_of(words: Any) -> str:
    """Return the values of a Literal as the help shows them: `[agent|model|tool]`."""
    return f"[{'|'.join(get_args(words))}]"


@dataclass(frozen=True)
class ServiceOptions:
    """The values of the options that describe a service. To add an option, add a field here and its keyword to
    `keywords`."""

    type_: Annotated[
        ServiceType,
        typer.Option("--type", metavar=one_of(ServiceType), case_sensitive=False, help="The type of the service."),
    ] = "agent"
    role: Annotated[
        ServiceRole, typer.Option(metavar=one_of(ServiceRole), case_sensitive=False, help="The role of the service.")
    ] = "production"
    url: Annotated[str, typer.Option(metavar="URL", help="The URL of the service, for its clients.")] = ""
    cap: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A capability of the service. May be repeated.")
    ] = None
    label: LabelOption = None
    parent: Annotated[
        str,
        typer.Option(metavar="ID", help="The id or unique name of the agent that receives alerts about the service."),
    ] = ""
    refuse_child: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Do not accept, as children of this service, services of other owners whose ids match PATTERN: an id, "
            "or a prefix followed by *. May be repeated.",
        ),
    ] = None

    def keywords(self) -> dict[str, Any]:
        """Return the values as keyword arguments for the SDK. End the command with a usage error if a label is
        invalid."""
        return {
            "type": self.type_,
            "role": self.role,
            "url": self.url,
            "caps": tuple(self.cap or ()),
            "labels": labels_from(self.label or ()) or None,
            "parent": self.parent,
            "refused_children": tuple(self.refuse_child or ()),
        }


_OPTIONS = inspect.signature(ServiceOptions, eval_str=True).parameters


def with_service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the options of `ServiceOptions` instead of the parameter `options`. When it is called,
    it passes the values of these options to the original command."""

    @functools.wraps(command)
    def run(**values: Any) -> None:
        command(options=ServiceOptions(**{name: values.pop(name) for name in _OPTIONS}), **values)

    own = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for each in own.parameters.values():
        parameters += _OPTIONS.values() if each.name == "options" else [each]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
