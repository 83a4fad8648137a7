"""Alerts on a real Elasticsearch: each incident is told once on each channel, whatever happens to those who tell it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from driftline.core.alerts import Alert, Message
from driftline.core.errors import AlertError, DefinitionError
from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.elastic import claims, results
from driftline.elastic.indices import ALERTS, QUALITY, RESULTS, STATE
from driftline.pipeline.alerts import MOST, Entry, Findings, tell
from driftline.pipeline.gate import write_report
from driftline.quality.checks import CheckResult
from driftline.quality.report import Report
from driftline.scoring.aggregate import event_results

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

NOON, SPAN = datetime(2026, 3, 3, 12, tzinfo=UTC), timedelta(minutes=5)
LATER = NOON + timedelta(hours=6)


class House:
    """A job with results, an alert, and what was told."""

    def __init__(self, client: Elasticsearch, prefix: str) -> None:
        self.client, self.prefix, self.sent = client, prefix, []
        self.job = self.job_of()

    def job_of(self, **changes: Any) -> Job:
        definition = {
            "job_id": f"{self.prefix}web",
            "bucket_span": "5m",
            "detectors": [{"function": "count", "partition_field_name": "url"}],
            "datafeed": {"indices": ["x"]},
            **changes,
        }
        return Job.parse(definition, where="test")

    def alert(self, **fields: Any) -> Alert:
        channel = {"kind": "webhook", "conn_id": "somewhere"}
        return Alert.parse({"alert_id": f"{self.prefix}ops", "channel": channel, **fields}, where="test")

    def send(self, alert: Alert, message: Message) -> None:
        self.sent.append(message)

    def broken(self, alert: Alert, message: Message) -> None:
        raise AlertError("it is down")

    def found(self, *buckets: int, path: str = "/cart", score: float = 80.0, job: Job | None = None) -> Findings:
        """What scoring these anomalous buckets finds, with all that is stored before."""
        job = job or self.job
        records = [_record(n, path, score) for n in buckets]
        window = Window(NOON + min(buckets, default=0) * SPAN, NOON + (max(buckets, default=0) + 1) * SPAN)
        events = event_results(job, records, 1)
        around = Window(window.start - timedelta(days=1), window.end + timedelta(days=1))
        encoded = ((id_, each["timestamp"], orjson.dumps(each)) for id_, each in events)
        within = [{"term": {"partition_field_value": path}}]
        results.replace(self.client, job, around, encoded, types=["event"], within=within)
        last = Window(window.end - SPAN, window.end)
        return Findings(self.client, "run", job=job, window=last)

    def nothing(self) -> Findings:
        return Findings(self.client, "run", job=self.job)

    def tell(self, findings: Findings, *alerts: Alert, owner: str = "run 1", send: Any = None, now: datetime = LATER) -> Any:
        entries = [Entry(each.alert_id, "test", each) for each in alerts or [self.alert()]]
        return tell(self.client, findings, send or self.send, owner=owner, alerts=entries, now=now)

    def claims(self) -> list[dict[str, Any]]:
        return claims.history(self.client, f"{self.prefix}ops")


def _record(bucket: int, path: str, score: float) -> dict[str, Any]:
    return {
        "timestamp": int((NOON + bucket * SPAN).timestamp() * 1000),
        "detector_index": 0,
        "function": "count",
        "partition_field_name": "url",
        "partition_field_value": path,
        "record_score": score,
        "actual": [2.0],
        "typical": [34.0],
        "probability": 1e-12,
        "driftline": {"kind": "drop", "snapshot_id": "s", "in_sample": False, "quality": "pass"},
    }


@pytest.fixture
def house(client: Elasticsearch, prefix: str) -> Iterator[House]:
    yield House(client, prefix)
    results.delete(client, ALERTS, {"prefix": {"alert_id": prefix}})
    results.delete(client, STATE, {"prefix": {"job_id": prefix}})
    for index in (f"{RESULTS}-*", QUALITY):
        results.delete(client, index, {"prefix": {"job_id": prefix}})
    results.delete(client, QUALITY, {"prefix": {"source_id": prefix}})


def test_an_incident_that_grows_over_three_runs_is_told_once(house: House) -> None:
    told = [house.tell(house.found(*range(n)), owner=f"run {n}")["told"] for n in (1, 2, 3)]
    assert told == [1, 0, 0]
    (message,) = house.sent
    assert message.severity == "critical"
    assert message.title.startswith(f"{house.job.job_id}: /cart: 17 times lower than expected")
    assert f"job={house.job.job_id}" in message.page
    (event,) = results.of_type(house.client, house.job.job_id, "event")
    assert event["driftline"]["event"]["buckets"] == 3
    assert message.event_id == event["_id"]


def test_what_is_told_on_one_channel_is_told_on_another_too(house: House) -> None:
    alerts = [house.alert(), house.alert(channel={"kind": "slack", "conn_id": "somewhere"})]
    assert house.tell(house.found(0), *alerts)["told"] == 2
    assert len({each.event_id for each in house.sent}) == 1
    assert house.tell(house.found(0), *alerts)["told"] == 0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"partitions": ["/c*"]}, 1),
        ({"partitions": ["/home"]}, 0),
        ({"min_severity": "critical"}, 1),
        ({"jobs": ["another"]}, 0),
        ({"enabled": False}, 0),
        ({"max_age": "1h"}, 0),
    ],
)
def test_only_what_the_alert_is_about_is_told(house: House, fields: dict[str, Any], told: int) -> None:
    assert house.tell(house.found(0), house.alert(**fields))["told"] == told


def test_what_is_too_mild_is_not_told(house: House) -> None:
    assert house.tell(house.found(0, score=60.0), house.alert(min_severity="critical"))["told"] == 0
    assert house.tell(house.found(0, score=60.0), house.alert(min_severity="major"))["told"] == 1


def test_an_incident_is_told_when_it_becomes_severe_enough(house: House) -> None:
    alert = house.alert(min_severity="critical")
    assert house.tell(house.found(0, score=60.0), alert)["told"] == 0
    assert house.tell(house.found(0, 1, score=80.0), alert, owner="run 2")["told"] == 1


def test_what_many_series_do_at_once_is_one_message_for_whoever_waits_for_one_of_them(house: House) -> None:
    paths = [f"/p{n}" for n in range(12)]
    events = event_results(house.job, [_record(0, path, 80.0) for path in paths], len(paths))
    window = Window(NOON, NOON + SPAN)
    encoded = ((id_, each["timestamp"], orjson.dumps(each)) for id_, each in events)
    results.replace(house.client, house.job, window, encoded, types=["event"])
    findings = Findings(house.client, "run", job=house.job, window=window)
    assert house.tell(findings, house.alert(partitions=["/p7"]))["told"] == 1
    assert house.sent[0].title.startswith(f"{house.job.job_id}: the job as a whole: 12 series at once")
    assert "Among them: /p0" in house.sent[0].text
    assert house.tell(findings, house.alert(alert_id=f"{house.prefix}other", partitions=["/q*"]))["told"] == 0


def test_an_edit_of_the_job_tells_no_incident_again(house: House) -> None:
    house.tell(house.found(0, 1))
    edited = house.job_of(influencers=["ip"])
    assert edited.version != house.job.version
    assert house.tell(house.found(0, 1, job=edited), owner="run 2")["told"] == 0
    assert house.tell(house.found(0, 1, path="/home", job=edited), owner="run 3")["told"] == 1


def test_an_incident_that_turns_out_to_have_begun_earlier_is_not_told_again(house: House) -> None:
    house.tell(house.found(1, 2))
    assert house.tell(house.found(0, 1, 2), owner="run 2")["told"] == 0


def test_of_two_runs_at_once_one_tells(house: House) -> None:
    barrier = Barrier(2)

    def run(owner: str) -> int:
        findings = house.nothing()
        barrier.wait()
        return house.tell(findings, owner=owner)["told"]

    message = house.found(0).of(house.alert())
    with ThreadPoolExecutor(2) as pool:
        made = list(
            pool.map(lambda _: claims.claim(house.client, house.alert(), message, "open", due=LATER, now=LATER), range(2))
        )
        told = list(pool.map(run, ["run 1", "run 2"]))
    assert sorted(made) == [0, 1]
    assert sorted(told) == [0, 1]
    assert len(house.sent) == 1


class Killed(BaseException):
    """Stands for the end of a process."""


def test_after_a_crash_between_claim_and_message_it_is_sent_again_with_the_same_key(house: House) -> None:
    def die(alert: Alert, message: Message) -> None:
        house.send(alert, message)
        raise Killed

    with pytest.raises(Killed):
        house.tell(house.found(0), send=die)
    assert [each["state"] for each in house.claims()] == ["open"]
    # another run waits until the first may be taken for dead; nothing that it found itself is needed
    assert house.tell(house.nothing(), owner="run 2", now=LATER + claims.LEASE - timedelta(seconds=1))["told"] == 0
    assert house.tell(house.nothing(), owner="run 2", now=LATER + claims.LEASE)["told"] == 1
    first, again = house.sent
    assert first == again
    assert [(each["state"], each["attempts"]) for each in house.claims()] == [("told", 2)]


def test_the_next_try_of_a_run_that_crashed_goes_on_at_once(house: House) -> None:
    def die(alert: Alert, message: Message) -> None:
        raise Killed

    with pytest.raises(Killed):
        house.tell(house.found(0), send=die)
    assert house.tell(house.found(0))["told"] == 1


def test_what_a_channel_refuses_is_kept_and_sent_by_the_next_run(house: House) -> None:
    with pytest.raises(AlertError, match="it is down"):
        house.tell(house.found(0), send=house.broken)
    (claim,) = house.claims()
    assert (claim["state"], claim["error"]) == ("open", "it is down")
    assert house.tell(house.nothing(), owner="run 2")["told"] == 1
    assert house.claims()[0]["error"] is None


def test_what_a_run_could_not_claim_is_told_by_the_next_run_of_its_job(house: House) -> None:
    house.tell(house.found(0, path="/first"))
    house.found(3, path="/lost")  # written, and the task that tells it died
    later = house.found(9, path="/last")
    assert house.tell(later, owner="run 3")["claimed"] == 2
    assert house.tell(later, owner="run 4")["claimed"] == 0
    assert [each.title.split(": ")[1] for each in house.sent] == ["/first", "/lost", "/last"]


def test_what_a_run_found_while_the_alert_was_broken_is_told_when_it_is_mended(house: House) -> None:
    house.tell(house.found(0, path="/first"))
    broken = [Entry("x", "test", None, "x.yaml: no channel")]
    with pytest.raises(DefinitionError):
        tell(house.client, house.found(3, path="/then"), house.send, owner="run 2", alerts=broken, now=LATER)
    assert house.tell(house.found(9, path="/now"), owner="run 3")["told"] == 2


def test_an_alert_makes_up_for_no_time_before_it_was_made_nor_while_it_was_disabled(house: House) -> None:
    house.found(0, path="/before")
    assert house.tell(house.found(3, path="/first"))["told"] == 1
    house.tell(house.found(6, path="/silent"), house.alert(enabled=False), owner="run 2")
    assert house.tell(house.found(9, path="/again"), owner="run 3")["told"] == 1
    assert [each.title.split(": ")[1] for each in house.sent] == ["/first", "/again"]


def test_one_channel_that_fails_keeps_no_other_from_telling(house: House) -> None:
    def one_fails(alert: Alert, message: Message) -> None:
        (house.broken if alert.channel.kind == "slack" else house.send)(alert, message)

    failing = house.alert(channel={"kind": "slack", "conn_id": "somewhere"})
    with pytest.raises(AlertError, match="it is down"):
        house.tell(house.found(0), failing, house.alert(), send=one_fails)
    assert len(house.sent) == 1


def test_a_message_that_is_refused_for_ever_stands_in_no_others_way(house: House) -> None:
    def picky(alert: Alert, message: Message) -> None:
        (house.broken if "/cart" in message.title else house.send)(alert, message)

    with pytest.raises(AlertError):
        house.tell(house.found(0, score=90.0), send=picky)
    with pytest.raises(AlertError):
        house.tell(house.found(0, path="/home", score=60.0), send=picky, owner="run 2")
    assert [each.values for each in house.sent] == [("/home",)]


def test_in_quiet_hours_an_incident_waits_for_their_end(house: House) -> None:
    alert = house.alert(quiet_hours=[{"from": "17:00", "to": "20:00"}])
    assert house.tell(house.found(0), alert) == {"claimed": 1, "told": 0}
    assert house.tell(house.nothing(), alert, owner="run 2", now=LATER + timedelta(hours=1))["told"] == 0
    assert house.tell(house.nothing(), alert, owner="run 3", now=LATER + timedelta(hours=2))["told"] == 1


def test_what_is_dropped_in_quiet_hours_is_never_told_though_it_goes_on(house: House) -> None:
    alert = house.alert(quiet_hours=[{"from": "17:00", "to": "20:00"}], during_quiet="drop")
    house.tell(house.found(0), alert)
    assert house.tell(house.found(0, 1), alert, owner="run 2", now=LATER + timedelta(hours=3))["told"] == 0
    assert [each["state"] for each in house.claims()] == ["dropped"]


def test_beyond_so_many_messages_the_rest_is_summed_up_in_one(house: House) -> None:
    start = int(NOON.timestamp() * 1000)
    many = [
        Message(
            f"event-{n}", "web", "critical" if n == 7 else "major", f"title {n}", "", start, start + 1, "explorer", about=str(n)
        )
        for n in range(MOST + 5)
    ]
    claims.claim(house.client, house.alert(), many, "open", due=LATER, now=LATER)
    assert house.tell(house.nothing())["told"] == MOST + 5
    assert len(house.sent) == MOST + 1
    assert house.sent[0].event_id == "event-7", "the worst first"
    assert house.sent[-1].title == "5 more incidents of web"
    assert house.tell(house.nothing())["told"] == 0


def test_each_anomalous_bucket_is_told_where_records_are_asked_for(house: House) -> None:
    documents = []
    for n, score in enumerate([80.0, 60.0, 20.0]):
        found = _record(n, "/cart", score)
        found["driftline"] |= {"job_version": house.job.version, "sentence": "17 times lower than expected"}
        found |= {"job_id": house.job.job_id, "result_type": "record", "bucket_span": 300}
        documents.append((f"{house.prefix}{n}", found["timestamp"], orjson.dumps(found)))
    window = Window(NOON, NOON + 3 * SPAN)
    results.replace(house.client, house.job, window, documents, types=["record"])
    findings = Findings(house.client, "run", job=house.job, window=window)
    assert house.tell(findings, house.alert(tells="record"))["told"] == 2
    assert [each.severity for each in house.sent] == ["critical", "major"]


def _report(house: House, verdict: str, *, run: str = "run", hour: int = 0, kind: str = "job") -> None:
    check = CheckResult("volume", "x", verdict, "2 documents", "about 34", "Far less than usual.", 1, [])  # type: ignore[arg-type]
    window = Window(NOON + timedelta(hours=hour - 1), NOON + timedelta(hours=hour))
    write_report(house.client, Report(kind, house.job.job_id, "score" if kind == "job" else "ingest", window, [check], run))


@pytest.mark.parametrize(("verdict", "severity"), [("warn", "minor"), ("stop", "critical")])
def test_what_the_gate_says_is_told_once_a_day(house: House, verdict: str, severity: str) -> None:
    alert = house.alert(tells="quality", min_severity="minor")
    told = []
    for hour in (0, 1, 24):
        _report(house, verdict, hour=hour, run=f"run {hour}")
        found = Findings(house.client, f"run {hour}", job=house.job)
        told.append(house.tell(found, alert, owner=f"run {hour}", now=LATER + timedelta(days=1))["told"])
    assert told == [1, 0, 1]
    assert {each.severity for each in house.sent} == {severity}
    assert house.sent[0].text == "volume: Far less than usual."


def test_a_verdict_of_another_run_and_a_pass_are_not_told(house: House) -> None:
    _report(house, "stop", run="another")
    _report(house, "pass", hour=2)
    found = Findings(house.client, "run", job=house.job)
    assert house.tell(found, house.alert(tells="quality", min_severity="warning")) == {"claimed": 0, "told": 0}


def test_a_verdict_is_told_however_many_other_runs_have_said_something_since(house: House) -> None:
    _report(house, "stop")
    for hour in range(1, 26):
        _report(house, "warn", run="another", hour=hour)
    found = Findings(house.client, "run", job=house.job)
    assert house.tell(found, house.alert(tells="quality", min_severity="minor"))["told"] == 1


def test_bad_rows_of_old_files_are_told_when_they_come(house: House) -> None:
    _report(house, "stop", kind="source")
    found = Findings(house.client, "run", source_id=house.job.job_id)
    assert house.tell(found, house.alert(tells="quality"), now=datetime.now(UTC))["told"] == 1
    assert "quality gate of ingest stopped the run" in house.sent[0].title


def test_a_broken_alert_is_said_after_all_others_were_told(house: House) -> None:
    alert = house.alert()
    entries = [Entry("broken", "b.yaml", None, "b.yaml: channel: required"), Entry(alert.alert_id, "a.yaml", alert)]
    with pytest.raises(DefinitionError, match=r"b\.yaml: channel: required"):
        tell(house.client, house.found(0), house.send, owner="run", alerts=entries, now=LATER)
    assert len(house.sent) == 1
