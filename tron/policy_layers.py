"""The layers from which each threshold takes its value: the built-in default, the settings, and changes by operators.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grid_model.policy import PolicySource
from tron_client.thresholds import FOR_EVERYONE

from tron import messages
from tron.policy import POLICY_FIELDS, Policies, Policy

MAX_OVERRIDES = 10_000
"""How many services may have thresholds that were set at run time. Overflow rule: further services are refused."""

Changes = Mapping[str, Any]
"""Thresholds by name."""


@dataclass(frozen=True)
class PolicyLayers:
    """The thresholds that each layer sets, by service_id; the empty id means all services. A later layer overrides an
    earlier one, and a threshold that is set for a service overrides the one for all services."""

    settings: Mapping[str, Changes] = field(default_factory=dict)
    runtime: Mapping[str, Changes] = field(default_factory=dict)

    def policies(self) -> Policies:
        """Return the thresholds in force. Raises ValueError, which names a threshold, if they contradict each other."""
        everyone = {**self.settings.get("", {}), **self.runtime.get("", {})}
        overrides: dict[str, Policy] = {}
        for service_id in self.overridden():
            own = {**self.settings.get(service_id, {}), **self.runtime.get(service_id, {})}
            try:
                overrides[service_id] = Policy(**{**everyone, **own})
            except ValueError as error:
                raise ValueError(messages.in_override(error, service_id)) from error
        return Policies(Policy(**everyone), overrides)

    def overridden(self) -> list[str]:
        """Return the ids of the services that have thresholds of their own, sorted."""
        return sorted({each for each in (*self.settings, *self.runtime) if each})

    def own(self, service_id: str) -> dict[str, Any]:
        """Return only the thresholds that are set for this service itself (for an empty id: for all services)."""
        return {**self.settings.get(service_id, {}), **self.runtime.get(service_id, {})}

    def sources(self, service_id: str = "") -> dict[str, PolicySource]:
        """Return the source of each threshold in force for a service (for an empty id: for all services)."""
        sources = dict.fromkeys(POLICY_FIELDS, PolicySource.BUILT_IN)
        sources |= dict.fromkeys(self.settings.get("", {}), PolicySource.SETTINGS)
        sources |= dict.fromkeys(self.runtime.get("", {}), PolicySource.RUNTIME)
        if service_id:
            sources |= dict.fromkeys(self.settings.get(service_id, {}), PolicySource.SERVICE_SETTINGS)
            sources |= dict.fromkeys(self.runtime.get(service_id, {}), PolicySource.SERVICE_RUNTIME)
        return sources

    def changed(self, service_id: str, changes: Changes, unset: Iterable[str] = ()) -> PolicyLayers:
        """Return new layers in which some thresholds of a service are set at run time, and others are unset (for an
        empty id: of all services). Raises ValueError, which names the threshold, if that is not allowed."""
        for name in changes:
            if service_id and name in FOR_EVERYONE:
                raise ValueError(f"{name}: {messages.NOT_PER_SERVICE}")
        own = {**self.runtime.get(service_id, {}), **changes}
        for name in unset:
            own.pop(name, None)
        others = {each: given for each, given in self.runtime.items() if each != service_id}
        runtime = {**others, service_id: own} if own else others
        if service_id and len(runtime) > MAX_OVERRIDES and service_id not in self.runtime:
            raise ValueError(f"service_id: {messages.too_many_overrides(MAX_OVERRIDES)}")
        layers = PolicyLayers(self.settings, runtime)
        layers.policies()
        return layers
