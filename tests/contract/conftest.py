"""The system behind its HTTP face, once for all contract tests. They use ids of their own and break nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.face import Face, check_no_traceback, start_face


@pytest.fixture(scope="package")
def face(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """A running system, as long as there are tests of this package."""
    with start_face(tmp_path_factory.mktemp("face")) as running:
        yield running
        check_no_traceback(running)
