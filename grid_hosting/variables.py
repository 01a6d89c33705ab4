"""Finds environment variables that look like settings but are not, because a misspelled name must not disable a
protection. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

_OF_KUBERNETES = re.compile(r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
"""The names that Kubernetes gives each container for a service with the name of a program, such as `tron-registry`."""


def unknown_variables(
    environ: Mapping[str, str], table: str, settings: Collection[str], *, also: Collection[str] = ()
) -> list[str]:
    """Return one message for each variable TRON_TABLE_* that is not a setting of this table; it begins with the name of
    the variable.

    An empty variable counts as not given. `also` has variables that are allowed because settings refer to them, such as
    the variable with a secret.
    """
    prefix = f"TRON_{table.upper()}_"
    found = []
    for name, value in sorted(environ.items()):
        rest = name[len(prefix) :]
        if not value or not name.upper().startswith(prefix) or name in also or _OF_KUBERNETES.fullmatch(rest):
            continue
        if rest.lower() not in settings:
            found.append(f"{name}: [{table}] has no setting {rest.lower()}; it has {', '.join(sorted(settings))}")
    return found


def named_variables(settings: Any) -> set[str]:
    """Return the environment variables that settings refer to: the values of all settings whose names end with
    `_env`."""
    if isinstance(settings, Mapping):
        own = {str(value) for name, value in settings.items() if str(name).endswith("_env") and value}
        return own.union(*map(named_variables, settings.values()))
    if isinstance(settings, (list, tuple)):
        return set().union(*map(named_variables, settings))
    return set()
