"""An agent in a language of its own: it knows the architecture page and what reflection tells, no stubs and no SDK."""

from __future__ import annotations

import queue
import threading
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.support.waiting import wait_until

SERVICE = "grid.registry.v1.RegistryService"
_BEAT_EVERY = 0.2


class ForeignAgent:
    """Registers, beats, and hears, all of it as JSON. Nothing is acknowledged unless the test says so."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self._methods = self.pool.FindServiceByName(SERVICE).methods_by_name
        self.heard: list[dict[str, Any]] = []
        self._up: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        method = self._methods["Heartbeat"]
        request, response = (message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type))
        call: Any = self.channel.stream_stream(
            f"/{SERVICE}/Heartbeat",
            request_serializer=lambda value: ParseDict(value, request()).SerializeToString(),
            response_deserializer=lambda data: MessageToDict(
                response.FromString(data), preserving_proto_field_name=True, descriptor_pool=self.pool
            ),
        )
        self._call = call(iter(self._up.get, None))
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._listen, self._beat_for_ever)]
        self._service_id = ""
        for thread in self._threads:
            thread.start()

    def call(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """A unary call, JSON in and out."""
        method = self._methods[name]
        kinds = [message_factory.GetMessageClass(each) for each in (method.input_type, method.output_type)]
        invoke: Any = self.channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=lambda value: value.SerializeToString(),
            response_deserializer=kinds[1].FromString,
        )
        answer = invoke(ParseDict(request, kinds[0]()), timeout=10)
        document: dict[str, Any] = MessageToDict(
            answer, preserving_proto_field_name=True, descriptor_pool=self.pool
        )  # fmt: skip
        return document

    def register(self, service_id: str, **declared: Any) -> dict[str, Any]:
        """Register on the stream and beat from then on; return the record."""
        service = {"service_id": service_id, "name": service_id, "heartbeat_interval": "2s", **declared}
        self._up.put({"register": {"service": service}})
        wait_until(lambda: self.every("registered"), 10, "registered")
        self._service_id = service_id
        record: dict[str, Any] = self.every("registered")[-1]["service"]
        return record

    def acknowledge(self, alert_ids: list[str]) -> None:
        """Say that alerts were heard."""
        self._up.put({"ack": {"alert_ids": alert_ids}})

    def every(self, kind: str) -> list[dict[str, Any]]:
        """All messages of one kind so far."""
        return [each[kind] for each in list(self.heard) if kind in each]

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts so far, as events."""
        return [each["event"] for each in self.every("alert")]

    def wait_alerts(self, *types: str) -> list[dict[str, Any]]:
        """Wait until an alert of each type came; return all so far."""
        wait_until(lambda: set(types) <= {each["type"] for each in self.alerts()}, 10, f"alerts {types}")
        return self.alerts()

    def cut(self) -> None:
        """Break the stream and its connection, as a crash would."""
        self._stop.set()
        self._call.cancel()
        self._up.put(None)
        for thread in self._threads:
            thread.join(10)
        self.channel.close()

    def __enter__(self) -> ForeignAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def _listen(self) -> None:
        try:
            for message in self._call:
                self.heard.append(message)
        except grpc.RpcError:
            pass  # cut: what was heard until then is what counts

    def _beat_for_ever(self) -> None:
        while not self._stop.wait(_BEAT_EVERY):
            if self._service_id:
                self._up.put({"beats": {"beats": [{"service_id": self._service_id}], "ack_requested": True}})
