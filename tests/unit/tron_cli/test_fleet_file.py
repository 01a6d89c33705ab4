"""Catalogues: the ones that come along are whole, and each mistake is named by row and field."""

from __future__ import annotations

from pathlib import Path

import pytest
from tron_cli.fleet_file import FleetFile, FleetFileError, built_in, load, parse

from registry_server.server import SERVICE_ID as REGISTRY
from tron.server import SERVICE_ID as MONITOR


def of(*rows: str) -> str:
    """A catalogue of rows that are right but for what is given."""
    return "\n".join(f"[[service]]\n{row}" for row in rows)


def row(service_id: str, **fields: str) -> str:
    """One row; values as TOML has them."""
    given = {"service_id": f'"{service_id}"', "name": f'"{service_id}"'} | fields
    return "\n".join(f"{field} = {value}" for field, value in given.items())


@pytest.mark.parametrize("name", ["core", "pas"])
def test_the_catalogues_that_come_along_are_whole(name: str) -> None:
    assert name in built_in()
    catalogue = load(name)
    assert catalogue.title
    ports = [row.port for row in catalogue.rows]
    assert len(set(ports)) == len(ports)
    assert all(row.url == f"http://localhost:{row.port}" and row.labels["port"] == row.port for row in catalogue.rows)
    assert all(row.caps and "tier" in row.labels for row in catalogue.rows)


def test_core_is_what_the_legacy_tool_registered() -> None:
    catalogue = load("core")
    keys = {row.key: row.port for row in catalogue.rows}
    assert keys == {
        "tron": 6109,
        "resource_manager": 6104,
        "token_governor": 6105,
        "event_stream": 6102,
        "router": 6103,
        "aider": 6130,
    }
    assert {(row.type, row.role, row.heartbeat_interval, row.ttl) for row in catalogue.rows} == {
        ("agent", "production", 30.0, 90.0)
    }
    assert {row.labels["category"] for row in catalogue.rows if row.key != "aider"} == {"infrastructure"}
    aider = catalogue.find("aider")
    assert aider is not None
    assert (aider.labels["category"], aider.labels["tier"]) == ("executor", "core")


def test_pas_is_the_hierarchy_from_the_gateway_down_to_the_programmers() -> None:
    catalogue = load("pas")
    assert len(catalogue.rows) == 33
    path, step = [], catalogue.find("Prog-001")
    while step is not None:
        path.append(step.service_id)
        step = catalogue.parent_of(step)
    assert path == ["Prog-001", "Mgr-Code-01", "Dir-Code", "Architect", "PAS Root", "Gateway"]
    roles = [row.labels["agent_role"] for row in catalogue.rows]
    assert [roles.count(role) for role in ("director", "manager", "programmer")] == [5, 7, 10]
    code = catalogue.find("Director-Code")
    assert code is not None
    assert {child.service_id for child in catalogue.children_of(code)} == {"Mgr-Code-01", "Mgr-Code-02", "Mgr-Code-03"}


def test_what_is_a_program_of_the_system_has_the_id_that_the_program_has() -> None:
    # Those of the gateway are in tests/e2e/test_demo.py: what no demo starts is alive there all the same.
    gateways = {"service-event-stream", "service-hmi"}
    assert {row.service_id for row in load("pas").rows if row.system} == {REGISTRY, MONITOR, *gateways}
    tron = load("core").find("tron")
    assert tron is not None
    assert tron.service_id == MONITOR


def test_both_catalogues_call_the_same_service_by_the_same_id() -> None:
    core = {row.port: (row.service_id, row.name) for row in load("core").rows}
    pas = {row.port: (row.service_id, row.name) for row in load("pas").rows}
    assert core == {port: pas[port] for port in core}


