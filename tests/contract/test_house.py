"""The house rules that a tool can check: layers, packaging, the Makefile, and what must not be committed."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.binaries import find_binary

ROOT = Path(__file__).resolve().parents[2]

WHEEL_PACKAGES = {
    "grid",
    "grid_model",
    "tron_client",
    "tron_cli",
    "tron_catalogue",
    "grid_hosting",
    "registry_server",
    "tron",
    "gateway_http",
}


def committed_files() -> list[Path]:
    """Return the files that are, or are about to be, committed. Skips where this is no git checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no git checkout: {error}")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.needs("lint-imports")
def test_imports_point_one_way() -> None:
    linter = find_binary("lint-imports")
    assert linter is not None
    done = subprocess.run([linter, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_brings_only_its_own_top_level_names(project: dict[str, Any]) -> None:
    packages = project["tool"]["setuptools"]["packages"]
    assert {package.partition(".")[0] for package in packages} == WHEEL_PACKAGES


def test_every_package_of_the_tree_is_in_the_wheel(project: dict[str, Any]) -> None:
    setup = project["tool"]["setuptools"]
    folders = setup["package-dir"]
    missing = []
    for top in sorted(WHEEL_PACKAGES):
        base = ROOT / folders.get(top, top)
        found = {folder.parent for folder in base.rglob("*.py") if "__pycache__" not in folder.parts}
        names = {".".join((top, *folder.relative_to(base).parts)) for folder in found}
        missing += sorted(names - set(setup["packages"]))
    assert not missing


def test_every_package_says_that_it_is_typed(project: dict[str, Any]) -> None:
    setup = project["tool"]["setuptools"]
    for package in setup["packages"]:
        top, _, rest = package.partition(".")
        assert (ROOT / setup["package-dir"].get(top, top) / rest.replace(".", "/") / "py.typed").is_file(), package


def test_the_base_install_is_the_sdk_and_its_transport(project: dict[str, Any]) -> None:
    names = {re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in project["project"]["dependencies"]}
    assert names == {"grpcio", "protobuf"}


def test_every_constraint_is_an_exact_version() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", line)] == []


def test_make_alone_lists_every_documented_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    documented = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", makefile, re.MULTILINE))
    done = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {line.split()[1] for line in done.stdout.splitlines()} == documented
    assert {"up", "setup", "test", "check", "fix", "stubs", "e2e", "bench"} <= documented


def test_every_target_of_the_makefile_is_phony_or_a_file_below_the_environment() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert targets == set(phony[1].split())


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_documents_name_only_targets_that_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^\s*)make ([a-z][a-z0-9-]*)", (ROOT / document).read_text(), re.MULTILINE))
    assert named <= targets


# Written in parts, so that this file does not find itself.
FORBIDDEN = {
    "the address of a package host": re.compile("|".join(("index" + "-url", "find" + "-links", "pypi" + r"\.org"))),
    "a path of somebody's machine": re.compile(
        "|".join((r"/(?:ro" + r"ot|home/\w+)/", "/wor" + "k/", "/opt/" + "wheels"))
    ),
}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_nothing_of_one_machine_is_committed(what: str) -> None:
    found = []
    for path in committed_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # an image
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in FORBIDDEN[what].finditer(text)]
    assert not found


GUIDED = (
    "clients/python/grid_model",
    "clients/python/tron_cli",
    "clients/python/tron_client",
    "clients/python/tron_client/protocol",
    "gateway_http",
    *(f"gateway_http/{each}" for each in ("http", "legacy", "page", "replica", "upstream", "v1")),
    "grid_hosting",
    "grid_hosting/sinks",
    "grid_hosting/telemetry",
    "registry_server",
    "registry_server/core",
    "registry_server/io",
    "tron",
    "tron/rpc",
)
"""Packages whose docstring is a reading guide: a list of all their modules."""


@pytest.mark.parametrize("package", GUIDED)
def test_a_reading_guide_names_the_modules_that_are_there(package: str) -> None:
    guide = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())) or ""
    named = [name for line in re.findall(r"^- ((?:`[^`]+`(?:, )?)+)", guide, re.MULTILINE) for name in line.split(", ")]
    modules = {f"`{path.stem}`" for path in (ROOT / package).glob("*.py") if not path.stem.startswith("_")}
    folders = {f"`{path.name}/`" for path in (ROOT / package).iterdir() if path.is_dir() and path.name[0] not in "_."}
    assert sorted(named) == sorted(modules | folders)
