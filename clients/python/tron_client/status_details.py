"""Reads and writes the details of a failed call: google.rpc.Status with ErrorInfo and BadRequest.

The SDK depends on grpcio and protobuf only, so this module defines the three small message types itself. It uses a
descriptor pool of its own, because googleapis-common-protos, if it is installed, defines the same names in the default
pool.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

METADATA_KEY = "grpc-status-details-bin"

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"int32": _Field.TYPE_INT32, "string": _Field.TYPE_STRING, "bytes": _Field.TYPE_BYTES}


@dataclass(frozen=True, slots=True)
class Details:
    """The details of an error beyond its status code; all fields are empty if the error has none."""

    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()
    """For each refused field its name, and a description of what is wrong."""


def decode(payload: bytes) -> Details:
    """Return the details in the value of the metadata `grpc-status-details-bin`; all fields are empty if the value
    cannot be read."""
    try:
        status = _STATUS.FromString(payload)
        reason, domain, metadata = "", "", {}
        fields: list[tuple[str, str]] = []
        for detail in status.details:
            match detail.type_url.rpartition("/")[2]:
                case "google.rpc.ErrorInfo":
                    info = _ERROR_INFO.FromString(detail.value)
                    reason, domain = info.reason, info.domain
                    metadata = {entry.key: entry.value for entry in info.metadata}
                case "google.rpc.BadRequest":
                    request = _BAD_REQUEST.FromString(detail.value)
                    fields += [(violation.field, violation.description) for violation in request.field_violations]
    except DecodeError:
        return Details()
    return Details(reason, domain, metadata, tuple(fields))


def encode(code: int, message: str, reason: str) -> bytes:
    """Return the value of the metadata `grpc-status-details-bin` for an error of the contract, as a registry sends
    it."""
    info = _ERROR_INFO(reason=reason, domain="grid").SerializeToString()
    detail = {"type_url": "type.googleapis.com/google.rpc.ErrorInfo", "value": info}
    payload: bytes = _STATUS(code=code, message=message, details=[detail]).SerializeToString()
    return payload


def _message(name: str, **fields: tuple[int, str]) -> descriptor_pb2.DescriptorProto:
    """Return the description of a message type; a field is (number, type), where a capital type is a repeated message
    of that name."""
    message = descriptor_pb2.DescriptorProto(name=name)
    for field_name, (number, kind) in fields.items():
        described = message.field.add(name=field_name, number=number, label=_Field.LABEL_OPTIONAL)
        if kind[0].isupper():
            described.label, described.type = _Field.LABEL_REPEATED, _Field.TYPE_MESSAGE
            described.type_name = f".grid.details.{kind}"
        else:
            described.type = {"int32": _Field.TYPE_INT32, "string": _Field.TYPE_STRING, "bytes": _Field.TYPE_BYTES}[
                kind
            ]
    return message


def _build() -> tuple[Any, Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tron_client/details.proto", package="grid.details", syntax="proto3")
    file.message_type.extend(
        (
            _message("Detail", type_url=(1, "string"), value=(2, "bytes")),  # a google.protobuf.Any on the wire
            _message("Entry", key=(1, "string"), value=(2, "string")),  # map<string, string> on the wire
            _message("Violation", field=(1, "string"), description=(2, "string")),
            _message("Status", code=(1, "int32"), message=(2, "string"), details=(3, "Detail")),
            _message("ErrorInfo", reason=(1, "string"), domain=(2, "string"), metadata=(3, "Entry")),
            _message("BadRequest", field_violations=(1, "Violation")),
        )
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())

    def message_class(name: str) -> Any:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"grid.details.{name}"))

    return message_class("Status"), message_class("ErrorInfo"), message_class("BadRequest")


_STATUS, _ERROR_INFO, _BAD_REQUEST = _build()
