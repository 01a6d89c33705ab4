"""The count of the living that the detector keeps is what a visit to every service would find."""

from __future__ import annotations

from grid_model.liveness import Liveness
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tron.builders import POLICY, make_facts
from tron.detector import Detector
from tron.living import unit_of
from tron.policy import Policies

IDS = ("a", "b", "c", "d")

STEPS = st.one_of(
    st.tuples(
        st.just("observe"), st.sampled_from(IDS), st.sampled_from(["", "p", "q"]), st.sampled_from(list(Liveness))
    ),
    st.tuples(st.just("forget"), st.sampled_from(IDS)),
    st.tuples(st.just("advance"), st.floats(0.0, 200.0)),
    st.tuples(st.just("refuse")),
)


@given(st.lists(STEPS, max_size=40))
def test_the_living_are_counted_as_judgement_changes(steps: list[tuple[object, ...]]) -> None:
    detector = Detector(Policies(POLICY, {}))
    now, decided = 100.0, []
    for number, step in enumerate(steps):
        match step:
            case ("observe", str(service_id), str(process), Liveness() as judged):
                known = make_facts(service_id, incarnation=number + 1, process=process, judged=judged, heard_at=now)
                detector.observe(known)
            case ("forget", str(service_id)):
                detector.forget(service_id)
            case ("advance", float(seconds)):
                now += seconds
                decided = detector.advance(now, 0.0)
            case _:
                for transition in decided:
                    detector.refused(transition)
        alive = [unit_of(lease.facts) for lease in detector.leases() if lease.liveness is Liveness.ALIVE]
        assert detector.living.services == len(alive)
        assert detector.living.units == len(set(alive))
        assert all(map(detector.living.has_unit, alive))
