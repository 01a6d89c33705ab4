"""Between the registry's values and TRON's: either value by value, or by the messages of the real wire."""

from __future__ import annotations

from abc import ABC, abstractmethod

from grid.registry.v1 import observation_pb2
from grid_model.wire import duration

from registry_server.core.record import Record
from registry_server.core.service import Maintenance
from registry_server.core.verdicts import Notice as RegistryNotice
from registry_server.core.verdicts import StandingSuspicion as RegistryStanding
from registry_server.core.verdicts import Verdict
from registry_server.io import translate as registry_wire
from tests.simulation import words
from tests.support.between_cores import delivery_of, facts_of, forebear_of, notice_of, suspicion_of, verdict_of
from tron import translate as tron_wire
from tron.facts import Frame
from tron.orders import AlertCopy, Ruling
from tron.preauthorized import StandingSuspicion


class Translator(ABC):
    """How what one side says becomes what the other reads."""

    @abstractmethod
    def facts(self, record: Record, maintenance: Maintenance | None) -> object:
        """What a frame says about a service; taken at once, for the record changes."""

    @abstractmethod
    def frame(self, frame: words.Frame) -> Frame:
        """What TRON reads."""

    @abstractmethod
    def verdict(self, ruling: Ruling) -> Verdict:
        """What the registry reads of a ruling."""

    @abstractmethod
    def notice(self, copy: AlertCopy) -> RegistryNotice:
        """What it reads of an alert without a verdict."""

    @abstractmethod
    def standing(self, suspicion: StandingSuspicion) -> RegistryStanding:
        """What it reads of a standing suspicion."""


class Plain(Translator):
    """Value by value, without the wire: fast."""

    def facts(self, record: Record, maintenance: Maintenance | None) -> object:
        return facts_of(record, maintenance)

    def frame(self, frame: words.Frame) -> Frame:
        return frame_of(frame)

    def verdict(self, ruling: Ruling) -> Verdict:
        return verdict_of(ruling)

    def notice(self, copy: AlertCopy) -> RegistryNotice:
        return notice_of(copy)

    def standing(self, suspicion: StandingSuspicion) -> RegistryStanding:
        return suspicion_of(suspicion)


class Wire(Translator):
    """By the real messages of the contract and the real translations of both sides, as bytes."""

    def facts(self, record: Record, maintenance: Maintenance | None) -> object:
        return registry_wire.from_record(record, maintenance)

    def frame(self, frame: words.Frame) -> Frame:
        message = observation_pb2.ObserveLivenessResponse(
            now=duration(frame.now),
            hearing_since=duration(frame.hearing_since),
            observations=frame.facts,  # type: ignore[arg-type]
            beat_incarnations=[incarnation for incarnation, _, _ in frame.beats],
            beat_observations=[observation for _, observation, _ in frame.beats],
            beat_ages_ms=[max(0, int((frame.now - at) * 1000)) for _, _, at in frame.beats],
            removed=frame.removed,
            deliveries=[registry_wire.from_copy(copy) for copy in frame.copies],
            forebears=[registry_wire.from_tombstone(tombstone) for tombstone in frame.forebears],
            cascade_alert_id=frame.cascade_alert_id,
            snapshot_complete=frame.snapshot_complete,
        )
        for alert_id, recipient in frame.copies_ended:
            message.deliveries_ended.add(alert_id=alert_id, recipient=recipient)
        return tron_wire.to_frame(observation_pb2.ObserveLivenessResponse.FromString(message.SerializeToString()))

    def verdict(self, ruling: Ruling) -> Verdict:
        sent = tron_wire.from_ruling(ruling).SerializeToString()
        return registry_wire.to_verdict(observation_pb2.Verdict.FromString(sent), 0.0)

    def notice(self, copy: AlertCopy) -> RegistryNotice:
        sent = tron_wire.from_copy(copy).SerializeToString()
        return registry_wire.to_notice(observation_pb2.Notice.FromString(sent), 0.0)

    def standing(self, suspicion: StandingSuspicion) -> RegistryStanding:
        sent = tron_wire.from_suspicion(suspicion).SerializeToString()
        return registry_wire.to_standing(observation_pb2.StandingSuspicion.FromString(sent), 0.0)


def frame_of(frame: words.Frame) -> Frame:
    """What the registry tells, in TRON's values."""
    return Frame(
        now=frame.now,
        hearing_since=frame.hearing_since,
        observations=frame.facts,  # type: ignore[arg-type]
        beats=frame.beats,
        removed=frame.removed,
        deliveries=tuple([delivery_of(copy) for copy in frame.copies]),
        deliveries_ended=frame.copies_ended,
        forebears=tuple([forebear_of(tombstone) for tombstone in frame.forebears]),
        cascade_alert_id=frame.cascade_alert_id,
        snapshot_complete=frame.snapshot_complete,
    )
