"""Generates the Python stubs from `proto/` into a folder; without an argument, into the one that is committed.

The proto path equals the Python package path, so nothing that protoc writes needs to be rewritten.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "clients" / "python"


def make_stubs(target: Path) -> None:
    """Write `grid/` below `target` anew. Raises RuntimeError where protoc refuses."""
    shutil.rmtree(target / "grid", ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    outputs = [f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    # protoc looks for its plugins on the PATH; they are beside this Python, whether or not it is the active one.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    include = Path(protoc.__file__).parent / "_proto"
    if protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"-I{include}", *outputs, *sources]):
        raise RuntimeError("protoc failed")
    for folder in {path.parent for path in (target / "grid").rglob("*.py")}:
        (folder / "py.typed").touch()


if __name__ == "__main__":
    make_stubs(Path(sys.argv[1]) if len(sys.argv) > 1 else COMMITTED)
