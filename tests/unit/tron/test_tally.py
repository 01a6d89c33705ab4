"""The counts by state are those of a visit to each service, whatever happens."""

from __future__ import annotations

from dataclasses import replace

from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tron.builders import make_detector, make_facts

STATES = [
    (Liveness.ALIVE, LivenessCause.NONE),
    (Liveness.SUSPECT, LivenessCause.STALLED),
    (Liveness.SUSPECT, LivenessCause.SILENT),
    (Liveness.DOWN, LivenessCause.SILENT),
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["observe", "forget", "beat", "pass"]),
            st.integers(1, 4),
            st.sampled_from(STATES),
            st.booleans(),
        ),
        max_size=40,
    )
)
def test_counts_follow_every_change(
    steps: list[tuple[str, int, tuple[Liveness, LivenessCause], bool]],
) -> None:
    detector, now, observation = make_detector(), 1.0, 10
    for what, number, (liveness, cause), maintained in steps:
        service_id = f"s{number}"
        observation += 1
        match what:
            case "observe":
                facts = make_facts(
                    service_id, incarnation=number, observation=observation, heard_at=now, judged=liveness, cause=cause
                )
                held = Maintenance(service_id, 0.0) if maintained else None
                detector.observe(replace(facts, maintenance=held, stall_after=1.0))
            case "forget":
                detector.forget(service_id)
            case "beat":
                detector.record_beat(number, observation, now)
            case "pass":
                now += 0.9
                for transition in detector.advance(now, 0.0):
                    if maintained:
                        detector.refused(transition)
        leases = detector.leases()
        assert detector.counts() == {
            each: sum(1 for lease in leases if lease.liveness is each) for each in detector.counts()
        }
        assert detector.tally.stalled == sum(1 for lease in leases if lease.cause is LivenessCause.STALLED)
        assert detector.tally.maintained == sum(1 for lease in leases if lease.facts.maintained)
