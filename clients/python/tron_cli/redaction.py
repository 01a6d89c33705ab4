"""Removes secrets from data that is shared with others: by name if the structure is known, and by pattern in texts. No
I/O.

The text of a setting is kept only if the name of the setting is known to be harmless; numbers and booleans are always
kept. So a setting that is added later reveals nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

REMOVED = "<removed>"

HARMLESS = frozenset(
    {
        *("listen", "metrics_listen", "registry_http_listen", "tron_http_listen", "events_http_listen", "hmi_listen"),
        *("registry_listen", "tron_listen", "registry_metrics_listen", "tron_metrics_listen", "registry", "tron"),
        *("data_dir", "ready_file", "root_path", "config", "catalogue", "log_level", "probe_targets"),
        *("http_hosts", "trusted_proxies", "trust_domains", "legacy_open_to", "http_origins"),
        *("orphan_policy", "method", "name"),
    }
)
"""The names of settings whose texts contain nothing secret."""

_URL = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s\"'<>|\\]*")
_SECRET_NAME = re.compile(r"(?i)secret|token|passw(or)?d|api[_-]?key|credential|authorization")
_PATTERNS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}"), rf"\1 {REMOVED}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=]+"), REMOVED),
    # A token, and not the name of a metric.
    (re.compile(r"\btron_(?=[a-z_]*[A-Z0-9-])[A-Za-z0-9_-]{43}(?![\w-])"), REMOVED),
    (
        re.compile(
            r"(?i)([\"']?[\w.-]*(?:secret|token|passw(?:or)?d|api[_-]?key|credential|authorization)[\w.-]*[\"']?"
            r"\s*[=:]\s*)(?!\s)(?:\"[^\"]*\"|'[^']*'|[^\s,;}\]]+)"
        ),
        rf"\1{REMOVED}",
    ),
)
_FLAG = re.compile(r"--[a-z][a-z0-9.-]*")
_SHORTEST = 6
"""A known secret that is shorter is not searched for in texts: it would be found in every word."""


class Redactor:
    """Removes secrets from texts and documents. `secrets`: known secret values, which are removed wherever they
    occur."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted({each for each in secrets if len(each) >= _SHORTEST}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return a text without known secrets and without texts that look like secrets, with addresses reduced to their
        hosts."""
        for secret in self._secrets:
            text = text.replace(secret, REMOVED)
        text = _URL.sub(lambda found: host_of(found[0]), text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def document(self, value: Any, name: str = "") -> Any:
        """Return a part of a JSON document without secrets: `text` is applied to all its texts, and each text whose
        name in the document is like `token` is removed. `name`: the name in the document under which `value` is
        found."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.document(each, str(key)) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.document(each, name) for each in value]
        if isinstance(value, str):
            return REMOVED if _SECRET_NAME.search(name) else self.text(value)
        return value

    def settings(self, value: Any, name: str = "") -> Any:
        """Return settings, as read from TOML or JSON. A text is removed unless the name of its setting is known to be
        harmless. `name`: the name of the setting that has this value."""
        if isinstance(value, bool | int | float) or value is None:
            return value
        if isinstance(value, Mapping):
            if name == "labels":
                return dict.fromkeys(map(str, value), REMOVED)
            return {str(key): self.settings(each, str(key).replace("-", "_")) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.settings(each, name) for each in value]
        if name == "url":
            return host_of(str(value))
        return self.text(str(value)) if name in HARMLESS else REMOVED


def host_of(url: str) -> str:
    """Return the scheme, host and port of an address, without its user, path, query and fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return REMOVED
    if parts.scheme not in ("http", "https", "grpc", "unix", "dns"):
        return f"{parts.scheme}://{REMOVED}"  # of other schemes the host can be a token
    host = f"[{host}]" if ":" in host else host
    rest = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username or parts.password
    return f"{parts.scheme}://{host}{port}{'/' + REMOVED if rest else ''}"


def flags(words: Iterable[str], redactor: Redactor) -> list[str]:
    """Return the arguments of a command line: all flags, with the values of harmless flags only."""
    shown: list[str] = []
    name = ""
    for word in words:
        if word.startswith("-"):
            flag, equals, value = word.partition("=")
            if not _FLAG.fullmatch(flag):
                shown.append(REMOVED)  # a short one may have its value attached
                name = ""
                continue
            name = flag.lstrip("-").replace("-", "_")
            shown.append(f"{flag}={_flag_value(name, value, redactor)}" if equals else flag)
        else:
            shown.append(_flag_value(name, word, redactor))
            name = ""
    return shown


def _flag_value(name: str, value: str, redactor: Redactor) -> str:
    if re.fullmatch(r"[0-9.]+|true|false", value):
        return value
    return redactor.text(value) if name in HARMLESS else REMOVED


def environment(variables: Mapping[str, str], redactor: Redactor) -> dict[str, str]:
    """Return the environment variables whose names begin with TRON_. A value is removed unless it is known to be
    harmless. Variables with other names are left out."""
    shown = {}
    for variable, value in sorted(variables.items()):
        if not variable.startswith("TRON_"):
            continue
        name = re.sub(r"^TRON_(REGISTRY|MONITOR|GATEWAY)_", "", variable).lower()
        address = variable in ("TRON_REGISTRY", "TRON_MONITOR")
        shown[variable] = redactor.text(value) if address else _flag_value(name, value, redactor)
    return shown


def removed_texts(value: Any, name: str = "") -> set[str]:
    """Return the texts in these settings that `Redactor.settings` removes, so that the same texts can be removed from
    other data too."""
    if isinstance(value, Mapping):
        return {text for key, each in value.items() for text in removed_texts(each, str(key).replace("-", "_"))}
    if isinstance(value, list | tuple):
        return {text for each in value for text in removed_texts(each, name)}
    is_secret = isinstance(value, str) and name not in HARMLESS and not name.endswith(("_file", "_env"))
    return {value} if is_secret else set()


def named_secrets(value: Any, name: str = "") -> tuple[set[str], set[str]]:
    """Return the paths of the files, and the names of the environment variables, from which the settings read
    secrets."""
    files: set[str] = set()
    variables: set[str] = set()
    if isinstance(value, Mapping):
        pairs: Iterable[tuple[str, Any]] = ((str(key), each) for key, each in value.items())
    elif isinstance(value, list | tuple):
        pairs = ((name, each) for each in value)
    else:
        if isinstance(value, str) and name.endswith("_file") and name != "ready_file":
            files.add(value)
        elif isinstance(value, str) and name.endswith("_env"):
            variables.add(value)
        return files, variables
    for key, each in pairs:
        more_files, more_variables = named_secrets(each, key)
        files |= more_files
        variables |= more_variables
    return files, variables
