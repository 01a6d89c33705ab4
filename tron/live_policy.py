"""The thresholds in force, and their changes while TRON runs: each change is checked, written to disk, and then
applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from grid_model.errors import FieldError, InternalError, InvalidRequest
from tron_client.thresholds import FOR_EVERYONE, checked

from tron import messages
from tron.monitor import Monitor
from tron.policy import POLICY_FIELDS, Policies, PolicyError
from tron.policy_layers import PolicyLayers
from tron.policy_store import PolicyStore

log = structlog.get_logger("tron")


class LivePolicy:
    """Holds the thresholds of each layer, and gives the monitor the policies that result from them."""

    def __init__(self, monitor: Monitor, store: PolicyStore, layers: PolicyLayers) -> None:
        self._monitor = monitor
        self._store = store
        self.layers = layers

    def change(self, service_id: str, changes: Mapping[str, Any], unset: Iterable[str]) -> None:
        """Set and unset thresholds of a service (for an empty id: of all services): write them to disk, and apply them
        from the next frame on.

        Raises InvalidRequest, which names each wrong field, and InternalError if the thresholds cannot be written to
        disk. In both cases nothing is changed.
        """
        unset = tuple(unset)
        wrong = [*_wrong_values(changes), *_wrong_names(unset, changes)]
        if not changes and not unset:
            wrong.append(FieldError("policy", messages.CHANGES_NOTHING))
        if wrong:
            raise InvalidRequest.of(*wrong)
        try:
            layers = self.layers.changed(service_id, changes, unset)
            policies = layers.policies()
        except ValueError as error:
            field, _, why = str(error).partition(": ")
            raise InvalidRequest.of(FieldError(_path(field), why or str(error))) from None
        # What was already so by the settings does not prevent another change.
        before = _reckless(self.layers.policies(), service_id)
        reckless = [each for each in _reckless(policies, service_id) if each not in before]
        if reckless:
            raise InvalidRequest.of(*(FieldError(_path(each.field), each.description) for each in reckless))
        try:
            self._store.save(layers)
        except OSError as error:
            log.error("policy_not_saved", why=str(error))
            raise InternalError(messages.NOT_SAVED) from error
        self.layers = layers
        self._monitor.set_policies(policies)
        given = {name: str(value) for name, value in changes.items()}
        log.info("policy_set", service_id=service_id or None, unset=list(unset) or None, **given)


def _wrong_values(changes: Mapping[str, Any]) -> list[FieldError]:
    wrong: list[FieldError] = []
    for name, value in changes.items():
        try:
            if name != "orphan_policy":  # which the wire has as a number
                checked(name, value)
        except ValueError as error:
            wrong.append(FieldError(_path(name), str(error)))
    return wrong


def _wrong_names(unset: Iterable[str], changes: Mapping[str, Any]) -> list[FieldError]:
    wrong: list[FieldError] = []
    for name in unset:
        if name not in POLICY_FIELDS:
            wrong.append(FieldError("unset", messages.not_a_threshold(name, POLICY_FIELDS)))
        elif name in changes:
            wrong.append(FieldError("unset", messages.set_and_unset(name)))
    return wrong


def _reckless(policies: Policies, service_id: str) -> list[PolicyError]:
    """Return the thresholds that would declare healthy services down. The guard's window concerns all services, so one
    service may have a longer grace."""
    found = policies.of(service_id).reckless()
    return [each for each in found if not service_id or each.field not in FOR_EVERYONE]


def _path(field: str) -> str:
    return field if field == "service_id" else f"policy.{field}"
