"""Every public job of Elastic's that is at hand: it is taken over, trained and scored, and finds what was planted for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from driftline.core.paths import ROOT
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.imports import import_jobs
from driftline.pipeline.jobs import reset
from driftline.pipeline.score import score
from driftline.pipeline.train import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from driftline.core.job import Job

PLACES = [top / "shared" / "data" / "elastic_jobs" for top in ROOT.parents]
SHARED = next((place for place in PLACES if place.exists()), PLACES[0])
pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="Elastic's job files are not there")
START, DAYS = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=16)
TRAINED = timedelta(days=15)
PLANTED = START + timedelta(days=15, hours=12)
STEP = timedelta(minutes=15)
NAMES = [
    str(path.relative_to(SHARED))
    for path in sorted(SHARED.rglob("*.json"))
    if "feed" not in path.name and path.name != "manifest.json"
]


def matching(query: dict[str, Any]) -> dict[str, Any]:
    """Fields of a document that a query finds, whatever else is in it."""
    out: dict[str, Any] = {}
    for kind, said in query.items():
        if kind == "bool":
            for clause in ("filter", "must", "should"):
                parts = said.get(clause) or []
                parts = parts if isinstance(parts, list) else [parts]
                for part in parts[:1] if clause == "should" else parts:
                    out |= matching(part)
        elif kind in ("term", "match", "match_phrase"):
            out |= {name: value["value"] if isinstance(value, dict) else value for name, value in said.items()}
        elif kind == "terms":
            out |= {name: values[0] for name, values in said.items()}
        elif kind == "exists":
            out.setdefault(said["field"], "there")
        else:
            assert kind == "match_all", f"{kind} is not known here"
    return out


def documents(job: Job) -> Iterator[dict[str, Any]]:
    """Sixteen quiet days but for one bucket: there, what is rare is new, and what is measured is twenty times as much."""
    rng, detector = np.random.default_rng(1), job.detectors[0]
    fixed = matching(job.datafeed.query)
    split = {detector.partition_field_name, detector.by_field_name, *job.influencers} - {None}
    rare = detector.by_field_name if detector.spec.family == "rare" else None
    for step in range(DAYS // STEP):
        at = START + step * STEP
        planted = PLANTED <= at < PLANTED + max(job.bucket_span, STEP)
        for kind in range(4):
            strange = planted and kind == 1
            for _ in range(_documents(job, planted, strange)):
                document: dict[str, Any] = {name: f"v{kind}" for name in split if name}
                if detector.over_field_name:
                    document[detector.over_field_name] = f"member-{rng.integers(0, 300)}"
                document |= fixed
                document[job.time_field] = int((at + rng.random() * STEP).timestamp() * 1000)
                if detector.field_name:
                    document[detector.field_name] = float(rng.normal(100, 5)) * (20 if strange else 1)
                if rare and strange:
                    document[rare] = "never-before"
                yield document


def _documents(job: Job, planted: bool, strange: bool) -> int:
    detector = job.detectors[0]
    if planted and detector.spec.side == "low":
        return 1
    return 60 * max(1, STEP // job.bucket_span) if strange and not detector.spec.needs_field else 6


def mapping(job: Job) -> dict[str, Any]:
    """All strings are keywords."""
    text = {"match_mapping_type": "string", "mapping": {"type": "keyword"}}
    return {"properties": {job.time_field: {"type": "date"}}, "dynamic_templates": [{"text": text}]}


def imported(path: Path) -> Job:
    """The job of a file, with its datafeed, which may be in another folder."""
    folder = path.parent if "job_configs" not in path.parts else path.parents[1]
    folder = path if path.parent == SHARED else folder
    (job,) = [each.job for each in import_jobs(None, [folder], index_pattern="any-*") if each.file == str(path)]
    assert job is not None
    return job


@pytest.mark.parametrize("name", NAMES)
def test_a_public_job_is_taken_over_and_finds_what_was_planted(client, module_prefix, name):
    job = imported(SHARED / name)
    index = f"{module_prefix}{NAMES.index(name)}"
    client.indices.create(index=index, mappings=mapping(job), settings={"number_of_replicas": 0})
    bulk(client, (index_action(index, None, document) for document in documents(job)))
    client.indices.refresh(index=index)
    feed = job.datafeed.model_copy(update={"indices": [index], "on_request": True})
    job = job.model_copy(update={"job_id": index, "datafeed": feed})
    try:
        trained = train(client, job, as_of=START + TRAINED)
        assert trained["promoted"], trained["reason"]
        score(client, job, window=Window(START + TRAINED, START + DAYS))
        alarms = [event for event in results.of_type(client, job.job_id, "event") if event["driftline"]["event"]["alarm"]]
        width = max(job.bucket_span, STEP).total_seconds() * 1000
        inside = [0 <= event["timestamp"] - PLANTED.timestamp() * 1000 < width for event in alarms]
        assert inside, "nothing was found"
        assert all(inside), "there are false alarms"
        if job.detectors[0].spec.family == "rare":
            assert results.top_records(client, job.job_id, limit=1)[0]["by_field_value"] == "never-before"
    finally:
        reset(client, job.job_id)
        client.indices.delete(index=index)
