"""Parents by id and by name, and ancestors beyond services that are gone."""

from __future__ import annotations

import pytest
from grid_model.observation import Forebear

from registry_server.core import validation
from tron import lineage as lineage_module
from tron.lineage import Lineage


def family(*services: tuple[str, str, str]) -> Lineage:
    """Services as (id, name, parent)."""
    lineage = Lineage()
    for service_id, name, parent in services:
        lineage.put(Forebear(service_id, name, parent))
    return lineage


THREE = (("root", "Root", ""), ("pa", "Director", "Root"), ("kid", "Coder", "pa"))


def test_a_word_means_an_id_or_a_name_that_is_unique() -> None:
    lineage = family(*THREE, ("twin1", "Twin", ""), ("twin2", "Twin", ""))
    assert [lineage.resolve(word) for word in ("pa", "Director", "Twin", "nobody")] == ["pa", "pa", None, None]


def test_an_id_comes_before_a_name() -> None:
    lineage = family(("x", "one", ""), ("two", "x", ""))
    assert lineage.resolve("x") == "x"


def test_a_name_is_free_again_when_its_holder_takes_another() -> None:
    lineage = family(*THREE)
    lineage.put(Forebear("pa", "Manager", "Root"))
    assert (lineage.resolve("Director"), lineage.resolve("Manager")) == (None, "pa")


def test_ancestors_are_the_words_above_nearest_first() -> None:
    assert list(family(*THREE).ancestors("kid")) == ["pa", "Root"]
    assert list(family(*THREE).ancestors("root")) == []
    assert list(family(*THREE).ancestors("nobody")) == []


@pytest.mark.parametrize("word", ["pa", "Director"])
def test_the_way_up_leads_beyond_who_is_gone_by_id_and_by_name(word: str) -> None:
    lineage = family(*THREE)
    lineage.remove("pa")
    assert lineage.resolve(word) is None
    assert list(lineage.ancestors(word)) == ["Root"]


def test_a_name_that_somebody_else_has_now_means_that_one() -> None:
    lineage = family(*THREE)
    lineage.remove("pa")
    lineage.put(Forebear("pa2", "Director", "elsewhere"))
    assert list(lineage.ancestors("Director")) == ["elsewhere"]
    assert list(lineage.ancestors("pa")) == ["Root"]


def test_who_is_back_is_not_gone() -> None:
    lineage = family(*THREE)
    lineage.remove("pa")
    lineage.put(Forebear("pa", "Manager", ""))
    assert list(lineage.ancestors("pa")) == []
    assert list(lineage.ancestors("Director")) == []


def test_what_is_remembered_of_the_gone_never_replaces_who_lives() -> None:
    lineage = family(*THREE)
    lineage.remember(Forebear("pa", "Director", "wrong"))
    assert list(lineage.ancestors("kid")) == ["pa", "Root"]


def test_children_are_found_by_the_id_and_by_a_unique_name_of_their_parent() -> None:
    lineage = family(*THREE, ("kid2", "Tester", "Director"), ("kid3", "Writer", "nobody"))
    assert sorted(lineage.children("pa")) == ["kid", "kid2"]
    lineage.put(Forebear("pa2", "Director", ""))
    assert lineage.children("pa") == ["kid"]


def test_descendants_are_all_below_those_next_to_it_first() -> None:
    lineage = family(*THREE, ("kid2", "Tester", "pa"), ("grandkid", "Bot", "kid"))
    assert lineage.descendants("root") == ["pa", "kid", "kid2", "grandkid"]
    assert lineage.descendants("grandkid") == []


def test_a_cycle_of_parents_ends() -> None:
    lineage = family(("a", "A", "b"), ("b", "B", "a"))
    assert list(lineage.ancestors("a")) == ["b"]
    assert lineage.descendants("a") == ["b"]


def test_who_moves_to_another_parent_is_no_child_of_the_one_before() -> None:
    lineage = family(*THREE)
    lineage.put(Forebear("kid", "Coder", "root"))
    assert lineage.children("pa") == []
    assert sorted(lineage.children("root")) == ["kid", "pa"]


def test_the_oldest_of_the_gone_is_forgotten_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_module, "MAX_FOREBEARS", 2)
    lineage = Lineage()
    for n in range(4):
        lineage.put(Forebear(f"s{n}", f"name {n}", "root"))
        lineage.remove(f"s{n}")
    assert [list(lineage.ancestors(f"s{n}")) for n in range(4)] == [[], [], ["root"], ["root"]]
    assert [list(lineage.ancestors(f"name {n}")) for n in range(4)] == [[], [], ["root"], ["root"]]


def test_nobody_is_meant_by_the_word_for_operators() -> None:
    assert family(("thief", "operators", "")).resolve("operators") is None


def test_a_walk_up_a_long_chain_of_parents_is_bounded() -> None:
    lineage = family(*((f"n{number}", f"n{number}", f"n{number + 1}") for number in range(1000)))
    found = list(lineage.ancestors("n0"))
    assert found == [f"n{number}" for number in range(1, lineage_module.MAX_ANCESTORS + 1)]


def test_the_registry_accepts_as_many_ancestors_as_are_found() -> None:
    assert lineage_module.MAX_ANCESTORS == validation.MAX_ANCESTORS
