"""Reads why a call failed, from the status details alone: what any client in any language can see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True)
class Refusal:
    """The code, the text, the reason of the ErrorInfo, and the fields of the BadRequest."""

    code: grpc.StatusCode
    text: str
    reason: str
    fields: tuple[str, ...]


def read_refusal(error: Any) -> Refusal:
    """What a failed call says about its failure."""
    reason, fields = "", []
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            assert info.domain == "grid"
            reason = info.reason.removeprefix("ERROR_REASON_")
        elif detail.Unpack(bad):
            for violation in bad.field_violations:
                assert violation.description, "a field is named, but not what is wrong with it"
                fields.append(violation.field)
    return Refusal(error.code(), error.details() or "", reason, tuple(fields))


def refused(call: Callable[[], Any]) -> Refusal:
    """Make a call that must fail; return why it did."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return read_refusal(caught.value)
