"""Feedback: what is said of a record changes the scores of what is like it, visibly, and until it is taken back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from driftline.cli.app import app
from driftline.core.errors import DataError, DefinitionError
from driftline.core.job import Job
from driftline.core.timespan import Window, iso
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import FEEDBACK, RESULTS
from driftline.pipeline import jobs
from driftline.pipeline.explain import explain
from driftline.pipeline.feedback import give_feedback, list_feedback, revoke_feedback
from driftline.pipeline.score import score
from driftline.pipeline.suppressions import listed, remove, suppress
from driftline.pipeline.train import train
from driftline.scoring.settings import ALARM_SCORE

if TYPE_CHECKING:
    from collections.abc import Iterator

START, HOUR, DAY = datetime(2026, 3, 2, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
TRAINED, END = START + 14 * DAY, START + 19 * DAY
WHOLE = Window(TRAINED, END)
FIRST, AGAIN, LARGER = (START + day * DAY + 10 * HOUR for day in (14, 16, 18))
SOON = AGAIN + 6 * HOUR  # no worse within a day: it would not alarm by itself
HOSTILE = "c*[x] \"'<b>\x1b[31m\n{}"
# (host, when, how many more than usual)
PLANTED = {
    ("a", FIRST): 300, ("a", AGAIN): 300, ("a", SOON): 300, ("a", LARGER): 900, ("b", AGAIN): 150,
    (HOSTILE, FIRST): 44, (HOSTILE, FIRST + 3 * DAY): 36,
}  # fmt: skip
HOSTS, USERS = {"a": 30, "b": 12, HOSTILE: 30}, 60


def hours() -> Iterator[dict[str, Any]]:
    """Three hosts, and sixty users of them, one of whom is behind what is planted at the first."""
    rng, at = np.random.default_rng(4), START
    while at < END:
        stamp = int(at.timestamp() * 1000)
        for host, level in HOSTS.items():
            for _ in range(int(rng.poisson(level)) + PLANTED.get((host, at), 0)):
                user = (
                    "u42"
                    if host == "a" and rng.random() < (0.9 if (host, at) in PLANTED else 0.001)
                    else f"u{rng.integers(USERS)}"
                )
                yield {"@timestamp": stamp + int(rng.integers(3_600_000)), "host": host, "user": user}
        at += HOUR


@pytest.fixture(scope="module")
def job(client, module_prefix) -> Iterator[Job]:
    """A job that is trained, and stored, so that it is known by its id."""
    index = f"{module_prefix}logs"
    fields = {"@timestamp": {"type": "date"}, "host": {"type": "keyword"}, "user": {"type": "keyword"}}
    client.indices.create(index=index, mappings={"properties": fields}, settings={"number_of_replicas": 0})
    bulk(client, (index_action(index, None, row) for row in hours()))
    client.indices.refresh(index=index)
    definition = {
        "job_id": f"{module_prefix}web",
        "bucket_span": "1h",
        "detectors": [{"function": "count", "partition_field_name": "host"}, {"function": "count", "over_field_name": "user"}],
        "influencers": ["host"],
        "datafeed": {"indices": [index], "on_request": True},
        "training": {"window": "14d", "schedule": "none"},
    }
    made = Job.parse(definition, where="test")
    jobs.save(client, made)
    train(client, made, as_of=TRAINED)
    yield made
    jobs.delete(client, made.job_id)


@pytest.fixture(autouse=True)
def unsaid(client, job):
    """What a test says is forgotten after it."""
    yield
    results.delete(client, FEEDBACK, {"term": {"job_id": job.job_id}})
    for each in listed(client, job.job_id):
        remove(client, each["id"])


def scored(client: Any, job: Job, *windows: Window) -> dict[str, dict[str, Any]]:
    """All results of the whole time, once these windows are scored with what is known by now."""
    for window in windows or (WHOLE,):
        score(client, jobs.load_job(job.job_id, client), window=window)
    client.indices.refresh(index=f"{RESULTS}-*")
    return {hit["_id"]: hit["_source"] for hit in results.scan(client, {"term": {"job_id": job.job_id}})}


def find(documents: dict[str, dict[str, Any]], host: str, at: datetime, kind: str = "record") -> tuple[str, dict[str, Any]]:
    """The result of a host, or of a user, at a time."""
    ((id_, document),) = [
        (id_, each)
        for id_, each in documents.items()
        if each["result_type"] == kind
        and host in (each.get("partition_field_value"), each.get("over_field_value"))
        and each["timestamp"] == at.timestamp() * 1000
    ]
    return id_, document


def alarms(documents: dict[str, dict[str, Any]], host: str, at: datetime) -> bool:
    """Whether an event that begins then alarms."""
    return find(documents, host, at, "event")[1]["driftline"]["event"]["alarm"]


def run(*words: str) -> Any:
    """A command's answer."""
    found = CliRunner().invoke(app, [*words, "--json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.output)


def said(*words: str) -> str:
    """What a command tells people."""
    found = CliRunner().invoke(app, [*words], env={"COLUMNS": "400"})
    assert found.exit_code == 0, found.output
    return found.output


def test_what_is_like_nothing_is_damped_and_what_is_clearly_worse_is_not(client, job):
    before = scored(client, job)
    id_, record = find(before, "a", FIRST)
    assert [alarms(before, "a", at) for at in (FIRST, AGAIN, LARGER)] == [True, True, True]
    given = run("feedback", job.job_id, id_[:10], "nothing", "--by", "ana", "--note", "load test")
    assert given["record_id"] == id_
    assert given["deviation"] == pytest.approx(record["actual"][0] - record["typical"][0], rel=1e-4)
    after = scored(client, job)
    _, damped = find(after, "a", AGAIN)
    _, raw = find(before, "a", AGAIN)
    assert damped["record_score"] < 25
    assert damped["initial_record_score"] == raw["record_score"] == damped["driftline"]["feedback"]["before"]
    assert damped["probability"] == raw["probability"]
    told = f"damped: said to be nothing on {given['created'][:10]} by ana"
    assert damped["driftline"]["feedback"] == {
        "id": given["_id"], "verdict": "nothing", "record": id_, "before": raw["record_score"], "said": told,
    }  # fmt: skip
    assert damped["driftline"]["sentence"].endswith(f"; {told}")
    event = find(after, "a", AGAIN, "event")[1]
    assert not event["driftline"]["event"]["alarm"]
    assert event["driftline"]["feedback"] == damped["driftline"]["feedback"]
    assert event["driftline"]["sentence"].endswith(f"; {told}")
    for host, at in (("a", FIRST), ("a", LARGER), ("b", AGAIN), ("u42", AGAIN)):
        assert find(after, host, at) == find(before, host, at), "itself, what is three times as large, other series"
        assert alarms(after, host, at)
    revoked = run("feedback", job.job_id, "--revoke", given["_id"], "--by", "bob")
    assert revoked["revoked_by"] == "bob"
    assert scored(client, job) == before


def test_pieces_in_any_order_are_a_straight_run(client, job):
    before = scored(client, job)
    for host, verdict in (("a", "nothing"), (HOSTILE, "real")):
        give_feedback(client, job.job_id, find(before, host, FIRST)[0], verdict)
    straight = scored(client, job)
    assert straight != before
    results.delete(client, f"{RESULTS}-*", {"term": {"job_id": job.job_id}})
    edges = [TRAINED, FIRST + HOUR, AGAIN, AGAIN + 3 * HOUR, LARGER + HOUR, END]
    pieces = [Window(*edge) for edge in pairwise(edges)]
    assert scored(client, job, *(pieces[number] for number in (3, 0, 4, 2, 1))) == straight


def test_what_is_like_something_real_alarms_though_it_is_minor_or_comes_soon(client, job):
    before = scored(client, job)
    weaker = FIRST + 3 * DAY
    assert 25 <= find(before, HOSTILE, weaker)[1]["record_score"] < ALARM_SCORE
    assert not alarms(before, HOSTILE, weaker)
    assert not alarms(before, "a", SOON), "within a day, and no worse"
    for host in ("a", HOSTILE):
        give_feedback(client, job.job_id, find(before, host, FIRST)[0], "real", by="ana")
    after = scored(client, job)
    _, raised = find(after, HOSTILE, weaker)
    assert raised["record_score"] == ALARM_SCORE
    assert raised["initial_record_score"] == find(before, HOSTILE, weaker)[1]["record_score"]
    assert "; raised: said to be real on " in raised["driftline"]["sentence"]
    assert alarms(after, HOSTILE, weaker)
    assert alarms(after, "a", SOON)
    assert find(after, "a", SOON)[1]["record_score"] == find(before, "a", SOON)[1]["record_score"]
    loaded = jobs.load_job(job.job_id, client)
    (told,) = explain(client, loaded, HOSTILE, weaker)["series"]
    assert told["conclusion"].startswith("An anomaly that alarms")
    assert "said to be real" in told["conclusion"]
    (soon,) = explain(client, loaded, "a", SOON)["series"]
    assert soon["suppressed"] == []


def test_of_a_population_one_member_is_damped_and_no_other(client, job):
    before = scored(client, job)
    give_feedback(client, job.job_id, find(before, "u42", FIRST)[0], "nothing")
    after = scored(client, job)
    assert alarms(before, "u42", AGAIN)
    assert not alarms(after, "u42", AGAIN)
    assert find(after, "u42", AGAIN)[1]["record_score"] < 25
    changed = {id_ for id_, each in after.items() if each["result_type"] == "record" and each != before.get(id_)}
    assert {after[id_].get("over_field_value") for id_ in changed} == {"u42"}


def test_it_is_seen_wherever_results_are_shown(client, job):
    before = scored(client, job)
    id_, _ = find(before, "a", FIRST)
    at, note = ["--start", iso(FIRST), "--end", iso(AGAIN + HOUR)], "it [red]was[/red] \x1b[31mme\n"
    run("feedback", job.job_id, find(before, "a", FIRST, "event")[0], "nothing", "--by", "<b>[bold]eve", "--note", note)
    (listed,) = run("feedback", job.job_id, "--list")
    assert (listed["record_id"], listed["note"], listed["created_by"]) == (id_, note, "<b>[bold]eve"), "its event stands for it"
    scored(client, job)
    shown = {each["_id"]: each for each in run("anomalies", job.job_id, "--limit", "100")}
    assert shown[id_]["feedback"]["verdict"] == "nothing"
    assert shown[find(before, "a", AGAIN)[0]]["driftline"]["damped"] == "feedback"
    words = (
        said("anomalies", job.job_id, "--limit", "100", *at)
        + said("events", job.job_id, "--all", *at)
        + said("feedback", job.job_id, "--list")
    )
    assert "[nothing, says <b>[bold]eve]" in words
    assert words.count("damped: said to be nothing on ") == 2
    assert "it [red]was[/red] " in words
    assert "\x1b[31m" not in words
    (told,) = explain(client, jobs.load_job(job.job_id, client), "a", AGAIN)["series"]
    assert told["suppressed"][0]["rule"] == "feedback"
    assert "but no alarm" in told["conclusion"]
    assert "said to be nothing" in told["conclusion"]
    assert "said to be nothing" in said("explain", job.job_id, "--partition", "a", "--at", iso(AGAIN))
    assert explain(client, jobs.load_job(job.job_id, client), "a", FIRST)["series"][0]["feedback"]["verdict"] == "nothing"


def test_a_record_has_one_verdict_and_the_last_word_counts(client, job):
    id_, _ = find(scored(client, job), "a", FIRST)
    for verdict in ("nothing", "real", "nothing"):
        give_feedback(client, job.job_id, id_, verdict)
    assert [each["verdict"] for each in list_feedback(client, job.job_id)] == ["nothing"]
    revoke_feedback(client, job.job_id, id_)
    assert list_feedback(client, job.job_id, revoked=False) == []
    assert [bool(each["revoked"]) for each in list_feedback(client, job.job_id)] == [True]
    give_feedback(client, job.job_id, id_, "real")
    assert [each.word for each in jobs.load_job(job.job_id, client).known.feedback] == ["real"]


def test_mistakes_are_told(client, job):
    id_, _ = find(scored(client, job), "a", FIRST)
    for verdict, wrong, what in (
        ("maybe", id_, "'maybe' is no verdict"),
        ("real", "0" * 40, f"there is no record '{'0' * 40}'"),
        ("real", "../../_all", "there is no record"),
        ("real", "", "there is no record ''"),
        ("real", "\udcff" * 20, "there is no record"),
    ):
        with pytest.raises(DataError, match=what):
            give_feedback(client, job.job_id, wrong, verdict)
    with pytest.raises(DataError, match="the note has 2,001 characters"):
        give_feedback(client, job.job_id, id_, "real", note="x" * 2001)
    with pytest.raises(DefinitionError, match="there is no job 'nobody-knows'"):
        list_feedback(client, "nobody-knows")
    with pytest.raises(DataError, match="there is no feedback"):
        revoke_feedback(client, job.job_id, id_)
    found = CliRunner().invoke(app, ["feedback", job.job_id])
    assert isinstance(found.exception, DataError)
    assert give_feedback(client, job.job_id, id_, "real", note="caf\udce9", by="\udcff")["note"] == "caf?"


def test_some_series_are_suppressed_at_a_time_and_others_are_not(client, job):
    before = scored(client, job)
    when = ["--start", iso(FIRST), "--end", iso(FIRST + HOUR), "--reason", "[b]export[/b]"]
    plain = run("suppress", job.job_id, "--partition", "a", *when, "--every", "day")
    odd = run("suppress", job.job_id, "--partition", HOSTILE, "--detector", "0", *when)
    assert {plain["calendar_id"], odd["calendar_id"]} == {f"{job.job_id}-suppressions"}
    assert {each["id"] for each in run("suppress", job.job_id, "--list")} == {plain["id"], odd["id"]}
    shown = said("suppress", "--list")
    assert "[b]export[/b]" in shown
    assert "\x1b[31m" not in shown
    after = scored(client, job)
    records = {
        (each.get("partition_field_value"), each["timestamp"]) for each in after.values() if each["result_type"] == "record"
    }
    assert not {("a", at.timestamp() * 1000) for at in (FIRST, AGAIN, LARGER)} & records
    assert (HOSTILE, FIRST.timestamp() * 1000) not in records
    for host, at in (("b", AGAIN), ("u42", AGAIN)):
        assert find(after, host, at)[1]["record_score"] == find(before, host, at)[1]["record_score"]
    assert (HOSTILE, (FIRST + 3 * DAY).timestamp() * 1000) in records
    assert alarms(after, "a", SOON), "no other time, and now it is the first"
    (told,) = explain(client, jobs.load_job(job.job_id, client), "a", AGAIN)["series"]
    assert f"calendar '{job.job_id}-suppressions': [b]export[/b] (about a)" in told["conclusion"]
    assert run("suppress", "--remove", odd["id"])["removed"] == odd
    run("suppress", job.job_id, "--remove", plain["id"])
    assert run("suppress", job.job_id, "--list") == []
    assert scored(client, job) == before


def test_suppressions_that_come_at_once_are_all_kept(client, job):
    from concurrent.futures import ThreadPoolExecutor

    def add(number: int) -> str:
        event = {"description": f"number {number}", "start_time": iso(FIRST), "end_time": iso(END)}
        return str(suppress(client, job, **event)["id"])

    with ThreadPoolExecutor(3) as pool:
        made = set(pool.map(add, range(3)))
    assert {each["id"] for each in listed(client, job.job_id)} == made
    for each in made:
        remove(client, each)
    assert listed(client, job.job_id) == []


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--start", "now"], "JOB and --end and --reason must be given"),
        (["JOB", "--start", "now", "--end", "now-1h", "--reason", "x"], "lies before the start"),
        (["JOB", "--start", "now", "--end", "now+2d", "--every", "day", "--reason", "x"], "comes again every day"),
        (["JOB", "--start", "now", "--end", "now+1h", "--every", "year", "--reason", "x"], "every"),
        (["JOB", "--start", "now", "--end", "now+1h", "--detector", "7", "--reason", "x"], "there is no detector 7"),
        (["JOB", "--start", "now", "--end", "now+1h", "--partition", "\udcff", "--reason", "x"], "partitions"),
        (["--remove", "nothing"], "there is no suppression 'nothing'"),
    ],
)
def test_a_suppression_that_cannot_be_is_refused_in_words(client, job, words, what):
    found = CliRunner().invoke(app, ["suppress", *(job.job_id if word == "JOB" else word for word in words)])
    assert isinstance(found.exception, DefinitionError), found.exception
    assert what in str(found.exception)
    assert listed(client, job.job_id) == []
