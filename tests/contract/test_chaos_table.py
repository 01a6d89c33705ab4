"""The table of docs/failure-model.md has a row for each scenario of tests/chaos, and no other."""

from __future__ import annotations

import pytest

from tools.make_chaos_table import DOCUMENT, known_rows, parse, scenarios, table


def test_every_scenario_has_its_row_and_every_row_its_scenario() -> None:
    document = DOCUMENT.read_text()
    assert table({}, known_rows(document)) in document, "run `python -m tools.make_chaos_table`"


def test_every_scenario_has_a_name_of_its_own() -> None:
    found = scenarios()
    assert len({each.name for each in found}) == len({each.fault for each in found}) == len(found) > 0


def test_a_result_replaces_the_row_that_is_there_and_no_other() -> None:
    first, second, *_ = [each for each in scenarios() if each.short]
    result = {"name": first.name, "figure": 0.5, "unit": "s until it is over", "holds": False}
    written = table({first.name: result}, {second.fault: "7 s | yes"})
    assert f"| {first.fault} | {first.promise} | 0.50 s until it is over | **no** |" in written
    assert f"| {second.fault} | {second.promise} | 7 s | yes |" in written
    assert known_rows(written)[second.fault] == "7 s | yes"


@pytest.mark.parametrize("docstring", [None, "", "Kill -9 of the registry.", "P8: kill -9 of the registry."])
def test_a_scenario_that_names_no_promise_is_refused(docstring: str | None) -> None:
    with pytest.raises(ValueError, match="begins with its promises"):
        parse(docstring)
