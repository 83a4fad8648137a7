"""Alert: what was found → claims → messages. What a channel speaks is for who sends; here is what is told, once, and when."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from driftline.core.alerts import RANKS, Alert, Message
from driftline.core.errors import AlertError, ClusterDownError, DefinitionError, DriftlineError
from driftline.core.paths import alerts_dir
from driftline.core.results import digest, milliseconds
from driftline.core.timespan import Window, iso, parse_time
from driftline.elastic import claims, results, state
from driftline.pipeline.gate import reports
from driftline.scoring.events import longest
from driftline.scoring.renormalisation import first_score
from driftline.scoring.score import severity
from driftline.scoring.settings import SEVERITIES

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

Send = Callable[[Alert, Message], None]
MOST = 20  # messages a run and alert; the rest is summed up in one, for nobody reads more
RECORDS_MOST = 1000  # records of a run, those with the highest scores
VERDICTS_MOST = 1000  # reports of a run: one that walks years of data trains for each week
AROUND = 24  # buckets that a page shows before an incident
SPLITS = ("partition_field_value", "by_field_value", "over_field_value")
LEAST = {name: score for score, name in SEVERITIES}


@dataclass(frozen=True)
class Entry:
    """An alert file: its alert, or what is wrong with it."""

    id: str
    where: str
    alert: Alert | None
    error: str = ""


def list_alerts() -> list[Entry]:
    """All alert files; one that is broken says why, and keeps no other from being told."""
    found: dict[str, Entry] = {}
    for path in sorted(each for each in alerts_dir().glob("*.y*ml") if each.suffix in {".yaml", ".yml"}):
        try:
            alert = Alert.load(path)
            entry = Entry(alert.alert_id, str(path), alert)
        except DriftlineError as error:
            entry = Entry(path.stem, str(path), None, str(error))
        if entry.id in found:
            entry = Entry(path.stem, str(path), None, f"{path}: alert_id '{entry.id}' is taken by {found[entry.id].where}")
        found.setdefault(entry.id if entry.alert else entry.where, entry)
    return list(found.values())


def load_alert(alert_id: str) -> Alert:
    """The alert of that id.

    Raises:
        DefinitionError: There is none (the nearest is named), or it is broken.
    """
    entries = list_alerts()
    for entry in entries:
        if entry.id == alert_id:
            if entry.alert is None:
                raise DefinitionError(entry.error)
            return entry.alert
    near = difflib.get_close_matches(alert_id, [entry.id for entry in entries], n=1)
    hint = f"Did you mean '{near[0]}'?" if near else ""
    raise DefinitionError(f"there is no alert '{alert_id}'", where=str(alerts_dir()), fix=hint)


def overview(client: Elasticsearch) -> list[dict[str, Any]]:
    """All alerts, each with its definition or what is wrong with it, and with what `claims.summary` says of it."""
    known, none = claims.summary(client), {"told": None, "waiting": 0, "error": None}
    return [
        {
            "alert_id": each.id,
            "where": each.where,
            "broken": each.error or None,
            "definition": each.alert.as_dict() if each.alert else None,
            **(known.get(each.id, none) if each.alert else none),
        }
        for each in list_alerts()
    ]


class Findings:
    """What a run found, and what runs before it found and could not claim, read once for all alerts.

    Args:
        client: The cluster.
        run: The run whose quality verdicts count.
        job: The job of the run.
        source_id: Or its source.
        window: The interval that it scored, if it got so far.
    """

    def __init__(
        self, client: Elasticsearch, run: str, *, job: Job | None = None, source_id: str = "", window: Window | None = None
    ) -> None:
        self._client, self._run, self._job, self._source, self._window = client, run, job, source_id, window
        self._read: dict[Window, list[dict[str, Any]]] = {}

    def of(self, alert: Alert, oldest: datetime | None = None) -> list[Message]:
        """What there is to tell for an alert, old or new: since it was last looked at, but not before `oldest` and the run."""
        if not self._concerns(alert):
            return []
        found = self._verdicts if alert.tells == "quality" else self._anomalies(alert, oldest)
        return [
            each
            for each in found
            if alert.severe(each.severity) and (alert.tells == "quality" or alert.about_values(list(each.values)))
        ]

    def seen(self, alert: Alert) -> None:
        """Notes that all of this run was looked at for an alert: what a run that died leaves is for the next one."""
        if self._job and self._window and self._concerns(alert) and alert.tells != "quality":
            state.reach(self._client, state.ALERTED, self._job.job_id, self._window.end, _whose(alert))

    def _concerns(self, alert: Alert) -> bool:
        return alert.about_job(self._job) if self._job else alert.about_source(self._source)

    def _anomalies(self, alert: Alert, oldest: datetime | None) -> list[Message]:
        job, window = self._job, self._window
        if job is None or window is None:
            return []
        last = state.reached(self._client, state.ALERTED, job.job_id, _whose(alert))
        if last is not None and last < window.start:
            window = Window(min(window.start, max(last, oldest or last)), window.end)
        return self._events(job, window) if alert.tells == "event" else self._records(job, window, alert)

    def _events(self, job: Job, window: Window) -> list[Message]:
        reach = Window(window.start - longest(job.bucket_span) * job.bucket_span, window.end)
        if reach not in self._read:
            self._read[reach] = list(results.of_type(self._client, job.job_id, "event", version=job.version, window=reach))
        events = self._read[reach]
        members: dict[str, list[str]] = {}
        for event in events:
            if above := event["driftline"]["event"].get("member_of"):
                members.setdefault(above, []).extend(_values(event))
        since = milliseconds(window.start)
        return [
            _of_result(job, event, event["initial_anomaly_score"], event["driftline"]["event"], members.get(event["_id"], []))
            for event in events
            if event["driftline"]["event"]["alarm"] and event["driftline"]["event"]["end"] > since
        ]

    def _records(self, job: Job, window: Window, alert: Alert) -> list[Message]:
        found = results.top_records(
            self._client,
            job.job_id,
            version=job.version,
            window=window,
            min_score=LEAST[alert.min_severity],
            limit=RECORDS_MOST,
        )
        span = job.span_seconds * 1000
        return [
            _of_result(job, each, first_score(each), {"start": each["timestamp"], "end": each["timestamp"] + span}, [])
            for each in found
        ]

    @cached_property
    def _verdicts(self) -> list[Message]:
        name = self._job.job_id if self._job else self._source
        mine = reports(self._client, name, run=self._run, limit=VERDICTS_MOST)
        return [_of_report(each) for each in mine if each["verdict"] in {"warn", "stop"}]


def _whose(alert: Alert) -> str:
    return digest(alert.alert_id, alert.channel.key)


def _values(document: dict[str, Any]) -> list[str]:
    return [str(document[name]) for name in SPLITS if document.get(name) is not None]


def _of_result(job: Job, document: dict[str, Any], score: float, when: dict[str, Any], members: list[str]) -> Message:
    """An event or a record of a job as a message."""
    values, word = _values(document), severity(score)
    start, end = int(when["start"]), int(when["end"])
    whose = ", ".join(values) or "the job as a whole"
    said = document["driftline"].get("sentence") or f"{document.get('function', 'anomalous')}"
    facts = [f"Since {_time(start)} UTC, score {score:.0f}."]
    if document.get("function"):
        facts.append(f"Detector: {document['function']} {document.get('field_name', '')}".rstrip() + ".")
    if named := when.get("members"):
        facts.append(f"Among them: {', '.join(map(str, named[:10]))}.")
    span = job.span_seconds * 1000
    wide = {"start": _iso(start - AROUND * span), "end": _iso(end + span)}
    fields = ("function", "field_name", "partition_field_name", "by_field_name", "over_field_name", *SPLITS)
    return Message(
        event_id=document["_id"],
        name=job.job_id,
        severity=word,  # type: ignore[arg-type]
        title=f"{job.job_id}: {whose}: {said}",
        text=" ".join(facts),
        start=start,
        end=end,
        page=f"explorer?{urlencode({'job': job.job_id, **wide, 'from': _iso(start), 'until': _iso(end)})}",
        about=digest(job.job_id, document["result_type"], *(str(document.get(name)) for name in fields)),
        detector=document.get("detector_index"),
        job_version=document["driftline"]["job_version"],
        values=tuple(values or members),
    )


def _of_report(report: dict[str, Any]) -> Message:
    """A verdict of the gate as a message; the same checks of the same day are one incident."""
    name, verdict, failed = report.get("job_id") or report["source_id"], report["verdict"], report["failed_checks"]
    # rows are judged when they come, however old they say they are; or cannot say
    moment = parse_time(report["end"] if report.get("job_id") else report["created"])
    what = digest(name, report["stage"], verdict, *sorted(failed), f"{moment:%Y-%m-%d}")
    reasons = [f"{check['name']}: {check['message']}" for check in report["checks"] if check["name"] in failed]
    does = "stopped the run" if verdict == "stop" else "warns"
    return Message(
        event_id=what,
        name=name,
        severity="critical" if verdict == "stop" else "minor",
        title=f"{name}: the quality gate of {report['stage']} {does}: {', '.join(failed)}",
        text=" ".join(reasons),
        start=milliseconds(moment) - 1,
        end=milliseconds(moment),
        page=f"reports/{quote(report['report_id'], safe='')}",
        about=what,
    )


def _iso(stamp: int) -> str:
    return iso(parse_time(stamp / 1000))


def _time(stamp: int) -> str:
    return f"{parse_time(stamp / 1000):%Y-%m-%d %H:%M}"


def tell(
    client: Elasticsearch, findings: Findings, send: Send, *, owner: str, alerts: Iterable[Entry], now: datetime | None = None
) -> dict[str, int]:
    """Claims what a run found and tells it on each alert's channel; also what former runs could not, or should not yet, tell.

    Args:
        client: The cluster.
        findings: What the run found.
        send: Sends one message on an alert's channel; raises a `DriftlineError` where it cannot.
        owner: The run: its next try takes over at once what it had taken.
        alerts: All alerts, broken ones too.
        now: The present, for tests.

    Returns:
        `claimed` and `told`.

    Raises:
        AlertError: A channel failed; all others were told.
        DefinitionError: An alert is broken; all others were told.
    """
    moment, outcome = now or datetime.now(UTC), {"claimed": 0, "told": 0}
    problems: list[DriftlineError] = []
    for entry in alerts:
        try:
            if entry.alert is None:
                raise DefinitionError(entry.error)
            if entry.alert.enabled:
                outcome["claimed"] += _claim(client, entry.alert, findings, moment)
            # also of one that is switched off: it does not make up for that time when it is switched on
            findings.seen(entry.alert)
            if entry.alert.enabled:
                outcome["told"] += _send(client, entry.alert, send, owner, moment)
        except ClusterDownError:
            raise
        except DriftlineError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        kind = AlertError if any(each.retry for each in problems) else DefinitionError
        raise kind("; ".join(map(str, problems)))
    return outcome


def _claim(client: Elasticsearch, alert: Alert, findings: Findings, now: datetime) -> int:
    oldest = now - alert.max_age
    young = [each for each in findings.of(alert, oldest) if each.end >= milliseconds(oldest)]
    known = claims.told_alike(client, alert, young)
    new = [each for each in young if not any(each.same_incident(other) for other in known if other.event_id != each.event_id)]
    if not new:
        return 0
    quiet = alert.quiet_until(now)
    stands: claims.State = "dropped" if quiet and alert.during_quiet == "drop" else "open"
    return claims.claim(client, alert, new, stands, due=quiet or now, now=now)


def _send(client: Elasticsearch, alert: Alert, send: Send, owner: str, now: datetime) -> int:
    """Sends what waits, the worst first, and what failed before after the others: it must not stand in their way for ever."""
    if alert.quiet_until(now):
        return 0
    due = sorted(
        claims.waiting(client, alert, owner, now),
        key=lambda each: (each.document["attempts"], -RANKS.index(each.message.severity), each.message.start),
    )
    batches = [[each] for each in due[:MOST]] + ([due[MOST:]] if due[MOST:] else [])
    told = 0
    for batch in batches:
        taken = [each for each in batch if claims.take(client, each, owner, now)]
        if not taken:
            continue
        try:
            send(alert, taken[0].message if len(taken) == 1 else _summary([each.message for each in taken]))
        except DriftlineError as error:
            for each in taken:
                claims.failed(client, each, str(error), now)
            raise
        for each in taken:
            claims.told(client, each, now)
        told += len(taken)
    return told


def _summary(messages: list[Message]) -> Message:
    """One message in place of many."""
    names = sorted({each.name for each in messages})
    worst = max(messages, key=lambda each: RANKS.index(each.severity))
    return Message(
        event_id=digest(*sorted(each.event_id for each in messages)),
        name=worst.name,
        severity=worst.severity,
        title=f"{len(messages)} more incidents of {', '.join(names[:5])}{' and others' * (len(names) > 5)}",
        text=f"The worst of them: {worst.title}",
        start=min(each.start for each in messages),
        end=max(each.end for each in messages),
        page=worst.page,
    )


def trial(alert: Alert, now: datetime) -> Message:
    """What the test of an alert sends; no claim is made, so it can be sent again."""
    stamp = milliseconds(now)
    return Message(
        event_id=digest("test", alert.alert_id, str(stamp)),
        name=alert.alert_id,
        severity="warning",
        title=f"Test of the alert '{alert.alert_id}'",
        text="Nothing has happened: somebody tried whether messages arrive.",
        start=stamp,
        end=stamp,
        page="alerts",
    )
