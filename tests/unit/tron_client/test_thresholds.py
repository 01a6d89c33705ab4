"""A threshold is read as a person writes it, and refused by its name, with the range and the unit."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from grid.tron.v1 import policy_pb2
from tron_client.thresholds import FOR_EVERYONE, THRESHOLDS, checked


def test_every_threshold_of_the_table_is_one_of_the_contract() -> None:
    known = {each.name for each in policy_pb2.Policy.DESCRIPTOR.fields}
    assert set(THRESHOLDS) <= known
    assert set(THRESHOLDS) >= FOR_EVERYONE


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("reconnect_grace", "5", 5.0),
        ("reconnect_grace", "2.3", 2.3),
        ("reconnect_grace", "500ms", 0.5),
        ("reconnect_grace", "2 min", 120.0),
        ("busy_cap", "1h", 3600.0),
        ("busy_cap", 86_400, 86_400.0),
        ("flap_count", "7", 7),
        ("flap_count", 7.0, 7),
        ("guard_ratio", "1", 1.0),
        ("orphan_policy", "ADOPT", "adopt"),
        ("confirm_by_probe", "on", True),
        ("confirm_by_probe", False, False),
        ("a threshold of a newer TRON", "x", "x"),
    ],
)
def test_a_value_is_read_as_a_person_writes_it(name: str, given: Any, read: Any) -> None:
    found = checked(name, given)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("reconnect_grace", "", "nothing is given; the value must be a number of seconds from 0 to 86400"),
        ("reconnect_grace", None, "nothing is given; the value must be a number of seconds from 0 to 86400"),
        ("reconnect_grace", "soon", "'soon' is given; the value must be a number of seconds from 0 to 86400"),
        ("reconnect_grace", "5 parsecs", "'5 parsecs' is given; the value must be a number of seconds from 0 to 86400"),
        ("reconnect_grace", True, "True is given; the value must be a number of seconds from 0 to 86400"),
        ("reconnect_grace", [5], r"[5] is given; the value must be a number of seconds from 0 to 86400"),
        ("reconnect_grace", -1, "-1 s is out of range; the value must be a number of seconds from 0 to 86400"),
        ("reconnect_grace", math.nan, "nan s is out of range; the value must be a number of seconds from 0 to 86400"),
        ("reconnect_grace", "2 days", "'2 days' is given; the value must be a number of seconds from 0 to 86400"),
        ("reconnect_grace", "48h", "172800 s is out of range; the value must be a number of seconds from 0 to 86400"),
        ("flap_count", "2.5", "'2.5' is given; the value must be a whole number from 2 to 10000"),
        ("flap_count", 1, "1 is out of range; the value must be a whole number from 2 to 10000"),
        ("flap_count", math.inf, "inf is given; the value must be a whole number from 2 to 10000"),
        ("guard_ratio", 0, "0 is out of range; the value must be a number above 0 and at most 1"),
        ("orphan_policy", "eat", "'eat' is given; the value must be one of keep, stop, adopt"),
        ("confirm_by_probe", "maybe", "'maybe' is given; the value must be true or false"),
        ("confirm_by_probe", 1, "1 is given; the value must be true or false"),
    ],
)
def test_what_is_wrong_is_said_with_the_range_and_the_unit(name: str, given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        checked(name, given)
    assert str(refused.value) == said
