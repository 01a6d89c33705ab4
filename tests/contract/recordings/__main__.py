"""Records what a tree speaks: `python -m tests.contract.recordings`, with this folder in a checkout of the baseline.

The recordings are the old tree's word, so they are made once and not again; tests/contract/test_recordings.py replays
them.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from tests.contract.recordings.calls import heartbeat, rest, unary
from tests.contract.recordings.samples import samples
from tests.support.face import start_face

HERE = Path(__file__).parent


def main() -> None:
    """Write `messages.json` and `calls.json` beside this file."""
    recorded = [
        {
            "name": name,
            "bytes": base64.b64encode(message.SerializeToString(deterministic=True)).decode(),
            "json": MessageToDict(message, preserving_proto_field_name=True),
        }
        for name, message in samples()
    ]
    _write("messages.json", recorded)
    with tempfile.TemporaryDirectory() as folder, start_face(Path(folder)) as face:
        answers = {"rest": list(rest(face)), "unary": list(unary(face)), "heartbeat": list(heartbeat(face))}
    _write("calls.json", answers)


def _write(name: str, document: object) -> None:
    (HERE / name).write_text(json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
