"""Channels of alerts: what arrives at real servers on this machine, through Airflow's notifiers and connections."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from alert_receivers import Receiver, connection, receiver
from dag_definitions import PASSWORDS

from driftline.core.alerts import Alert, Message
from driftline.core.errors import AlertError, DefinitionError, ServiceError
from driftline.core.processes import free_port
from driftline.services.api import AirflowApi
from driftline_airflow.channels import TYPES, send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = "<!channel> *<https://evil.example|click>* {{ 7 * 7 }} <b>x</b>\r\nBcc: all@example.com \u202eab"
SECRET = "T000-B000-very-secret"
STAMP = 1_772_539_200_000  # 2026-03-03T12:00Z


def message(title: str = "web: /cart: 17 times lower than expected", **fields: Any) -> Message:
    given = {"text": "Since noon.", "page": "explorer?job=web&from=a", "values": ("/cart",), **fields}
    return Message("key-1", "web", "critical", title, start=STAMP, end=STAMP + 60_000, **given)


def alert(kind: str, **channel: Any) -> Alert:
    return Alert.parse({"alert_id": "ops", "channel": {"kind": kind, "conn_id": f"a_{kind}", **channel}}, where="test")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """What stands for Slack and for somebody's webhook."""
    with receiver() as kept:
        hook = connection(conn_type="http", port=kept.port, login="driftline", password=SECRET, extra={"X-Team": "ops"})
        monkeypatch.setenv("AIRFLOW_CONN_A_WEBHOOK", hook)
        slack = connection(conn_type="slackwebhook", host=f"http://127.0.0.1:{kept.port}/services", password=SECRET)
        monkeypatch.setenv("AIRFLOW_CONN_A_SLACK", slack)
        yield kept


