"""Errors say what the wire says, with nothing installed but grpcio and protobuf."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grid.registry.v1.error_reason_pb2 import ErrorReason
from tron_client import errors


class Failed(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, *details: object) -> None:
        packed = []
        for detail in details:
            box = AnyMessage()
            box.Pack(detail)  # type: ignore[arg-type]
            packed.append(box)
        self._code = code
        self._trailers = (("grpc-status-details-bin", status_pb2.Status(details=packed).SerializeToString()),)

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "text"

    def trailing_metadata(self) -> Any:
        return self._trailers


def test_every_reason_has_an_exception() -> None:
    reasons = {name for name, number in ErrorReason.items() if number}
    assert reasons == set(errors.BY_REASON)
    assert all(kind.reason == reason for reason, kind in errors.BY_REASON.items())


@pytest.mark.parametrize("reason", sorted(errors.BY_REASON))
def test_each_reason_is_decoded(reason: str) -> None:
    error = errors.from_rpc_error(Failed(grpc.StatusCode.UNKNOWN, error_details_pb2.ErrorInfo(reason=reason)))
    assert type(error) is errors.BY_REASON[reason]
    assert error.reason == reason
    if type(error) is errors.Unauthenticated:  # the server does not say why; the client names what may be missing
        assert "TRON_TOKEN_FILE" in error.message
    else:
        assert error.message == "text"


def test_fields_and_facts_are_decoded() -> None:
    info = error_details_pb2.ErrorInfo(reason="ERROR_REASON_INVALID_REQUEST")
    wrong = error_details_pb2.BadRequest.FieldViolation(field="service.name", description="too long")
    error = errors.from_rpc_error(
        Failed(grpc.StatusCode.INVALID_ARGUMENT, info, error_details_pb2.BadRequest(field_violations=[wrong]))
    )
    assert isinstance(error, errors.InvalidRequest)
    assert error.fields == (errors.FieldError("service.name", "too long"),)
    info = error_details_pb2.ErrorInfo(reason="ERROR_REASON_SUPERSEDED", metadata={"incarnation": "7"})
    error = errors.from_rpc_error(Failed(grpc.StatusCode.ABORTED, info))
    assert isinstance(error, errors.Superseded)
    assert error.incarnation == 7


def test_without_a_reason_the_transport_is_to_blame() -> None:
    assert isinstance(errors.from_rpc_error(Failed(grpc.StatusCode.UNAVAILABLE)), errors.RegistryUnavailable)
    assert type(errors.from_rpc_error(Failed(grpc.StatusCode.PERMISSION_DENIED))) is errors.TronError
    unknown = errors.from_rpc_error(Failed(grpc.StatusCode.ABORTED, error_details_pb2.ErrorInfo(reason="NEW")))
    assert (type(unknown), unknown.reason) == (errors.TronError, "NEW")


def test_the_sdk_needs_no_googleapis() -> None:
    code = "import sys, tron_client; sys.exit(any(name.startswith('google.rpc') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
