"""What a support bundle gives away: only what is known to be harmless."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tron_cli.redaction import REMOVED, Redactor, environment, flags, host_of, named_secrets, removed_texts

SETTINGS: dict[str, Any] = {
    "registry": {"listen": "127.0.0.1:6122", "event_retention_days": 7.0, "self_register": True},
    "monitor": {
        "policy": {"reconnect_grace": 2.0, "orphan_policy": "keep"},
        "sinks": {
            "apprise": ["mailto://planted-user:planted-password@example.org"],
            "apprise_file": "channels.txt",
            "queue_size": 10,
            "webhook": [
                {
                    "name": "hook",
                    "url": "https://planted-user:planted-password@hooks.example:8443/planted-path?key=planted-query",
                    "secret_env": "HOOK_SECRET",
                    "token_file": "hook.token",
                }
            ],
            "alertmanager": [{"url": "http://127.0.0.1:9093", "labels": {"site": "planted-site"}}],
            "a_setting_of_a_later_version": "planted-later",
        },
    },
}


def test_settings_keep_what_is_harmless_and_nothing_else() -> None:
    shown = Redactor().settings(SETTINGS)
    assert "planted" not in json.dumps(shown)
    assert shown["registry"] == SETTINGS["registry"]
    assert shown["monitor"]["policy"] == SETTINGS["monitor"]["policy"]
    sinks = shown["monitor"]["sinks"]
    assert sinks["apprise"] == [REMOVED]
    assert sinks["queue_size"] == 10
    assert sinks["webhook"][0]["name"] == "hook"
    assert sinks["webhook"][0]["url"] == f"https://hooks.example:8443/{REMOVED}"
    assert sinks["alertmanager"] == [{"url": "http://127.0.0.1:9093", "labels": {"site": REMOVED}}]


def test_what_settings_lose_is_searched_for_in_texts_too() -> None:
    redactor = Redactor(removed_texts(SETTINGS))
    line = "sink_failing why='no answer from mailto://planted-user:planted-password@example.org planted-later'"
    assert "planted" not in redactor.text(line)


def test_the_files_and_variables_of_secrets_are_found() -> None:
    assert named_secrets(SETTINGS) == ({"channels.txt", "hook.token"}, {"HOOK_SECRET"})


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer planted.token-1234",
        f"refused tron_{'planted-' * 5}Abc at the port",
        'authorization="Basic planted1234567890=="',
        "whsec_planted0123456789abcdef",
        "https://planted:planted@example.org/planted?planted=planted#planted",
        "postgres://planted:planted@planted.example/planted",
        "token=planted",
        'api_key: "planted with blanks"',
        "'client_secret': 'planted'",
        '{"password": "planted", "x": 1}',
        "GITHUB_TOKEN=planted",
        "slack://planted/planted/planted",
    ],
)
def test_what_is_written_like_a_secret_is_removed_from_a_text(text: str) -> None:
    shown = Redactor().text(f"before {text} after")
    assert "planted" not in shown
    assert shown.startswith("before ")


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00Z [info] service_down service_id=a cause=SILENT missed=2",
        "registry_serving address=127.0.0.1:6122 data_dir=tron-data",
        "page_token_expired",
        "http://127.0.0.1:6124",
    ],
)
def test_an_ordinary_line_stays_as_it_is(text: str) -> None:
    assert Redactor().text(text) == text


def test_a_known_secret_is_removed_wherever_it_is_and_a_short_one_does_not_eat_the_text() -> None:
    assert Redactor(["planted-secret", "planted-secret-longer", "a", ""]).text("x planted-secret-longer a") == (
        f"x {REMOVED} a"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("grpc://10.0.0.1:6122", "grpc://10.0.0.1:6122"),
        ("http://[::1]:80/", "http://[::1]:80"),
        ("http://u@h", f"http://h/{REMOVED}"),
        ("discord://token/secret", f"discord://{REMOVED}"),
        ("http://[", REMOVED),
    ],
)
def test_an_address_is_shown_down_to_its_host(url: str, shown: str) -> None:
    assert host_of(url) == shown


def test_flags_are_shown_with_the_values_of_harmless_ones() -> None:
    words = ["--listen", "127.0.0.1:1", "--sinks.apprise", '["planted"]', "--log-json", "--policy.reconnect-grace", "5"]
    words += ["--sinks.webhook=planted", "-pplanted", "planted", "--data-dir=data"]
    shown = ["--listen", "127.0.0.1:1", "--sinks.apprise", REMOVED, "--log-json", "--policy.reconnect-grace", "5"]
    assert flags(words, Redactor()) == [*shown, f"--sinks.webhook={REMOVED}", REMOVED, REMOVED, "--data-dir=data"]


def test_only_variables_of_ours_are_shown_and_only_harmless_values() -> None:
    variables = {
        "TRON_REGISTRY": "127.0.0.1:6122",
        "TRON_REGISTRY_LISTEN": "127.0.0.1:6122",
        "TRON_MONITOR_SINKS": '{"apprise": ["planted"]}',
        "TRON_WEBHOOK_SECRET": "planted",
        "AWS_SECRET_ACCESS_KEY": "planted",
        "PATH": "/planted",
    }
    assert environment(variables, Redactor()) == {
        "TRON_REGISTRY": "127.0.0.1:6122",
        "TRON_REGISTRY_LISTEN": "127.0.0.1:6122",
        "TRON_MONITOR_SINKS": REMOVED,
        "TRON_WEBHOOK_SECRET": REMOVED,
    }


def test_a_document_stays_a_document() -> None:
    redactor = Redactor(["planted-secret"])
    document = {"token_env": "planted", "lines": ["Bearer planted-1234", 5], "planted-secret": {"x": None}}
    assert redactor.document(document) == {
        "token_env": REMOVED,
        "lines": [f"Bearer {REMOVED}", 5],
        REMOVED: {"x": None},
    }