def test_defaults_hold_for_what_a_row_leaves_out_and_labels_are_merged() -> None:
    text = '[defaults]\nheartbeat_interval = 5\nlabels = { tier = "core", zone = "x" }\n' + of(
        row("a", port="7001", labels="{ zone = 'y' }"), row("b", heartbeat_interval="0.5", url="'grpc://b'")
    )
    a, b = parse(text, "mine").rows
    assert (a.heartbeat_interval, a.labels, a.url) == (
        5.0,
        {"tier": "core", "zone": "y", "port": 7001},
        "http://localhost:7001",
    )
    assert (b.heartbeat_interval, b.url) == (0.5, "grpc://b")


def test_a_row_is_found_by_id_by_key_and_by_a_name_that_only_it_has() -> None:
    catalogue = parse(of(row("a", key="'k'", name="'same'"), row("b", name="'same'"), row("c", name="'own'")), "mine")

    def found(word: str) -> str | None:
        row = catalogue.find(word)
        return None if row is None else row.service_id

    assert [found(word) for word in ("a", "k", "own", "same", "")] == ["a", "a", "c", None, None]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[service", "is not valid TOML"),
        ("", r"the file has no \[\[service\]\] table"),
        ("[servce]", r"servce: is unknown; a catalogue has title"),
        ("service = 1", "must be an array of tables"),
        ("defaults = 1", "must be a table, and so must the labels in it"),
        ("title = 1\n" + of(row("a")), "title: must be a string"),
        (of("name = 'a'"), "service 1: service_id: Field required"),
        (of(row("a"), row("b", prot="1")), r"service 2 \(b\): prot: Extra inputs are not permitted"),
        (of(row("a", port="'6109'")), r"service 1 \(a\): port: Input should be a valid integer"),
        (of(row("a", port="70000")), r"service 1 \(a\): port: .*65535"),
        (of(row("a", type="'robot'")), r"service 1 \(a\): type: .*'agent', 'model' or 'tool'"),
        (of(row("a", caps="'dig'")), r"service 1 \(a\): caps"),
        (of(row("a", caps="[1]")), r"service 1 \(a\): caps.0: Input should be a valid string"),
        (of(row("a", labels="[1]")), r"service 1 \(a\): labels: Input should be a valid dictionary"),
        (of(row("a", heartbeat_interval="0")), r"service 1 \(a\): heartbeat_interval"),
        (of(row("a", heartbeat_interval="nan")), r"service 1 \(a\): heartbeat_interval"),
        (of(row("a", ttl="3")), r"service 1 \(a\): ttl: the ttl of 3 s is below the heartbeat_interval of 30 s"),
        (of(row("a"), row("a")), r"service 2 \(a\): service_id: 'a' is already used by service number 1 of the file"),
        (
            of(row("a", key="'k'"), row("b", key="'k'")),
            r"service 2 \(b\): key: 'k' is already used by service number 1 of the file",
        ),
        (of(row("a", parent="'nobody'")), r"service 1 \(a\): parent: 'nobody' is not a service of this catalogue"),
        (of(row("a", parent="'a'")), r"service 1 \(a\): parent: would create a cycle of parents: a -> a"),
        (
            of(row("x", parent="'a'"), row("a", parent="'b'"), row("b", parent="'a'")),
            r"service 1 \(x\): parent: would create a cycle of parents: a -> b -> a",
        ),
    ],
)
def test_a_mistake_is_named_by_row_and_field(text: str, problem: str) -> None:
    with pytest.raises(FleetFileError, match=problem) as caught:
        parse(text, "mine")
    assert str(caught.value).startswith("mine: ")


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(FleetFileError) as caught:
        parse(of(row("a", port="0"), row("b", role="'boss'")), "mine")
    assert len(caught.value.problems) == 2


def test_a_catalogue_of_ones_own_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(of(row("a")))
    catalogue = load(str(path))
    assert isinstance(catalogue, FleetFile)
    assert (catalogue.source, len(catalogue.rows)) == (str(path), 1)


def test_what_is_neither_a_file_nor_a_name_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        FleetFileError, match=r"no built-in catalogue with this name \(built-in catalogues: core, pas\)"
    ):
        load("psa")
    with pytest.raises(FleetFileError, match="cannot be read"):
        load(str(tmp_path))
