"""The settings of the operator sinks: the tables `[monitor.sinks]` and `[registry.sinks]` of `tron.toml`.

A setting gives the file or the environment variable of a secret, and never the secret itself, because everyone on the
machine can read a command line. Files are read at the start, so that a missing secret stops the start.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from grid_hosting.sinks.apprise_sink import load_channel
from grid_hosting.sinks.firing import OWN_LABELS
from grid_hosting.sinks.retry import Retry
from grid_hosting.sinks.signature import key_of

_STRICT = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
_RETRY = Retry()

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,49}$")]


def read_secret(file: Path | None, env: str | None) -> str:
    """Return the secret in a file or, if `file` is None, in an environment variable, without surrounding white space.
    Raises ValueError if there is none."""
    if file is not None:
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{file}: {getattr(error, 'strerror', None) or error}") from error
        where = str(file)
    else:
        text, where = os.environ.get(env or "", ""), f"the environment variable {env}"
    secret = text.strip()
    if not secret:
        raise ValueError(f"{where} is empty or not set")
    if not secret.isprintable() or not secret.isascii():
        raise ValueError(f"{where} must be one line of printable ASCII characters")
    return secret


class ReceiverConfig(BaseModel):
    """The settings that all HTTP receivers share."""

    model_config = _STRICT

    url: AnyHttpUrl
    """URL of the receiver."""
    token_file: Path | None = None
    """File with a token for the receiver, sent as `Authorization: Bearer`."""
    token_env: str | None = None
    """Environment variable with a token for the receiver."""

    @field_validator("token_file", "token_env")
    @classmethod
    def _token_is_there(cls, value: Path | str | None) -> Path | str | None:
        if value is not None:
            read_secret(*_source(value))
        return value

    @model_validator(mode="after")
    def _one_token(self) -> ReceiverConfig:
        if self.token_file is not None and self.token_env is not None:
            raise ValueError("token_file and token_env: set only one of them")
        return self

    def headers(self) -> dict[str, str]:
        """Return the headers of every call. Raises ValueError if the token has disappeared."""
        if self.token_file is None and self.token_env is None:
            return {}
        return {"authorization": f"Bearer {read_secret(self.token_file, self.token_env)}"}


class WebhookConfig(ReceiverConfig):
    """A webhook that receives signed CloudEvents."""

    name: Name = "webhook"
    """Name of the queue, in the log and on disk; each webhook needs a different name."""
    secret_file: Path | None = None
    """File with the signing secret: at least 16 bytes, or base64 after `whsec_`."""
    secret_env: str | None = None
    """Environment variable with the signing secret."""

    @field_validator("secret_file", "secret_env")
    @classmethod
    def _secret_is_good(cls, value: Path | str | None) -> Path | str | None:
        if value is not None:
            key_of(read_secret(*_source(value)))
        return value

    @model_validator(mode="after")
    def _one_secret(self) -> WebhookConfig:
        if (self.secret_file is None) == (self.secret_env is None):
            raise ValueError("secret_file and secret_env: set exactly one of them; a webhook is always signed")
        return self

    def key(self) -> bytes:
        """Return the signing key. Raises ValueError if the secret has disappeared."""
        return key_of(read_secret(self.secret_file, self.secret_env))


class AlertmanagerConfig(ReceiverConfig):
    """A Prometheus Alertmanager; configure each member of a cluster."""

    name: Name = "alertmanager"
    """Name of the queue, in the log and on disk; each Alertmanager needs a different name."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that are added to every alert."""
    renew_every: float = Field(default=60.0, ge=1, le=3600)
    """Seconds between re-sends of a firing alert; after a restart, the Alertmanager has all alerts again within this
    time."""
    active_for: float = Field(default=86_400.0, ge=60, le=31_536_000)
    """Seconds after which an alert that was never resolved is no longer renewed."""

    @field_validator("labels")
    @classmethod
    def _labels_have_names(cls, labels: dict[str, str]) -> dict[str, str]:
        for label in labels:
            if label in OWN_LABELS:
                raise ValueError(f"{label!r} is set from the alert and cannot be configured")
            if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label):
                raise ValueError(f"{label!r} is not a valid name for a label")
        return labels


class DeadManConfig(BaseModel):
    """A sign of life for an external monitor (dead man's switch)."""

    model_config = _STRICT

    url: AnyHttpUrl
    """URL that is requested as long as the program is healthy."""
    every: float = Field(default=60.0, ge=1, le=86_400)
    """Seconds between two requests. The monitor should tolerate two or three missing requests."""
    method: Literal["GET", "POST"] = "GET"
    """HTTP method of the requests."""


class SinksConfig(BaseModel):
    """Where operators are notified, in addition to the log."""

    model_config = _STRICT

    webhook: tuple[WebhookConfig, ...] = ()
    """Webhooks that receive the notices."""
    alertmanager: tuple[AlertmanagerConfig, ...] = ()
    """Prometheus Alertmanagers that receive the notices as alerts."""
    apprise: tuple[SecretStr, ...] = ()
    """Apprise URLs: mail, chat, SMS and more. They contain tokens, so prefer `apprise_file`."""
    apprise_file: Path | None = None
    """File with Apprise URLs, one per line; empty lines and lines that begin with # are ignored."""
    dead_man: DeadManConfig | None = None
    """A sign of life for an external monitor (dead man's switch)."""
    queue_size: int = Field(default=5000, ge=10, le=1_000_000)
    """Maximum number of notices that wait for one sink; beyond it, the oldest notice of the lowest severity is
    dropped."""
    timeout: float = Field(default=_RETRY.timeout, ge=0.1, le=300)
    """Seconds after which one attempt fails."""
    longest_pause: float = Field(default=_RETRY.longest_pause, ge=0.1, le=3600)
    """Maximum number of seconds between two attempts, unless the receiver asks for more."""
    give_up_after: float = Field(default=_RETRY.give_up_after, ge=60, le=31_536_000)
    """Seconds after which an undelivered notice is dropped."""

    @field_validator("apprise")
    @classmethod
    def _channels_are_known(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, url in enumerate(urls):
            _check_channel(url.get_secret_value(), f"entry {number}")
        return urls

    @field_validator("apprise_file")
    @classmethod
    def _file_is_good(cls, file: Path | None) -> Path | None:
        for number, url in _lines(file):
            _check_channel(url, f"{file}, line {number}")
        return file

    @model_validator(mode="after")
    def _names_differ(self) -> SinksConfig:
        names = [*(each.name for each in self.webhook), *(each.name for each in self.alertmanager)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"webhook and alertmanager: two sinks have the name {name!r}; give each a different `name`"
                )
        return self

    def channels(self) -> list[str]:
        """Return all Apprise URLs, each once. Raises ValueError if the file has disappeared."""
        given = [url.get_secret_value() for url in self.apprise]
        return list(dict.fromkeys([*given, *(url for _, url in _lines(self.apprise_file))]))

    def retry(self) -> Retry:
        """Return the timeouts and pauses of each sink."""
        return Retry(timeout=self.timeout, longest_pause=self.longest_pause, give_up_after=self.give_up_after)


def _source(value: Path | str) -> tuple[Path | None, str | None]:
    return (value, None) if isinstance(value, Path) else (None, value)


def _lines(file: Path | None) -> list[tuple[int, str]]:
    if file is None:
        return []
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: {getattr(error, 'strerror', None) or error}") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _check_channel(url: str, where: str) -> None:
    try:
        load_channel(url)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
