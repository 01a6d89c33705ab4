"""No promise of the baseline got lost: each of its tests has a place now, and that place is there."""

from __future__ import annotations

import subprocess

import pytest

from tools.map_tests import baseline_tests, current_tests, read_map


def test_every_test_of_the_baseline_leads_to_tests_that_exist() -> None:
    now = current_tests()
    places = {old: place for old, place in read_map().items() if not place.startswith("-- ")}
    lost = {old: place for old, place in places.items() if not now.issuperset(place.split(", "))}
    assert lost == {}, "run `python -m tools.map_tests`, and write the others down by hand"


def test_the_map_has_every_test_of_the_baseline() -> None:
    try:
        old = baseline_tests()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the commit of the baseline is not in this clone: {error.stderr}")
    assert list(read_map()) == sorted(set(old), key=old.index)
