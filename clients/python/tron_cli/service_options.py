"""The options by which `tron run` and `tron register` describe a service, once for both."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from tron_cli.connection import LabelOption, labels_from

ServiceType = Literal["agent", "model", "tool"]
ServiceRole = Literal["production", "staging", "canary", "experimental"]


@dataclass(frozen=True)
class ServiceOptions:
    """What was given on the command line. A new option is a field here, and its keyword below."""

    type_: Annotated[ServiceType, typer.Option("--type", case_sensitive=False)] = "agent"
    role: Annotated[ServiceRole, typer.Option(case_sensitive=False)] = "production"
    url: Annotated[str, typer.Option(help="Its address, for clients; not interpreted.")] = ""
    cap: Annotated[list[str] | None, typer.Option(help="A capability. Repeatable.")] = None
    label: LabelOption = None
    parent: Annotated[str, typer.Option(help="The id or unique name of the agent that receives its alerts.")] = ""

    def keywords(self) -> dict[str, Any]:
        """The keywords by which the SDK takes them. Ends with a usage error for a label that is none."""
        return {
            "type": self.type_,
            "role": self.role,
            "url": self.url,
            "caps": tuple(self.cap or ()),
            "labels": labels_from(self.label or ()) or None,
            "parent": self.parent,
        }


_OPTIONS = inspect.signature(ServiceOptions, eval_str=True).parameters


def with_service_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with these options in place of its parameter `options`, which gets their values."""

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
