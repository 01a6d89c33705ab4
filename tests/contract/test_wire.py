"""The wire contract: stubs are what the proto files say, and every reason for an error is known on both sides."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from grid.access.v1 import access_pb2
from grid.events.v1 import event_pb2
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import error_reason_pb2, observation_pb2, service_pb2
from grid.tron.v1 import policy_pb2
from grid_model.access import Role
from grid_model.event import Severity
from grid_model.liveness import Liveness, LivenessCause
from grid_model.policy import OrphanPolicy, PolicySource
from grid_model.service import ServiceRole, ServiceStatus, ServiceType
from grid_model.verdict import VerdictKind, VerdictOutcome

from tests.support.binaries import find_binary

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]

REASONS = frozenset(error_reason_pb2.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the generated files of a folder by their relative path."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_the_committed_stubs_are_what_the_proto_files_say(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "make_stubs.py", tmp_path], check=True)
    fresh, committed = files_below(tmp_path / "grid"), files_below(ROOT / "clients" / "python" / "grid")
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    assert not stale, "run `make stubs`"


@pytest.mark.needs("buf")
@pytest.mark.parametrize("arguments", [("lint",), ("format", "-d", "--exit-code")], ids=["lint", "format"])
def test_buf_has_nothing_to_say(arguments: Sequence[str]) -> None:
    buf = find_binary("buf")
    assert buf is not None
    done = subprocess.run([buf, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("ours", "contract", "prefix"),
    [
        (Role, access_pb2.Role, "ROLE_"),
        (Liveness, liveness_pb2.Liveness, "LIVENESS_"),
        (LivenessCause, liveness_pb2.LivenessCause, "LIVENESS_CAUSE_"),
        (Severity, event_pb2.Severity, "SEVERITY_"),
        (ServiceType, service_pb2.ServiceType, "SERVICE_TYPE_"),
        (ServiceRole, service_pb2.ServiceRole, "SERVICE_ROLE_"),
        (ServiceStatus, service_pb2.ServiceStatus, "SERVICE_STATUS_"),
        (VerdictKind, observation_pb2.VerdictKind, "VERDICT_KIND_"),
        (VerdictOutcome, observation_pb2.VerdictOutcome, "VERDICT_OUTCOME_"),
        (OrphanPolicy, policy_pb2.OrphanPolicy, "ORPHAN_POLICY_"),
        (PolicySource, policy_pb2.PolicySource, "POLICY_SOURCE_"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_an_enum_of_the_vocabulary_has_the_names_and_numbers_of_the_contract(
    ours: type[IntEnum], contract: Any, prefix: str
) -> None:
    promised = {name.removeprefix(prefix): number for name, number in contract.items() if number}
    assert {each.name: each.value for each in ours if each.value} == promised


def sdk_errors() -> Any:
    """Return the SDK's error module."""
    return importlib.import_module("tron_client.errors")


def test_every_error_reason_has_a_class_in_the_sdk_and_no_class_is_left_over() -> None:
    assert set(sdk_errors().BY_REASON) == REASONS


def test_the_classes_of_the_sdk_are_distinct_and_of_one_family() -> None:
    errors = sdk_errors()
    classes = list(errors.BY_REASON.values())
    assert len(set(classes)) == len(classes)
    assert all(issubclass(each, errors.TronError) for each in classes)


def test_every_error_reason_has_a_status_code_in_the_servers() -> None:
    grpc = importlib.import_module("grpc")
    table = importlib.import_module("grid_hosting.status").REASON_CODES
    assert set(table) == REASONS
    assert all(isinstance(code, grpc.StatusCode) for code in table.values())


def test_the_status_code_is_the_one_that_the_proto_file_promises() -> None:
    source = (ROOT / "proto" / "grid" / "registry" / "v1" / "error_reason.proto").read_text()
    promised: dict[str, str] = {}
    comment: list[str] = []
    for line in (line.strip() for line in source.splitlines()):
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        if line.startswith("ERROR_REASON_") and comment:
            # Comments read "NOT_FOUND: never registered ..." or "INVALID_ARGUMENT, with ...".
            promised[line.split()[0]] = comment[0].split()[0].rstrip(":,")
        comment = []
    table = importlib.import_module("grid_hosting.status").REASON_CODES
    assert {reason: code.name for reason, code in table.items()} == promised
