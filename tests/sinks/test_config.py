"""Settings of the sinks: what is wrong stops the start and is named; secrets are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from grid_hosting.program import ProgramConfig, read_config
from grid_hosting.sinks.build import build
from grid_hosting.sinks.config import AlertmanagerConfig, DeadManConfig, SinksConfig, WebhookConfig
from tests.sinks.rig import SECRET, SOURCE, make_dispatcher, running
from tests.support.http_receiver import start_receiver
from tests.support.notices import make_notice

ROOT = Path(__file__).parents[2]


class Config(ProgramConfig):
    """A program with sinks."""

    sinks: SinksConfig = SinksConfig()
    """Where operators are notified."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.setenv("SHORT", "short")
    monkeypatch.setenv("LONG", SECRET)


WEBHOOK = '[[monitor.sinks.webhook]]\nurl = "http://h/x"\n'
MANAGER = '[[monitor.sinks.alertmanager]]\nurl = "http://h:9093"\n'


def test_every_setting_can_be_given_in_the_file() -> None:
    Path("channels").write_text("# people on call\n\njson://localhost/one\n json://localhost/two\n")
    Path("tron.toml").write_text(
        f"""
[monitor.sinks]
apprise = ["json://localhost/two", "json://localhost/three"]
apprise_file = "channels"
queue_size = 10
timeout = 1
longest_pause = 5
give_up_after = 3600
{WEBHOOK}secret_file = "secret"
{WEBHOOK}secret_env = "LONG"
token_env = "LONG"
name = "pager"
{MANAGER}labels = {{ site = "a" }}
renew_every = 30
active_for = 3600
token_file = "secret"
[monitor.sinks.dead_man]
url = "https://watcher.example/ping"
every = 30
method = "POST"
"""
    )
    sinks = read_config(Config, "monitor", []).sinks
    assert [(each.name, each.key(), each.headers()) for each in sinks.webhook] == [
        ("webhook", SECRET.encode(), {}),
        ("pager", SECRET.encode(), {"authorization": f"Bearer {SECRET}"}),
    ]
    assert sinks.channels() == [f"json://localhost/{name}" for name in ("two", "three", "one")]
    assert sinks.retry().give_up_after == 3600
    assert sinks.dead_man is not None
    names = build(sinks, Path("queues"), source=SOURCE, healthy=lambda: True).stats()
    assert len(names) == 6


