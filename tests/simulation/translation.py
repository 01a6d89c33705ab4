"""What carries frames and orders between the registry and TRON: nothing, or the messages of the real wire, as bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from grid.registry.v1 import observation_pb2
from grid_model.observation import Frame, ReportDeadline
from grid_model.observer_codec import (
    decode_copy,
    decode_deadlines,
    decode_frame,
    decode_suspicion,
    decode_verdict,
    encode_copy,
    encode_deadlines,
    encode_frame,
    encode_suspicion,
    encode_verdict,
)
from grid_model.verdict import AlertCopy, StandingSuspicion, Verdict


class Translator(ABC):
    """How what one side says becomes what the other reads."""

    @abstractmethod
    def frame(self, frame: Frame) -> Frame:
        """What TRON reads."""

    @abstractmethod
    def verdict(self, verdict: Verdict) -> Verdict:
        """What the registry reads of a verdict."""

    @abstractmethod
    def copy(self, copy: AlertCopy) -> AlertCopy:
        """What it reads of an alert without a verdict."""

    @abstractmethod
    def suspicion(self, suspicion: StandingSuspicion) -> StandingSuspicion:
        """What it reads of a suspicion in advance."""

    @abstractmethod
    def deadlines(self, deadlines: list[ReportDeadline]) -> list[ReportDeadline]:
        """What it reads of report deadlines."""


class Plain(Translator):
    """The values themselves: fast."""

    def frame(self, frame: Frame) -> Frame:
        return frame

    def verdict(self, verdict: Verdict) -> Verdict:
        return verdict

    def copy(self, copy: AlertCopy) -> AlertCopy:
        return copy

    def suspicion(self, suspicion: StandingSuspicion) -> StandingSuspicion:
        return suspicion

    def deadlines(self, deadlines: list[ReportDeadline]) -> list[ReportDeadline]:
        return deadlines


class Wire(Translator):
    """By the real messages of the contract, as bytes."""

    def frame(self, frame: Frame) -> Frame:
        sent = encode_frame(frame).SerializeToString()
        return decode_frame(observation_pb2.ObserveLivenessResponse.FromString(sent))

    def verdict(self, verdict: Verdict) -> Verdict:
        sent = encode_verdict(verdict).SerializeToString()
        return decode_verdict(observation_pb2.Verdict.FromString(sent), 0.0)

    def copy(self, copy: AlertCopy) -> AlertCopy:
        return decode_copy(observation_pb2.Notice.FromString(encode_copy(copy).SerializeToString()), 0.0)

    def suspicion(self, suspicion: StandingSuspicion) -> StandingSuspicion:
        sent = encode_suspicion(suspicion).SerializeToString()
        return decode_suspicion(observation_pb2.StandingSuspicion.FromString(sent), 0.0)

    def deadlines(self, deadlines: list[ReportDeadline]) -> list[ReportDeadline]:
        sent = encode_deadlines(deadlines).SerializeToString()
        return decode_deadlines(observation_pb2.ReportDeadlines.FromString(sent))
