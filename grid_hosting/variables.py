"""Finds variables of the environment that look like settings and are none: such a mistake must not leave a protection
out. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

_OF_KUBERNETES = re.compile(r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
"""The names that Kubernetes gives each container for a service with the name of a program, such as `tron-registry`."""


def unknown_variables(
    environ: Mapping[str, str], table: str, settings: Collection[str], *, also: Collection[str] = ()
) -> list[str]:
    """Return one text for each variable TRON_TABLE_* that is no setting; it begins with the name of the variable.

    An empty variable counts as not given. `also`: variables that the settings name, such as that of a secret.
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
    """Return the variables that settings name: the values of all names that end with `_env`."""
    if isinstance(settings, Mapping):
        own = {str(value) for name, value in settings.items() if str(name).endswith("_env") and value}
        return own.union(*map(named_variables, settings.values()))
    if isinstance(settings, (list, tuple)):
        return set().union(*map(named_variables, settings))
    return set()