def test_settings_can_come_from_the_environment_and_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRON_MONITOR_SINKS", '{"apprise": ["json://localhost/x"], "queue_size": 20}')
    sinks = read_config(Config, "monitor", ["--sinks.timeout", "3"]).sinks
    assert (sinks.channels(), sinks.queue_size, sinks.timeout) == (["json://localhost/x"], 20, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (WEBHOOK, "sinks.webhook.0: secret_file and secret_env: set exactly one of them"),
        (WEBHOOK + 'secret_file = "secret"\nsecret_env = "LONG"\n', "set exactly one of them"),
        (WEBHOOK + 'secret_file = "nowhere"\n', "sinks.webhook.0.secret_file: nowhere: No such file"),
        (WEBHOOK + 'secret_env = "UNSET"\n', "sinks.webhook.0.secret_env: the environment variable UNSET"),
        (WEBHOOK + 'secret_env = "SHORT"\n', "sinks.webhook.0.secret_env: the secret has 5 bytes"),
        (WEBHOOK + 'secret = "in the open"\n', "sinks.webhook.0.secret: Extra inputs are not permitted"),
        (WEBHOOK + 'secret_env = "LONG"\nname = "A B"\n', "sinks.webhook.0.name"),
        (WEBHOOK.replace("http:", "ftp:") + 'secret_env = "LONG"\n', "sinks.webhook.0.url: URL scheme should be"),
        (WEBHOOK.replace("http://h/x", "") + 'secret_env = "LONG"\n', "sinks.webhook.0.url"),
        ((WEBHOOK + 'secret_env = "LONG"\n') * 2, "two sinks have the name 'webhook'"),
        (MANAGER * 2, "two sinks have the name 'alertmanager'"),
        (MANAGER + "renew_every = 0\n", "sinks.alertmanager.0.renew_every"),
        (MANAGER + 'labels = { "a-b" = "c" }\n', "sinks.alertmanager.0.labels: 'a-b' is not a valid name"),
        (MANAGER + 'labels = { severity = "c" }\n', "sinks.alertmanager.0.labels: 'severity' is set from"),
        (MANAGER + 'token_env = "UNSET"\n', "sinks.alertmanager.0.token_env"),
        (MANAGER + 'token_env = "LONG"\ntoken_file = "secret"\n', "token_file and token_env: set only one of them"),
        ('[monitor.sinks]\napprise = ["x://token"]\n', "sinks.apprise: entry 0: is not a URL that"),
        ('[monitor.sinks]\napprise_file = "nowhere"\n', "sinks.apprise_file: nowhere: No such file"),
        ('[monitor.sinks]\napprise_file = "secret"\n', "sinks.apprise_file: secret, line 1: is not a URL"),
        ("[monitor.sinks]\nqueue_size = 0\n", "sinks.queue_size"),
        ("[monitor.sinks]\ntimeout = 0\n", "sinks.timeout"),
        ("[monitor.sinks]\nlongest_pause = 1e9\n", "sinks.longest_pause"),
        ("[monitor.sinks]\ngive_up_after = 1\n", "sinks.give_up_after"),
        ("[monitor.sinks]\nwebhooks = []\n", "sinks.webhooks"),
        ('[monitor.sinks.dead_man]\nurl = "http://h"\nevery = 0.5\n', "sinks.dead_man.every"),
        ('[monitor.sinks.dead_man]\nurl = "nonsense"\n', "sinks.dead_man.url"),
        ('[monitor.sinks.dead_man]\nurl = "http://h"\nmethod = "PUT"\n', "sinks.dead_man.method"),
    ],
)
def test_what_is_wrong_stops_the_start_by_its_name_and_shows_no_secret(
    text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tron.toml").write_text(text)
    with pytest.raises(SystemExit) as stopped:
        read_config(Config, "monitor", [])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert expected in said
    assert SECRET not in said
    assert "token" not in said.replace("token_", "")


def test_a_secret_of_several_lines_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("secret").write_text("0123456789abcdef\nx: y\n")
    Path("tron.toml").write_text(WEBHOOK + 'secret_file = "secret"\n')
    with pytest.raises(SystemExit):
        read_config(Config, "monitor", [])
    assert "secret must be one line of printable ASCII characters" in capsys.readouterr().err


def test_settings_show_no_secret_when_they_are_printed() -> None:
    sinks = SinksConfig.model_validate({"apprise": ["json://localhost/s3cret"]})
    assert "s3cret" not in repr(sinks) + sinks.model_dump_json()


async def test_a_sink_that_left_the_settings_leaves_no_queue(tmp_path: Path) -> None:
    with start_receiver(listening=False) as one, start_receiver() as other, capture_logs() as logged:
        async with running(make_dispatcher(tmp_path, one, one)) as dispatcher:
            await dispatcher.submit(make_notice())
        async with running(make_dispatcher(tmp_path, other)) as dispatcher:
            assert list(dispatcher.stats()) == ["webhook-0"]
    assert [(line["sink"], line["count"]) for line in logged if line["event"] == "notices_of_no_sink_dropped"] == [
        ("webhook-1", 1)
    ]


def test_every_setting_is_documented_and_shown_in_the_example() -> None:
    document, example = ((ROOT / name).read_text() for name in ("docs/sinks.md", "tron.example.toml"))
    kinds = (SinksConfig, WebhookConfig, AlertmanagerConfig, DeadManConfig)
    names = {name for kind in kinds for name in kind.model_fields}
    assert not [name for name in sorted(names) if f"`{name}`" not in document]
    assert not [name for name in sorted(names) if f"{name} = " not in example and f".{name}]" not in example]


def test_the_defaults_are_as_the_example_shows(tmp_path: Path) -> None:
    lines = (ROOT / "tron.example.toml").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("# [monitor.sinks]"))
    end = next(number for number, line in enumerate(lines) if number > start and line.startswith("["))
    text = "\n".join(line.removeprefix("# ") for line in lines[start:end] if not line.startswith("# #"))
    for name in ("tron-webhook.secret", "alertmanager.token"):
        text = text.replace(name, "secret")
    Path("channels.txt").write_text("json://localhost\n")
    Path("tron.toml").write_text(text.replace("TRON_WEBHOOK_SECRET", "LONG"))
    sinks = read_config(Config, "monitor", []).sinks
    plain = {"queue_size", "timeout", "longest_pause", "give_up_after"}
    assert sinks.model_dump(include=plain) == SinksConfig().model_dump(include=plain)
    assert sinks.dead_man is not None
    assert sinks.dead_man == DeadManConfig(url=sinks.dead_man.url)
    (manager,) = sinks.alertmanager
    defaults = AlertmanagerConfig(url=manager.url)
    assert (manager.renew_every, manager.active_for) == (defaults.renew_every, defaults.active_for)
    assert len(sinks.webhook) == 1
