"""Channels: a message by e-mail, Slack, PagerDuty or webhook, through Airflow's notifiers and connections.

Notifiers are called by `notify`, which renders no template: what comes from logs would be one.
"""

from __future__ import annotations

import html
import logging
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from driftline.core.errors import AlertError, DefinitionError
from driftline.core.timespan import iso, parse_time
from driftline_airflow.links import address

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Connection

    from driftline.core.alerts import Alert, Message

TYPES = {"email": "smtp", "slack": "slackwebhook", "pagerduty": "pagerduty_events", "webhook": "http"}
"""The type of connection that each kind of channel needs."""
TIMEOUT = 30  # seconds for an answer
# at DEBUG these say the address, and that of a Slack webhook is a secret; at INFO one of them says each request
CHATTY = ("urllib3", "httpx2", "httpcore2", "slack_sdk")
PAGERDUTY_SEVERITY = {"warning": "info", "minor": "warning", "major": "error", "critical": "critical"}
SUBJECT, SUMMARY, BLOCK = 200, 1024, 3000  # characters: what a mailbox shows, and what PagerDuty and Slack take


def send(alert: Alert, message: Message) -> None:
    """Sends a message on an alert's channel.

    Raises:
        DefinitionError: The connection is not there, or of another type than the channel needs.
        AlertError: It could not be sent.
    """
    import pagerduty

    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    connection = connection_of(alert)
    try:
        _notifier(alert, message).notify({})
    # a ValueError is what the notifiers raise where the connection lacks something
    except (AirflowException, OSError, HTTPException, pagerduty.Error, pagerduty.UrlError, ValueError) as error:
        raise AlertError(
            f"the alert cannot be sent to {alert.channel.kind}: {_why(error, connection)}",
            where=f"alert {alert.alert_id}, connection {alert.channel.conn_id}",
            fix="Try it with the button Test on the page Alerts.",
        ) from None


def connection_of(alert: Alert) -> Connection:
    """The connection of an alert's channel.

    Raises:
        DefinitionError: It is not there, or of another type.
    """
    name, where = alert.channel.conn_id, f"alert {alert.alert_id}"
    needed = TYPES[alert.channel.kind]
    try:
        found: Connection = BaseHook.get_connection(name)
    except AirflowNotFoundException:
        raise DefinitionError(
            f"there is no connection '{name}' in Airflow",
            where=where,
            expected=f"one of the type {needed}",
            fix=f"Make it: airflow connections add {name} --conn-type {needed} …",
        ) from None
    if found.conn_type != needed:
        raise DefinitionError(
            f"the connection '{name}' is of the type {found.conn_type}",
            where=where,
            expected=f"{needed}, for {alert.channel.kind}",
        )
    return found


def _why(error: Exception, connection: Connection) -> str:
    """An error in one line, without secrets; those of requests name the whole address."""
    if type(error).__module__.startswith(("requests.", "urllib3.")):
        return type(error).__name__
    text = " ".join(str(error).split())
    secrets = [connection.password, *map(str, connection.extra_dejson.values())]
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return f"{type(error).__name__}: {text[:300]}"


def _notifier(alert: Alert, message: Message) -> BaseNotifier:
    make = {"email": _email, "slack": _slack, "pagerduty": _pagerduty, "webhook": _webhook}
    return make[alert.channel.kind](alert, message)


def _line(text: str, most: int) -> str:
    """Text from data as one line: no new headers, nothing that turns the direction of letters."""
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return line if len(line) <= most else line[: most - 1] + "…"


def _email(alert: Alert, message: Message) -> BaseNotifier:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    parts = [f"<p><strong>{html.escape(message.title)}</strong></p>", f"<p>{html.escape(message.text)}</p>"]
    parts += [f'<p><a href="{html.escape(address(message.page))}">Look at it</a></p>']
    parts += [f"<p>Severity {message.severity}. Alert {alert.alert_id}, event {html.escape(message.event_id)}.</p>"]
    return SmtpNotifier(
        smtp_conn_id=alert.channel.conn_id,
        to=alert.channel.to,
        subject=_line(f"[{message.severity}] {message.title}", SUBJECT),
        html_content="\n".join(parts),
        # a mailbox that got it before knows it again
        custom_headers={"Message-ID": f"<{message.event_id}.{alert.alert_id}@driftline>"},
    )


def _slack(alert: Alert, message: Message) -> BaseNotifier:
    from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier

    title = _line(f"{message.severity.upper()} {message.title}", BLOCK)
    # plain text is shown as it is: no mentions, no links; the short form beside it is not, and is escaped
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "plain_text", "text": _line(text, BLOCK), "emoji": False}}
        for text in (title, message.text)
        if text
    ]
    foot = f"<{address(message.page)}|Look at it> · alert {alert.alert_id} · event {message.event_id}"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": foot}]})
    return SlackWebhookNotifier(
        slack_webhook_conn_id=alert.channel.conn_id, text=html.escape(title, quote=False), blocks=blocks, timeout=TIMEOUT
    )


def _pagerduty(alert: Alert, message: Message) -> BaseNotifier:
    from airflow.providers.pagerduty.notifications.pagerduty import PagerdutyNotifier

    return PagerdutyNotifier(
        pagerduty_events_conn_id=alert.channel.conn_id,
        summary=_line(message.title, SUMMARY),
        severity=PAGERDUTY_SEVERITY[message.severity],
        source=message.name,
        dedup_key=message.event_id,
        custom_details=_facts(alert, message),
        links=[{"href": address(message.page), "text": "Look at it"}],
    )


def _webhook(alert: Alert, message: Message) -> BaseNotifier:
    from airflow.providers.http.notifications.http import HttpNotifier

    return HttpNotifier(
        http_conn_id=alert.channel.conn_id,
        endpoint=alert.channel.path,
        json=_facts(alert, message),
        headers={"Idempotency-Key": message.event_id},
        extra_options={"timeout": TIMEOUT},
    )


def _facts(alert: Alert, message: Message) -> dict[str, Any]:
    """All that is known, for machines."""
    return {
        "event_id": message.event_id,
        "alert_id": alert.alert_id,
        "tells": alert.tells,
        "name": message.name,
        "severity": message.severity,
        "title": message.title,
        "text": message.text,
        "start": iso(parse_time(message.start / 1000)),
        "end": iso(parse_time(message.end / 1000)),
        "values": list(message.values),
        "url": address(message.page),
    }
