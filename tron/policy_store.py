"""Stores the thresholds that operators set with SetPolicy in TRON's own directory, so that they survive restarts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import structlog
from grid_model.policy import OrphanPolicy
from tron_client.thresholds import checked

from grid_hosting.start import StartError, absolute, reason
from grid_hosting.whole_file import write_whole
from tron.policy import POLICY_FIELDS
from tron.policy_layers import Changes, PolicyLayers

log = structlog.get_logger("tron")

FILE = "policy.json"


class PolicyStore:
    """Stores the thresholds that were set at run time, by service_id; the empty id means all services."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def load(self, settings: Mapping[str, Changes]) -> PolicyLayers:
        """Return the settings with all stored changes. A change that is no longer valid is left out, and logged.

        Raises StartError if the file exists and cannot be read.
        """
        layers = PolicyLayers(settings)
        try:
            stored = json.loads(self._path.read_text())
            if not isinstance(stored, dict) or not all(isinstance(each, dict) for each in stored.values()):
                raise ValueError("the file must contain a JSON object whose values are JSON objects")
        except FileNotFoundError:
            return layers
        except OSError as error:
            # Defaults in place of what operators chose would change which services are declared down.
            raise StartError(f"{absolute(self._path)}: {reason(error)}") from error
        except (ValueError, RecursionError) as error:
            log.error("policy_unreadable", path=str(self._path), why=str(error))
            return layers
        # The change for everyone first: it is what those for single services come on top of.
        for service_id in sorted(stored):
            changes = {name: value for name, value in stored[service_id].items() if name in POLICY_FIELDS}
            try:
                for name, value in changes.items():
                    changes[name] = OrphanPolicy(value) if name == "orphan_policy" else checked(name, value)
                layers = layers.changed(service_id, changes)
            except (ValueError, TypeError, OverflowError) as error:
                log.error("policy_left_out", service_id=service_id or None, why=str(error))
        return layers

    def save(self, layers: PolicyLayers) -> None:
        """Store the thresholds that were set at run time; when this returns, they survive a power cut. Raises
        OSError if the file cannot be written."""
        kept = {service_id: dict(changes) for service_id, changes in layers.runtime.items()}
        write_whole(self._path, json.dumps(kept, indent=2, sort_keys=True), durable=True)
