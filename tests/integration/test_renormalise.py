"""Renormalisation of stored results: what a host has every other day is worth less than what another has once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import FEEDBACK, RESULTS
from driftline.pipeline import jobs
from driftline.pipeline.explain import explain
from driftline.pipeline.feedback import give_feedback
from driftline.pipeline.renormalise import renormalise
from driftline.pipeline.score import score
from driftline.pipeline.train import train
from driftline.scoring.score import from_score

if TYPE_CHECKING:
    from collections.abc import Iterator

START, HOUR, DAY = datetime(2026, 3, 2, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
TRAINED, END = START + 14 * DAY, START + 28 * DAY
WHOLE = Window(TRAINED, END)
OFTEN = [START + (14 + 2 * number) * DAY + 10 * HOUR for number in range(7)]
ONCE = START + 17 * DAY + 15 * HOUR
HOSTS = {"often": 30, "once": 30}


def rows() -> Iterator[dict[str, Any]]:
    rng, at = np.random.default_rng(4), START
    while at < END:
        for host, level in HOSTS.items():
            planted = 300 if (host == "often" and at in OFTEN) or (host == "once" and at == ONCE) else 0
            for _ in range(int(rng.poisson(level)) + planted):
                yield {"@timestamp": int(at.timestamp() * 1000) + int(rng.integers(3_600_000)), "host": host}
        at += HOUR


@pytest.fixture(scope="module")
def job(client, module_prefix) -> Iterator[Job]:
    index = f"{module_prefix}logs"
    fields = {"@timestamp": {"type": "date"}, "host": {"type": "keyword"}}
    client.indices.create(index=index, mappings={"properties": fields}, settings={"number_of_replicas": 0})
    bulk(client, (index_action(index, None, row) for row in rows()))
    client.indices.refresh(index=index)
    definition = {
        "job_id": f"{module_prefix}web", "bucket_span": "1h",
        "detectors": [{"function": "count", "partition_field_name": "host"}], "influencers": ["host"],
        "datafeed": {"indices": [index], "on_request": True}, "training": {"window": "14d", "schedule": "none"},
    }  # fmt: skip
    made = Job.parse(definition, where="test")
    jobs.save(client, made)
    train(client, made, as_of=TRAINED)
    yield made
    results.delete(client, FEEDBACK, {"term": {"job_id": made.job_id}})
    jobs.delete(client, made.job_id)


def stored(client: Any, job: Job) -> dict[str, dict[str, Any]]:
    client.indices.refresh(index=f"{RESULTS}-*")
    return {hit["_id"]: hit["_source"] for hit in results.scan(client, {"term": {"job_id": job.job_id}})}


def at(documents: dict[str, dict[str, Any]], kind: str, host: str | None, moment: datetime) -> dict[str, Any]:
    names = ("partition_field_value", "influencer_field_value")
    (found,) = [
        each
        for each in documents.values()
        if each["result_type"] == kind
        and each["timestamp"] == moment.timestamp() * 1000
        and (host is None or host in [each.get(name) for name in names])
    ]
    return found


def test_what_comes_again_is_lowered_once_and_what_came_once_is_not(client, job):
    score(client, job, window=WHOLE)
    before = stored(client, job)
    again = [at(before, "record", "often", moment) for moment in OFTEN]
    assert min(each["record_score"] for each in again) > 75
    assert renormalise(client, job) > 0
    after = stored(client, job)
    assert renormalise(client, job) == 0, "the same results, the same scores"
    assert after.keys() == before.keys()
    lowered = {kind: [at(after, kind, host, moment) for moment in OFTEN] for kind, host in
               {"record": "often", "event": "often", "influencer": "often", "bucket": None}.items()}  # fmt: skip
    fields = {"record": "record_score", "event": "anomaly_score", "influencer": "influencer_score", "bucket": "anomaly_score"}
    for kind, found in lowered.items():
        name = fields[kind]
        losses = sorted(each[f"initial_{name}"] - each[name] for each in found)
        assert losses[0] == 0 or kind == "bucket", f"{kind}: the worst of its group has no equal"
        assert losses[-1] >= 0.5, kind
    for each in lowered["bucket"]:
        assert {part["anomaly_score"] <= each["anomaly_score"] for part in each["bucket_influencers"]} == {True}
    for kind in ("record", "event", "influencer"):
        assert at(after, kind, "once", ONCE) == at(before, kind, "once", ONCE)

    def alarms(documents: dict[str, dict[str, Any]]) -> set[str]:
        events = {id_: each["driftline"]["event"]["alarm"] for id_, each in documents.items() if each["result_type"] == "event"}
        return {id_ for id_, alarm in events.items() if alarm}

    assert alarms(after) == alarms(before)
    initial = {id_: each.get("initial_record_score") for id_, each in after.items()}
    assert initial == {id_: each.get("initial_record_score") for id_, each in before.items()}

    # what is scored beside lowered records derives from what they were
    score(client, job, window=Window(OFTEN[3] + 2 * HOUR, OFTEN[3] + 6 * HOUR))
    beside = stored(client, job)
    events = {id_: each for id_, each in before.items() if each["result_type"] == "event"}
    touched = at(before, "event", "often", OFTEN[3])
    assert touched in [each for id_, each in beside.items() if id_ in events], "an event is what it was, until the next night"
    least = min((at(after, "record", "often", moment) for moment in OFTEN), key=lambda each: each["record_score"])
    told = explain(client, job, "often", least["timestamp"] / 1000)["series"][0]["conclusion"]
    assert f"scores {least['initial_record_score']:.0f}" in told
    assert f"shown with {least['record_score']:.0f} since the like came again" in told


def test_a_longer_silence_raises_them_again_and_zero_days_change_nothing(client, job):
    score(client, job, window=WHOLE)
    assert renormalise(client, job.model_copy(update={"renormalization_window_days": 0})) == 0
    renormalise(client, job)
    most = stored(client, job)
    # of the last four days only the last two of the seven are known
    renormalise(client, job.model_copy(update={"renormalization_window_days": 4}))
    few = stored(client, job)
    newest = [at(few, "record", "often", moment)["record_score"] for moment in OFTEN[-2:]]
    assert sum(newest) >= sum(at(most, "record", "often", moment)["record_score"] for moment in OFTEN[-2:])
    for moment in OFTEN[:3]:
        assert at(few, "record", "often", moment) == at(most, "record", "often", moment), "older than the window"


def test_what_a_training_saw_is_lowered_when_it_is_scored_and_not_again_for_the_same(client, job):
    train(client, job, as_of=START + 18 * DAY)  # with two of them, two days apart
    score(client, job, window=Window(START + 18 * DAY, END))
    before = stored(client, job)
    found = [at(before, "record", "often", moment) for moment in OFTEN[2:]]
    lowered = [each for each in found if each["driftline"].get("damped") == "recurring"]
    assert lowered, "one of five is the least of seven"
    for each in lowered:
        said = each["driftline"]["recurring"]
        assert said["times"] == 2
        assert said["surprise"] - np.log10(1 + 2 / 0.5) == pytest.approx(
            float(from_score(each["record_score"], job.bucket_span)), abs=0.05
        )
        assert "as unusual 2 times in the weeks that were learned from" in each["driftline"]["sentence"]
    renormalise(client, job)
    after = stored(client, job)

    def alone(record: dict[str, Any]) -> float:
        return record["driftline"].get("recurring", {}).get("surprise") or float(
            from_score(record["initial_record_score"], job.bucket_span)
        )

    surprises = [alone(at(after, "record", "often", moment)) for moment in OFTEN]
    for each in lowered:
        moment = datetime.fromtimestamp(each["timestamp"] / 1000, UTC)
        now = at(after, "record", "often", moment)
        others = sum(other >= alone(each) for other in surprises) - 1
        least = alone(each) - np.log10(1 + others / 0.5) - 0.05
        assert from_score(now["record_score"], job.bucket_span) >= min(
            least, from_score(each["record_score"], job.bucket_span)
        ), "lowered once"
        assert now["initial_record_score"] == each["record_score"]
        for kind, score_of in (("event", "anomaly_score"), ("influencer", "influencer_score")):
            derived = at(after, kind, "often", moment)
            assert derived["driftline"]["recurring"]["times"] == 2
            assert from_score(derived[score_of], job.bucket_span) >= min(
                least, from_score(derived[f"initial_{score_of}"], job.bucket_span)
            ), kind

    # what was learned from has no history in that snapshot: it would be its own
    score(client, job, window=Window(START + 14 * DAY, START + 18 * DAY))
    learned = [at(stored(client, job), "record", "often", moment) for moment in OFTEN[:2]]
    assert [each["driftline"].get("damped") for each in learned] == [None, None]


def test_what_people_judged_keeps_what_that_gave_it(client, job):
    score(client, job, window=WHOLE)
    first = next(id_ for id_, each in stored(client, job).items() if each == at(stored(client, job), "record", "often", OFTEN[0]))
    give_feedback(client, job.job_id, first, "nothing")
    score(client, jobs.load_job(job.job_id, client), window=WHOLE)
    judged = [
        id_ for id_, each in stored(client, job).items() if "feedback" in each["driftline"] and each["result_type"] == "record"
    ]
    assert len(judged) == len(OFTEN) - 1
    before = stored(client, job)
    renormalise(client, job)
    assert all(stored(client, job)[id_] == before[id_] for id_ in judged)
