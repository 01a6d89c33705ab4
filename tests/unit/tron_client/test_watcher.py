"""How followed streams go on after they broke."""

from __future__ import annotations

import pytest
from grid.events.v1 import event_pb2, event_service_pb2
from grid.registry.v1 import registry_service_pb2, service_pb2
from tron_client.errors import (
    CredentialExpired,
    InvalidRequest,
    RegistryUnavailable,
    RevisionCompacted,
    Unauthenticated,
)
from tron_client.watcher import LATE_RENEWALS, EventResume, ServiceResume

Answer = registry_service_pb2.WatchServicesResponse


def upserted(revision: int) -> registry_service_pb2.WatchServicesResponse:
    return Answer(revision=revision, upserted=service_pb2.Service(service_id="a"))


def complete(revision: int) -> registry_service_pb2.WatchServicesResponse:
    return Answer(revision=revision, snapshot_complete=registry_service_pb2.SnapshotComplete())


def test_after_the_snapshot_it_resumes_from_the_last_revision() -> None:
    resume = ServiceResume(draw=lambda: 1.0)
    assert resume.request().start_revision == 0
    kinds = [resume.accept(answer).kind for answer in (upserted(3), complete(5), upserted(6))]
    assert kinds == ["upserted", "snapshot_complete", "upserted"]
    delay, said = resume.ended(RegistryUnavailable())
    assert delay == pytest.approx(0.1)
    assert said is None
    assert resume.request().start_revision == 6


def test_a_snapshot_that_broke_off_starts_over() -> None:
    resume = ServiceResume()
    resume.accept(upserted(3))
    said = resume.ended(None)[1]
    assert said is not None
    assert said.kind == "reset"
    assert resume.request().start_revision == 0
    assert resume.ended(None)[1] is None  # nothing was said since: nothing to forget


def test_compacted_revisions_are_said_and_read_anew() -> None:
    resume = ServiceResume(7)
    assert resume.request().start_revision == 7
    delay, said = resume.ended(RevisionCompacted())
    assert said is not None
    assert (delay, said.kind) == (0.0, "reset")
    assert resume.request().start_revision == 0


def test_what_can_not_be_mended_is_raised() -> None:
    with pytest.raises(InvalidRequest):
        ServiceResume().ended(InvalidRequest())
    with pytest.raises(RegistryUnavailable):
        ServiceResume(reconnect=False).ended(RegistryUnavailable())
    with pytest.raises(RevisionCompacted):
        EventResume(4).ended(RevisionCompacted())


def test_after_the_end_of_a_credential_its_renewal_may_be_late_and_without_one_the_error_is_raised() -> None:
    with pytest.raises(Unauthenticated):
        EventResume().ended(Unauthenticated())
    resume = EventResume(draw=lambda: 1.0)
    resume.ended(CredentialExpired())
    delays = [resume.ended(Unauthenticated())[0] for _ in range(LATE_RENEWALS - 1)]
    assert max(delays) == 2.0
    with pytest.raises(Unauthenticated):
        resume.ended(Unauthenticated())
    resume.ended(CredentialExpired())
    resume.accept(event_service_pb2.SubscribeEventsResponse(event=event_pb2.Event(sequence=9)))
    with pytest.raises(Unauthenticated):
        resume.ended(Unauthenticated())


def test_events_resume_after_the_last_sequence() -> None:
    resume = EventResume(only_new=True, types=["service_down"])
    assert resume.request().only_new
    resume.accept(event_service_pb2.SubscribeEventsResponse(event=event_pb2.Event(sequence=9)))
    resume.ended(RegistryUnavailable())
    assert (resume.request().after_sequence, resume.request().only_new) == (9, False)
    assert list(resume.request().types) == ["service_down"]
