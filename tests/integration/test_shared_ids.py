"""An id is of one kind of definition only: who comes second is refused and told, and loses nothing else by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from driftline.core.analysis import Analysis
from driftline.core.errors import DefinitionError
from driftline.core.job import Job
from driftline.core.signature import Signatures
from driftline.elastic.bulk import bulk, delete_action
from driftline.elastic.indices import JOBS
from driftline.pipeline import jobs, unfinished
from driftline.pipeline.imports import import_jobs
from driftline.pipeline.suggest import Proposal, keep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from elasticsearch import Elasticsearch


def job_of(name: str, **more: Any) -> Job:
    return Job.parse({"job_id": name, "detectors": [{"function": "count"}], "datafeed": {"indices": ["x"]}, **more}, where="test")


def analysis_of(name: str) -> Analysis:
    made = {"source": {"index": "x"}, "dest": {"index": f"{name}-out"}, "analysis": {"outlier_detection": {}}}
    return Analysis.parse({"analytics_id": name, **made}, where="test")


def signatures_of(name: str) -> Signatures:
    return Signatures.parse({"signature_id": name, "indices": "x", "term": "who"}, where="test")


@pytest.fixture
def names(client: Elasticsearch, prefix: str) -> Iterator[list[str]]:
    """Three ids; the second is that of an analysis. What is stored by them is removed."""
    made = [f"{prefix}{letter}" for letter in "abc"]
    jobs.save_analysis(client, analysis_of(made[1]))
    yield made
    kinds = ("job", "analytics", "signatures", unfinished.KIND)
    bulk(client, (delete_action(JOBS, f"{kind}:{name}") for kind in kinds for name in made))
    client.indices.refresh(index=JOBS)


def stored(client: Elasticsearch, names: list[str]) -> list[str]:
    return [each.id for each in jobs.list_definitions(client) if each.kind == "job" and each.id in names]


def write_exported(folder: Path, names: list[str]) -> None:
    for name in names:
        feed = {"datafeed_id": f"datafeed-{name}", "indices": ["x"]}
        analysis = {"bucket_span": "15m", "detectors": [{"function": "count"}]}
        about = {"data_description": {"time_field": "@timestamp"}, "datafeed_config": feed}
        (folder / f"{name}.json").write_text(json.dumps({"job_id": name, "analysis_config": analysis, **about}))


def test_an_import_refuses_what_has_an_id_that_is_taken_and_goes_on(
    client: Elasticsearch, names: list[str], tmp_path: Path
) -> None:
    write_exported(tmp_path, names)
    found = {each.job_id: each for each in import_jobs(client, [tmp_path])}
    assert [found[name].status == "refused" for name in names] == [False, True, False]
    assert f"'{names[1]}' is taken by analytics" in found[names[1]].notes[0]
    assert stored(client, names) == [names[0], names[2]]


def test_a_suggestion_with_an_id_that_is_taken_is_told_and_the_others_are_kept(client: Elasticsearch, names: list[str]) -> None:
    unfinished.keep(client, names[2], {"job_id": names[2]})
    told = keep(client, [Proposal(job_of(name), "") for name in names], save=True, folder=None)
    assert told[0] == f"{names[0]}: saved"
    assert ["is taken by analytics" in told[1], "is taken by job" in told[2]] == [True, True]
    assert stored(client, names) == names[:1]


def test_a_job_that_shares_its_id_since_before_that_was_refused_can_be_changed(client: Elasticsearch, names: list[str]) -> None:
    jobs.store(client, "job", names[1], job_of(names[1]))
    jobs.save(client, job_of(names[1], description="changed"))
    assert jobs.load_job(names[1], client).description == "changed"
    with pytest.raises(DefinitionError, match="is taken by job"):
        jobs.save_analysis(client, analysis_of(names[1]))


def test_what_a_job_found_stays_its_own_while_it_waits_for_a_datafeed(client: Elasticsearch, names: list[str]) -> None:
    unfinished.keep(client, names[0], {"job_id": names[0]})
    for kind in ("signatures", "analytics"):
        with pytest.raises(DefinitionError, match="is the id of a job: what was learned and found by it stays"):
            jobs.reset(client, names[0], kind=kind)
    for save, made in ((jobs.save_signatures, signatures_of(names[0])), (jobs.save_analysis, analysis_of(names[0]))):
        with pytest.raises(DefinitionError, match="is taken by job"):
            save(client, made)
    jobs.reset(client, names[0], kind="job")


def test_a_job_that_waits_for_its_datafeed_is_replaced_by_one_that_has_it(
    client: Elasticsearch, names: list[str], tmp_path: Path
) -> None:
    for name in (names[0], names[2]):
        unfinished.keep(client, name, {"job_id": name})
    write_exported(tmp_path, names[:1])
    (imported,) = import_jobs(client, [tmp_path])
    assert imported.status.startswith("imported")
    jobs.save(client, job_of(names[2]))
    assert (unfinished.names(client).isdisjoint(names), stored(client, names)) == (True, [names[0], names[2]])
    unfinished.keep(client, names[2], {"job_id": names[2]})  # left behind by a former version
    jobs.delete(client, names[2])
    assert names[2] not in jobs.owners(client)
