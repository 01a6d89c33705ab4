"""Changes bytes: flips bits, cuts, doubles, moves and inserts."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff\x0f",
    b"\n",
    b"\r\n",
    b"{",
    b"]",
    b'"',
    b"\xed\xa0\x80",
    b"%00",
    b"\xc0\x80",
)
"""What parsers often mistake."""

_OPERATIONS = ("flip", "insert", "replace", "delete", "double", "cut", "move")

_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(_OPERATIONS),
        st.integers(0, (1 << 20) - 1),
        st.integers(0, (1 << 20) - 1),
        st.sampled_from(PIECES) | st.binary(min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=3,
)


def changed(source: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return bytes of the source with up to three changes."""
    return st.builds(_apply, source, _CHANGES)


def sometimes_changed(source: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return bytes of the source, changed in one of three cases."""
    return source | source | changed(source)


def _apply(data: bytes, changes: list[tuple[str, int, int, bytes]]) -> bytes:
    for operation, first, second, piece in changes:
        start, end = sorted((first % (len(data) + 1), second % (len(data) + 1)))
        match operation:
            case "flip" if data:
                at = first % len(data)
                data = data[:at] + bytes([data[at] ^ (1 << second % 8)]) + data[at + 1 :]
            case "insert":
                data = data[:start] + piece + data[start:]
            case "replace":
                data = data[:start] + piece + data[start + len(piece) :]
            case "delete":
                data = data[:start] + data[end:]
            case "double":
                data = data[:end] + data[start:]
            case "cut":
                data = data[:end]
            case "move":
                data = data[end:] + data[:end]
        data = data[: 1 << 20]
    return data
