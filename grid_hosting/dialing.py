"""The type of settings that contain the address of another server. If such an address is invalid, the program does not
start, and one line names the setting."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ValidationInfo
from tron_client.address import DEFAULT_MONITOR, DEFAULT_REGISTRY, parse_address


def _checked(text: str, info: ValidationInfo) -> str:
    field = info.field_name or "address"
    try:
        return parse_address(text, field, DEFAULT_MONITOR if field == "tron" else DEFAULT_REGISTRY).text
    except ValueError as error:
        # The caller that reports it puts the setting's name in front.
        raise ValueError(str(error).removeprefix(f"{field}: ")) from None


Dial = Annotated[str, AfterValidator(_checked)]
"""A setting that is the address of a server: `host:port`, or a gRPC target such as `unix:/path`."""
