"""Reads profiles from `~/.config/tron/profiles.toml`. A profile has the addresses and certificates of one system.

    [profiles.production]
    registry = "registry.example:6122"
    tron = "registry.example:6123"
    ca = "production/ca.pem"

`TRON_PROFILE` chooses a profile. If it is not set, the profile `default` applies, but only if no address is given: the
addresses and the certificates of one system belong together. A system on this machine needs no profile.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tron_client.address import DEFAULT_MONITOR, DEFAULT_REGISTRY, parse_address
from tron_client.bearer import NO_TOKEN, TokenSource, of_environment
from tron_client.tls import NO_FILES, Pem, TlsFiles, choose, from_environment

if TYPE_CHECKING:
    from tron_client.address import Address

VARIABLE = "TRON_PROFILE"
DEFAULT = "default"

_MOST_BYTES = 1 << 20
_ADDRESSES = {"registry": DEFAULT_REGISTRY, "tron": DEFAULT_MONITOR}
_FILES = ("ca", "cert", "key")
_KNOWN = (*_ADDRESSES, *_FILES, "token_file", "server_name")


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile. An address that is not set in the profile is empty."""

    name: str
    registry: str = ""
    tron: str = ""
    files: TlsFiles = NO_FILES
    token: TokenSource | None = None


def profiles_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the profile file, which is in the user's directory for settings (XDG_CONFIG_HOME)."""
    folder = environ.get("XDG_CONFIG_HOME", "")
    base = Path(folder) if folder.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".config"
    return base / "tron" / "profiles.toml"


def find_profile(environ: Mapping[str, str], *, address_given: bool) -> Profile | None:
    """Return the profile that TRON_PROFILE selects, else the profile `default`; None if no profile applies.
    `address_given` means that an argument or an environment variable gives the address of the server: the profile
    `default` then does not apply.

    Raises ValueError if the file is invalid or does not contain the selected profile; the text contains the file and
    the setting.
    """
    name = environ.get(VARIABLE, "").strip()
    if not name and address_given:
        return None
    path = profiles_path(environ)
    found = _read(path, name)
    if not name:
        return found.get(DEFAULT)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise ValueError(f"{VARIABLE}: {path} has no profile {name!r}; its profiles: {known}")
    return found[name]


def files_for(address: Address, environ: Mapping[str, str]) -> TlsFiles | None:
    """Return the certificates and the key for a connection to an address: those given with the address, else those of
    the environment, else those of the profile that TRON_PROFILE selects. None means plaintext.

    Raises ValueError for an invalid profile, and for a certificate without its key.
    """
    if address.plaintext:
        return None
    profile = find_profile(environ, address_given=True)
    files = choose(address.files, from_environment(environ), NO_FILES if profile is None else profile.files)
    if files is None and address.files.server_name:
        raise ValueError("server_name: has no effect without TLS; give ca, or set TRON_CA")
    return files


def token_for(address: Address, environ: Mapping[str, str]) -> TokenSource | None:
    """Return the token that is sent to an address: the one given with the address, else that of the environment, else
    that of the profile that TRON_PROFILE selects. Raises ValueError for an invalid profile, and for two tokens in the
    environment."""
    if isinstance(address.token, TokenSource):
        return None if address.token == NO_TOKEN else address.token
    found = of_environment(environ)
    if found is None and (profile := find_profile(environ, address_given=True)) is not None:
        found = profile.token
    return found


def _read(path: Path, name: str) -> dict[str, Profile]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if name:
            raise ValueError(f"{VARIABLE}: is {name!r}, but the profile file {path} does not exist") from error
        return {}
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path}: is larger than 1 MB")
    try:
        return _parsed(content, path.parent)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error


@functools.lru_cache(maxsize=4)  # it is asked for at each call of a client
def _parsed(content: bytes, folder: Path) -> dict[str, Profile]:
    return parse_profiles(content.decode(), folder)


def parse_profiles(text: str, folder: Path) -> dict[str, Profile]:
    """Return the profiles in the text of a profile file, by name; relative paths start at `folder`. Raises ValueError,
    whose text contains the name of the wrong setting."""
    document = tomllib.loads(text)
    for name in document:
        if name != "profiles":
            raise ValueError(f"{name}: is not known in this file; begin each profile with [profiles.NAME]")
    tables = document.get("profiles", {})
    if not isinstance(tables, dict):
        raise ValueError("profiles: must be tables; write [profiles.NAME]")
    return {name: _profile(name, table, folder) for name, table in tables.items()}


def _profile(name: str, table: object, folder: Path) -> Profile:
    if not isinstance(table, dict):
        raise ValueError(f"profiles.{name}: must be a table; write [profiles.{name}]")
    texts: dict[str, str] = {}
    for key, value in table.items():
        field = f"profiles.{name}.{key}"
        if key not in _KNOWN:
            raise ValueError(f"{field}: is not known; the settings are {', '.join(_KNOWN)}")
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{field}: must be a string that is not empty")
        texts[key] = value.strip()
        if key in _ADDRESSES:
            parse_address(value, field, _ADDRESSES[key])
    files = {
        key: Pem(os.path.join(folder, os.path.expanduser(texts[key])), f"profiles.{name}.{key}")  # noqa: PTH118, PTH111
        for key in _FILES
        if key in texts
    }
    chosen = TlsFiles.of(files, texts.get("server_name", ""))
    token = None
    if "token_file" in texts:
        path = os.path.join(folder, os.path.expanduser(texts["token_file"]))  # noqa: PTH118, PTH111
        token = TokenSource(path, named=f"profiles.{name}.token_file")
    return Profile(name, texts.get("registry", ""), texts.get("tron", ""), chosen, token)
