"""Where each threshold comes from: the built-in default, the settings, and what operators set on top. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grid_model.policy import PolicySource
from tron_client.thresholds import FOR_EVERYONE

from tron import messages
from tron.policy import POLICY_FIELDS, Policies, Policy

MAX_OVERRIDES = 10_000
"""Services whose thresholds may differ at run time. Overflow rule: further ones are refused."""

Changes = Mapping[str, Any]
"""Thresholds by name."""


@dataclass(frozen=True)
class PolicyLayers:
    """What is given, by service_id; the empty one means all services. The later layer counts, and what is given for a
    service counts before what is given for all."""

    settings: Mapping[str, Changes] = field(default_factory=dict)
    runtime: Mapping[str, Changes] = field(default_factory=dict)

    def policies(self) -> Policies:
        """The thresholds in force. Raises ValueError, naming the threshold, if they contradict each other."""
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
        """The services for which something is given, in order."""
        return sorted({each for each in (*self.settings, *self.runtime) if each})

    def own(self, service_id: str) -> dict[str, Any]:
        """What is given for a service (empty: for all), and nothing else."""
        return {**self.settings.get(service_id, {}), **self.runtime.get(service_id, {})}

    def sources(self, service_id: str = "") -> dict[str, PolicySource]:
        """Where each value in force for a service (empty: for all) comes from."""
        sources = dict.fromkeys(POLICY_FIELDS, PolicySource.BUILT_IN)
        sources |= dict.fromkeys(self.settings.get("", {}), PolicySource.SETTINGS)
        sources |= dict.fromkeys(self.runtime.get("", {}), PolicySource.RUNTIME)
        if service_id:
            sources |= dict.fromkeys(self.settings.get(service_id, {}), PolicySource.SERVICE_SETTINGS)
            sources |= dict.fromkeys(self.runtime.get(service_id, {}), PolicySource.SERVICE_RUNTIME)
        return sources

    def changed(self, service_id: str, changes: Changes, unset: Iterable[str] = ()) -> PolicyLayers:
        """These with some thresholds set at run time, and others no longer. Raises ValueError, naming the threshold."""
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
