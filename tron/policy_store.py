"""What operators changed by SetPolicy: kept beside the settings, in TRON's own folder, so that it survives restarts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import structlog

from grid_hosting.start import StartError, absolute, reason
from grid_hosting.whole_file import write_whole
from tron.policy import POLICY_FIELDS, OrphanPolicy, Policies

log = structlog.get_logger("tron")

FILE = "policy.json"


class PolicyStore:
    """The changes by service_id; the empty one stands for everyone."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._changes: dict[str, dict[str, Any]] = {}

    def load(self, settings: Policies) -> Policies:
        """The settings with all that was changed. What no longer fits is left out, and logged.

        Raises StartError if the file is there and cannot be read.
        """
        try:
            stored = json.loads(self._path.read_text())
            if not isinstance(stored, dict) or not all(isinstance(each, dict) for each in stored.values()):
                raise ValueError("it is not an object of objects")
        except FileNotFoundError:
            return settings
        except OSError as error:
            # Defaults in place of what operators chose would change who is declared down.
            raise StartError(f"{absolute(self._path)}: {reason(error)}") from error
        except ValueError as error:
            log.error("policy_unreadable", path=str(self._path), why=str(error))
            return settings
        policies = settings
        # The change for everyone first: it is what those for single services come on top of.
        for service_id in sorted(stored):
            changes = {name: value for name, value in stored[service_id].items() if name in POLICY_FIELDS}
            try:
                if "orphan_policy" in changes:
                    changes["orphan_policy"] = OrphanPolicy(changes["orphan_policy"])
                policies = policies.changed(service_id, changes)
            except (ValueError, TypeError) as error:
                log.error("policy_left_out", service_id=service_id or None, why=str(error))
            else:
                self._changes[service_id] = changes
        return policies

    def save(self, service_id: str, changes: dict[str, Any]) -> None:
        """Keep a change; when it returns it survives a power cut. Raises OSError."""
        wanted = {**self._changes, service_id: {**self._changes.get(service_id, {}), **changes}}
        write_whole(self._path, json.dumps(wanted, indent=2, sort_keys=True), durable=True)
        self._changes = wanted
