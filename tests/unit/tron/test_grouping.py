"""Which failures the alert of an ancestor lists."""

from __future__ import annotations

from tests.unit.tron.builders import make_facts
from tron.grouping import Groups


def groups() -> Groups:
    """The alert "x" of pa lists kid and grandkid."""
    found = Groups()
    found.put("pa", "x", ("kid", "grandkid"))
    return found


def test_a_listed_service_knows_the_alert_that_lists_it_until_it_is_back() -> None:
    found = groups()
    assert found.alert_listing(make_facts("kid")) == "x"
    assert found.alert_listing(make_facts("pa")) == ""
    found.unlist(("kid",))
    assert found.alert_listing(make_facts("kid")) == ""
    assert found.alert_listing(make_facts("grandkid")) == "x"


def test_the_registrys_word_on_it_counts_first() -> None:
    assert groups().alert_listing(make_facts("kid", grouped_into="y")) == "y"


def test_a_subtree_is_what_the_alert_lists_or_what_its_delivery_says() -> None:
    found = groups()
    assert found.subtree_of("pa", ("other",)) == ("kid", "grandkid")
    found.forget("pa")
    assert found.subtree_of("pa", ("other",)) == ("other",)


def test_an_alert_covers_a_death_only_if_it_lists_the_whole_subtree() -> None:
    found = groups()
    assert found.lists_all("x", ["pa"], ("grandkid",))
    assert not found.lists_all("x", ["pa"], ("grandkid", "stranger"))
    assert not found.lists_all("", ["pa"], ("grandkid",))


def test_an_alert_whose_list_is_not_known_covers_a_single_service_only() -> None:
    assert groups().lists_all("y", ["pa", "root"], ())
    assert not groups().lists_all("y", ["pa", "root"], ("grandkid",))
