"""A token is read from one place, checked, sent with each call, and never in plaintext to another machine."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tron_client import Endpoint
from tron_client.address import parse_address
from tron_client.bearer import MOST_BYTES, TokenSource, checked_token, of_environment, read_token, token_file
from tron_client.channel import open_aio_channel, open_channel, resolve_address
from tron_client.profiles import parse_profiles, token_for

METHOD = "/test.Test/Call"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRON_TOKEN", "TRON_TOKEN_FILE", "TRON_PROFILE", "TRON_CA"):
        monkeypatch.delenv(name, raising=False)


def write(path: Path, content: bytes) -> Path:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [b"tron_abc", b"tron_abc\n", b"tron_abc\r\n"])
def test_a_line_break_at_the_end_is_no_part_of_the_token(content: bytes, tmp_path: Path) -> None:
    assert read_token(token_file("token_file", write(tmp_path / "t", content))) == "tron_abc"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "contains no token"),
        (b"\n", "contains no token"),
        (b"tron_a tron_b", "must contain one token"),
        (b"tron_a\n\n", "must contain one token"),
        (b" tron_a", "must contain one token"),
        (b"tron_\xff", "must contain one token"),
        (b"x" * (MOST_BYTES + 1), "is longer than 8192 bytes"),
    ],
)
def test_any_other_content_is_refused_by_name_and_without_the_content(content: bytes, why: str, tmp_path: Path) -> None:
    path = write(tmp_path / "token", content)
    with pytest.raises(ValueError, match=why) as refused:
        read_token(token_file("TRON_TOKEN_FILE", path))
    assert str(refused.value).startswith(f"TRON_TOKEN_FILE {path}")
    assert "tron_a" not in str(refused.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^token_file: .*/none cannot be read \(No such file or directory\)$"):
        resolve_address(Endpoint(token_file=tmp_path / "none"))


def test_a_replaced_file_is_used_and_a_broken_one_leaves_the_earlier_token(tmp_path: Path) -> None:
    path = write(tmp_path / "t", b"first")
    source = token_file("token_file", path)
    assert read_token(source) == "first"
    write(tmp_path / "new", b"second-one").replace(path)
    assert read_token(source) == "second-one"
    write(tmp_path / "new", b"two words").replace(path)
    assert read_token(source) == "second-one"


def test_the_endpoint_comes_before_the_environment_and_the_environment_before_the_profile(tmp_path: Path) -> None:
    address = parse_address("127.0.0.1:1", "")
    assert token_for(address, {}) is None
    assert token_for(address, {"TRON_TOKEN": "a"}) == TokenSource(text="a")
    given = Endpoint("127.0.0.1:1", token_file=tmp_path / "t")
    assert token_for(given, {"TRON_TOKEN": "a"}) == TokenSource(str(tmp_path / "t"))
    profile = parse_profiles('[profiles.a]\ntoken_file = "a.token"', tmp_path)["a"]
    assert profile.token == TokenSource(str(tmp_path / "a.token"))
    with pytest.raises(ValueError, match="both are set"):
        of_environment({"TRON_TOKEN": "a", "TRON_TOKEN_FILE": "b"})


def test_a_token_is_in_no_text_of_its_source() -> None:
    assert "secret" not in repr(TokenSource(text="secret"))
    with pytest.raises(ValueError, match="TRON_TOKEN") as refused:
        checked_token(TokenSource(text="secret word", named="TRON_TOKEN"), b"secret word")
    assert "secret" not in str(refused.value)


def test_a_token_is_not_sent_in_plaintext_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRON_TOKEN", "tron_abc")
    assert resolve_address("127.0.0.1:6122").text == "127.0.0.1:6122"
    for each in ("10.0.0.1:6122", Endpoint("registry.example:6122", plaintext=True)):
        with pytest.raises(ValueError, match=r"^TRON_TOKEN: a token is sent only over TLS, or to this machine"):
            resolve_address(each)
        with pytest.raises(ValueError, match="only over TLS"):
            open_channel(each)


def test_another_host_that_claims_to_be_of_the_system_receives_no_token(tmp_path: Path) -> None:
    endpoint = Endpoint("10.0.0.1:6122", token_file=tmp_path / "t")
    environ = {"TRON_TOKEN": "tron_abc"}
    assert token_for(endpoint.elsewhere(parse_address("10.0.0.2:6123", "")), environ) is None
    assert token_for(endpoint.elsewhere(parse_address("10.0.0.1:6123", "")), environ) is not None


def test_endpoints_with_other_tokens_share_no_stream(tmp_path: Path) -> None:
    assert Endpoint(token_file=tmp_path / "a") != Endpoint(token_file=tmp_path / "b")
    assert Endpoint(token_file=tmp_path / "a") == Endpoint(token_file=os.fspath(tmp_path / "a"))


class Echo(grpc.GenericRpcHandler):
    """Answers each call with its `authorization` values."""

    def service(self, handler_call_details: Any) -> Any:
        """Return a handler."""
        found = [value for name, value in handler_call_details.invocation_metadata if name == "authorization"]
        return grpc.unary_unary_rpc_method_handler(lambda _, __: ",".join(found).encode())


async def test_every_call_of_both_stacks_has_the_token_as_it_is_then(tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        path = write(tmp_path / "t", b"one\n")
        endpoint = Endpoint(f"127.0.0.1:{port}", token_file=path)
        sync: Any = open_channel(endpoint)
        with sync as channel:
            opened: Any = open_aio_channel(endpoint)
            async with opened as aio:
                for token in (b"one", b"two-2"):
                    write(tmp_path / "new", token).replace(path)
                    assert channel.unary_unary(METHOD)(b"", timeout=10) == b"Bearer " + token
                    assert await aio.unary_unary(METHOD)(b"", timeout=10) == b"Bearer " + token
    finally:
        server.stop(None)
