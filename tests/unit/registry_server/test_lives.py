"""What must differ between two lives of one registry."""

from __future__ import annotations

from grid_model.declaration import Declaration

from registry_server.core.effects import PutService, ReserveRevisions
from registry_server.core.outgoing import REVISION_BLOCK
from registry_server.core.registry import Registry
from registry_server.core.service import Instant, StoredService
from tests.support.end_stream import end_stream


def test_no_observation_of_one_life_comes_again_in_the_next() -> None:
    """An alert_id follows from the observation: the same one twice would be taken for a repetition and dropped."""
    seen: set[int] = set()
    ceiling = 0
    stored: list[StoredService] = []
    for life in range(4):
        registry = Registry(revision=ceiling, incarnation=life)
        registry.restore(stored, [], [], [], Instant(1000.0 + life, 0.0))
        registry.open_session(1)
        registry.register(Declaration("a", "a"), 0, "", 1, Instant(1000.5 + life, 0.5))
        end_stream(registry, 1, Instant(1000.6 + life, 0.6))
        observation = registry.records["a"].observation
        assert observation not in seen
        assert 0 < observation < 2**63
        seen.add(observation)
        writes = registry.take().writes
        ceiling = next(write.ceiling for write in writes if isinstance(write, ReserveRevisions))
        stored = [next(write.service for write in writes if isinstance(write, PutService))]
    assert ceiling >= 4 * REVISION_BLOCK
