"""Webhooks are signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from grid_hosting.sinks.signature import key_of, signed_headers


def test_the_signature_is_that_of_the_published_example() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_an_id_that_no_header_can_hold_is_escaped_and_signed_as_it_is_sent() -> None:
    headers = signed_headers(b"k" * 16, "größer\r\nx: 1", 1, b"body")
    assert headers["webhook-id"] == "gr%C3%B6%C3%9Fer%0D%0Ax:%201"
    signed = f"{headers['webhook-id']}.1.body".encode()
    digest = base64.b64encode(hmac.new(b"k" * 16, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"


def test_a_secret_is_a_text_or_base64_after_its_prefix() -> None:
    assert key_of(" sixteen letters.\n") == b"sixteen letters."
    assert key_of("whsec_" + base64.b64encode(b"\x00" * 24).decode()) == b"\x00" * 24


@pytest.mark.parametrize(
    ("secret", "problem"),
    [("short", "5 bytes"), ("", "0 bytes"), ("whsec_c2hvcnQ=", "5 bytes"), ("whsec_not base64!", "base64")],
)
def test_a_secret_that_can_be_guessed_or_read_two_ways_is_refused(secret: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        key_of(secret)
    assert not secret or secret not in str(refused.value)
