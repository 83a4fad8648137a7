"""Estimates against a real run, and what `jobs validate` notes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import perf_counter

import numpy as np
import orjson
import pytest
from test_cli import run

from driftline.bench.fleet import filled
from driftline.bench.measure import PeakRss
from driftline.core.job import Job
from driftline.core.timespan import Window
from driftline.elastic import snapshots
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.estimate import PROCESS, WITHIN, estimate
from driftline.pipeline.looks import advice
from driftline.pipeline.score import score
from driftline.pipeline.train import train

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def within(estimated, real):
    return real / WITHIN <= estimated <= real * WITHIN


def timed(work):
    """What it gives, and the shortest of three times: whatever else the machine does makes a run longer, never shorter."""
    took = []
    for _ in range(3):
        begun = perf_counter()
        outcome = work()
        took.append(perf_counter() - begun)
    return outcome, min(took)


@pytest.mark.parametrize(("series", "points", "freq"), [(300, 336, "1h"), (40, 1344, "15m")])
def test_an_estimate_is_what_a_run_turns_out_to_be_within_its_factor(client, series, points, freq):
    with filled(client, series=series, points=points, more=0, freq=freq) as fleet:
        job, end = fleet.job, fleet.data.end
        told = estimate(client, job)
        assert (told["documents"], told["series"], told["buckets"]) == (series * points, series, points)
        assert told["values"] == series * points
        assert told["bytes"]["train"] > PROCESS
        train(client, job, as_of=end - DAY, run="warm")  # imports, and the store
        with PeakRss() as memory:
            outcome, seconds = timed(lambda: train(client, job, as_of=end - DAY, run="measured"))
        score(client, job, window=Window(end - 2 * DAY, end - DAY))  # imports
        _, scoring = timed(lambda: score(client, job, window=Window(end - DAY, end)))
        manifest = snapshots.find(snapshots.manifests(client, job.job_id), outcome["snapshot_id"], job.job_id)
        size = sum(len(orjson.dumps(chunk)) for chunk in snapshots.chunks(client, manifest))
        again = estimate(client, job)  # the machine may have become slower or faster meanwhile
        each = estimate(client, job, speed=1000.0)["seconds"]  # in milliseconds: these are not rounded to a tenth
    assert within(told["bytes"]["snapshot"], size)
    assert told["bytes"]["train"] - PROCESS <= WITHIN * max(memory.mb * 1e6, 20e6)  # what was freed before is used again
    assert memory.mb * 1e6 <= told["bytes"]["train"]
    speeds = sorted([told["speed"], again["speed"]])
    for name, real in (("train", seconds), ("score", scoring)):
        one = each[name] / 1000
        assert real / WITHIN <= one * speeds[1], name
        assert one * speeds[0] <= real * WITHIN, name


def index(client, name, documents):
    words = {"words": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}
    client.indices.create(index=name, mappings={"properties": {"@timestamp": {"type": "date"}}, "dynamic_templates": [words]})
    bulk(client, (index_action(name, None, document) for document in documents))
    client.indices.refresh(index=name)
    return name


def job_of(name, **changes):
    detector = {"function": "count", **changes.pop("detector", {})}
    return Job.parse({"job_id": name, "detectors": [detector], "datafeed": {"indices": name}, **changes}, where="test")


def events(count, days, first=START):
    rng = np.random.default_rng(2)
    for number in range(count):
        at = first + number * (timedelta(days=days) / count)
        yield {"@timestamp": at.isoformat(), "unique": f"u{number}", "kind": f"k{rng.integers(0, 5)}", "user": f"n{number % 900}"}


@pytest.fixture(scope="module")
def plain(client, module_prefix):
    return index(client, f"{module_prefix}plain", events(9000, 16))


def test_a_job_that_suits_its_data_gets_no_note(client, plain):
    assert advice(client, job_of(plain, bucket_span="1h", influencers=["kind"])) == []


def test_a_span_that_is_too_short_is_noted_with_a_better_one(client, plain):
    (note,) = advice(client, job_of(plain, bucket_span="1m", detector={"partition_field_name": "kind"}))
    assert "bucket_span 1m is short" in note
    assert "30m suits" in note or "1h suits" in note


def test_more_series_than_the_job_keeps_are_noted_and_sparse_ones(client, plain):
    job = job_of(plain, bucket_span="1d", detector={"partition_field_name": "user"}, training={"max_partitions": 500})
    many, sparse = (note for note in advice(client, job) if "user" in note)
    assert "900 values, more than training.max_partitions (500)" in many
    assert "fewer documents than training.min_buckets" in sparse


def test_an_influencer_that_is_never_the_same_is_noted(client, plain):
    (note,) = advice(client, job_of(plain, bucket_span="1h", influencers=["kind", "unique"]))
    assert note.startswith("influencer unique ")


def test_no_history_too_little_and_less_than_asked_for_are_noted(client, plain, prefix):
    nothing = job_of(plain, datafeed={"indices": plain, "query": {"term": {"kind": "none"}}})
    assert advice(client, nothing)[0].startswith("no history")
    short = index(client, f"{prefix}short", events(300, 0.1))
    assert advice(client, job_of(short, bucket_span="1h"))[0].startswith("too little history")
    few = index(client, f"{prefix}few", events(3000, 5))
    assert "training.min_history is 14d" in advice(client, job_of(few, bucket_span="1h"))[0]


def test_time_in_the_future_is_noted(client, prefix):
    ahead = index(client, f"{prefix}ahead", events(9000, 17, first=datetime.now(UTC) - timedelta(days=16)))
    (note,) = advice(client, job_of(ahead, bucket_span="1h"))
    assert "in the future" in note


def test_combinations_of_split_fields_are_counted(client, plain):
    job = job_of(plain, bucket_span="1h", detector={"partition_field_name": "kind", "by_field_name": "user"})
    told = estimate(client, job, speed=1.0)
    (split,) = told["splits"]
    assert (split["fields"], split["complete"]) == (["kind", "user"], True)
    assert split["combinations"] == told["series"] == len({(e["kind"], e["user"]) for e in events(9000, 16)})
    assert told["fields"]["kind"]["values"] == 5


def test_the_commands_tell_people_and_machines(plain, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_bytes(orjson.dumps(job_of(plain, bucket_span="1m", influencers=["unique"]).as_dict()))
    spoken = run("jobs", "estimate", file)
    assert spoken.returncode == 0, spoken.stderr
    assert "good to a factor of 3" in spoken.stdout
    (told,) = orjson.loads(run("jobs", "estimate", file, "--json").stdout)
    assert told["bucket_span"]["now"] == "1m"
    (checked,) = orjson.loads(run("jobs", "validate", file, "--json").stdout)
    assert checked["valid"]
    assert len(checked["notes"]) == 2


def test_an_aggregating_datafeed_is_refused_with_a_reason(plain, tmp_path):
    histogram = {
        "date_histogram": {"field": "@timestamp", "fixed_interval": "1h"},
        "aggs": {"@timestamp": {"max": {"field": "@timestamp"}}},
    }
    job = {
        **job_of(plain, bucket_span="1h").as_dict(),
        "summary_count_field_name": "doc_count",
        "datafeed": {"indices": [plain], "aggregations": {"buckets": histogram}},
    }
    file = tmp_path / "job.yaml"
    file.write_bytes(orjson.dumps(job))
    done = run("jobs", "estimate", file, "--json")
    assert done.returncode == 2, done.stdout
    assert "aggregates" in orjson.loads(done.stdout)["what"]