@pytest.fixture
def pager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, certificate: tuple[bytes, bytes]) -> Iterator[Receiver]:
    """What stands for PagerDuty, whose client speaks TLS only."""
    import pagerduty

    (tmp_path / "server.pem").write_bytes(b"".join(certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    monkeypatch.setenv("AIRFLOW_CONN_A_PAGERDUTY", connection(conn_type="pagerduty_events", password=SECRET))
    with receiver(tmp_path / "server.pem") as kept:
        kept.status, kept.answer = 202, b'{"status": "success", "dedup_key": "key-1"}'
        # its address is a constant of the package
        monkeypatch.setattr(pagerduty.EventsApiV2Client, "default_base_url", f"https://127.0.0.1:{kept.port}")
        yield kept


def test_a_webhook_gets_what_is_known_as_json_with_the_event_as_its_key(there: Receiver) -> None:
    send(alert("webhook", path="alerts?team=a"), message())
    ((path, headers, body),) = there.got
    assert path == "/alerts?team=a"
    assert headers["Idempotency-Key"] == "key-1"
    assert headers["X-Team"] == "ops"
    assert headers["Authorization"].startswith("Basic ")
    assert {name: body[name] for name in ("event_id", "alert_id", "severity", "values", "start", "end")} == {
        "event_id": "key-1",
        "alert_id": "ops",
        "severity": "critical",
        "values": ["/cart"],
        "start": "2026-03-03T12:00:00Z",
        "end": "2026-03-03T12:01:00Z",
    }
    assert body["url"].endswith("/driftline/explorer?job=web&from=a")
    assert body["url"].startswith("http")


def test_slack_is_told_as_plain_text_whatever_the_data_says(there: Receiver) -> None:
    send(alert("slack"), message(HOSTILE))
    ((path, _, body),) = there.got
    assert path == f"/services/{SECRET}"
    assert "<!channel>" not in body["text"]
    assert "&lt;!channel&gt;" in body["text"]
    first = body["blocks"][0]["text"]
    assert first["type"] == "plain_text"
    assert "{{ 7 * 7 }}" in first["text"], "no template is rendered"
    assert "\n" not in first["text"]
    assert "\u202e" not in first["text"]
    foot = body["blocks"][-1]["elements"][0]["text"]
    assert "event key-1" in foot
    assert "|Look at it>" in foot


def test_pagerduty_knows_an_event_again_by_its_key(pager: Receiver) -> None:
    send(alert("pagerduty"), message("x" * 2000))
    ((path, _, body),) = pager.got
    assert path == "/v2/enqueue"
    assert (body["dedup_key"], body["routing_key"], body["event_action"]) == ("key-1", SECRET, "trigger")
    assert body["payload"]["severity"] == "critical"
    assert body["payload"]["source"] == "web"
    assert len(body["payload"]["summary"]) == 1024
    assert body["links"][0]["href"].endswith("/driftline/explorer?job=web&from=a")


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Message as Handler

    got: list[Any] = []

    class Kept(Handler):
        def handle_message(self, message: Any) -> None:
            got.append(message)

    port = free_port(28250)
    assert port is not None
    controller = Controller(Kept(), hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    plain = {"disable_ssl": True, "disable_tls": True, "from_email": "driftline@example.com"}
    monkeypatch.setenv("AIRFLOW_CONN_A_EMAIL", connection(conn_type="smtp", port=port, extra=plain))
    yield got
    controller.stop()


def test_an_email_says_what_happened_and_nothing_in_it_is_a_header_or_markup_of_others(mailbox: list[Any]) -> None:
    send(alert("email", to=["ops@example.com", "night@example.com"]), message(HOSTILE))
    (mail,) = mailbox
    assert mail["X-RcptTo"] == "ops@example.com, night@example.com"
    assert mail["From"] == "driftline@example.com"
    assert mail["Bcc"] is None
    assert mail["Message-ID"] == "<key-1.ops@driftline>"
    (part,) = mail.get_payload()
    said = part.get_payload(decode=True).decode()
    assert "&lt;b&gt;x&lt;/b&gt;" in said
    assert "<b>" not in said
    assert "{{ 7 * 7 }}" in said
    assert "event key-1" in said


@pytest.mark.parametrize("kind", ["slack", "webhook", "pagerduty"])
def test_what_is_refused_is_said_and_no_secret_with_it(
    there: Receiver, pager: Receiver, kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for server in (there, pager):
        server.status, server.answer = 403, f"no such token {SECRET}".encode()
    with caplog.at_level(logging.INFO), pytest.raises(AlertError, match=f"cannot be sent to {kind}") as error:
        send(alert(kind), message())
    assert "403" in str(error.value) or "Forbidden" in str(error.value)
    assert SECRET not in str(error.value)
    assert error.value.retry
    assert f"/services/{SECRET}" not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(("kind", "more"), [("slack", {}), ("webhook", {}), ("email", {"to": ["ops@example.com"]})])
def test_a_server_that_is_away_is_no_stack_trace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, more: dict[str, Any]
) -> None:
    away = {"extra": {"from_email": "a@example.com", "retry_limit": 0}, "port": 1} if kind == "email" else {"port": 1}
    host = "http://127.0.0.1:1/services" if kind == "slack" else "127.0.0.1"
    monkeypatch.setenv(f"AIRFLOW_CONN_A_{kind.upper()}", connection(conn_type=TYPES[kind], host=host, password=SECRET, **away))
    with caplog.at_level(logging.INFO), pytest.raises(AlertError, match=f"alert ops, connection a_{kind}") as error:
        send(alert(kind, **more), message())
    assert SECRET not in str(error.value)
    assert SECRET not in caplog.text


def test_a_connection_that_is_not_there_or_of_another_type_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DefinitionError, match=r"no connection 'a_slack'.*airflow connections add a_slack --conn-type slackwebhook"
    ):
        send(alert("slack"), message())
    monkeypatch.setenv("AIRFLOW_CONN_A_SLACK", connection(conn_type="slack"))
    with pytest.raises(DefinitionError, match=r"of the type slack; expected slackwebhook"):
        send(alert("slack"), message())


def test_the_command_line_has_airflow_send_a_test_and_asks_once(
    site: str, there: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "passwords.json").write_text(json.dumps(PASSWORDS))
    (tmp_path / "ops.yaml").write_text("alert_id: ops\nchannel: {kind: webhook, conn_id: a_webhook}\n")
    monkeypatch.setenv("DRIFTLINE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE_ALERTS_DIR", str(tmp_path))
    with AirflowApi(site) as api:
        api.test_alert("ops")
        there.status = 500
        with pytest.raises(ServiceError, match="cannot be sent to webhook"):
            api.test_alert("ops")
        with pytest.raises(ServiceError, match="there is no alert 'opps'"):
            api.test_alert("opps")
    assert len(there.got) == 2
