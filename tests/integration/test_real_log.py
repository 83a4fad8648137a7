"""A real access log, all the way: ingest, gate, train, score, forecast."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.core.job import Job
from driftline.core.paths import ROOT
from driftline.core.source import Source
from driftline.elastic import results
from driftline.elastic.indices import FORECASTS, RESULTS
from driftline.pipeline.forecast import forecast
from driftline.pipeline.gate import reports
from driftline.pipeline.ingest import ingest
from driftline.pipeline.jobs import reset
from driftline.pipeline.score import score
from driftline.pipeline.train import train

LOG = ROOT.parent / "shared" / "data" / "logs" / "apache_access.log"
pytestmark = pytest.mark.skipif(not LOG.exists(), reason="the real access log is not at hand (../shared/data/logs)")


@pytest.fixture(scope="module")
def source(client, module_prefix):
    made = Source.parse(
        {"source_id": f"{module_prefix}apache", "index": f"{module_prefix}apache", "files": {"paths": str(LOG), "final": True}},
        where="test",
    )
    first = ingest(client, made, run="first")
    assert (first["rows"], first["indexed"], first["quarantined"], first["verdict"]) == (10_000, 10_000, 0, "pass")
    return made


def job(source, name, **changes):
    data = {
        "job_id": f"{source.source_id}-{name}",
        "bucket_span": "1h",
        "detectors": [{"function": "count"}],
        "datafeed": {"indices": source.index, "historical": True},
        "training": {"window": "7d"},
        "model_plot_config": {"enabled": True},
        **changes,
    }
    return Job.parse(data, where="test")


def plots(client, made):
    query = {"bool": {"filter": [{"term": {"job_id": made.job_id}}, {"term": {"result_type": "model_plot"}}]}}
    return [hit["_source"] for hit in results.scan(client, query, index=f"{RESULTS}-*")]


def test_every_line_is_a_document_once(client, source):
    assert client.count(index=source.index)["count"] == 10_000
    again = ingest(client, source, run="second")
    assert (again["rows"], again["indexed"]) == (0, 0)
    assert client.count(index=source.index)["count"] == 10_000


def test_the_copy_of_a_file_under_another_name_adds_nothing(client, source, tmp_path):
    copy = tmp_path / "renamed.log"
    copy.write_bytes(Path(LOG).read_bytes())
    moved = source.model_copy(update={"files": source.files.model_copy(update={"paths": [str(copy)]})})
    ingest(client, moved, run="third")
    client.indices.refresh(index=source.index)
    assert client.count(index=source.index)["count"] == 10_000


def test_a_count_job_accounts_for_every_line(client, source):
    made = job(source, "hits")
    outcome = score(client, made)
    assert (outcome["scored"], outcome["unscored"]) == (1, 0)
    assert (outcome["start"], outcome["end"]) == ("2015-05-17T10:00:00Z", "2015-05-20T22:00:00Z")
    assert sum(plot["actual"] for plot in plots(client, made)) == 10_000
    ahead = forecast(client, made, duration="1d")
    assert ahead["documents"] == 24
    assert ahead["start"] == "2015-05-20T22:00:00Z"
    assert any("no weekly pattern" in note for note in ahead["notes"])
    stored = {"bool": {"filter": [{"term": {"job_id": made.job_id}}, {"term": {"result_type": "model_forecast"}}]}}
    assert len(list(results.scan(client, stored, index=f"{FORECASTS}-*"))) == 24
    assert {report["stage"] for report in reports(client, made.job_id)} == {"train", "score"}
    reset(client, made.job_id)


def test_status_codes_are_counted_apart_and_sparse_ones_are_listed(client, source):
    made = job(source, "status", detectors=[{"function": "count", "partition_field_name": "http.response.status_code"}])
    trained = train(client, made)
    reasons = {failure["partition_value"]: failure["reason"] for failure in trained["failures"]}
    assert {"206", "403", "416", "500"} == set(reasons)
    assert all(reason.startswith("too sparse: ") for reason in reasons.values())
    outcome = score(client, made)
    assert outcome["unscored"] == 4
    sums: dict[str, float] = {}
    for plot in plots(client, made):
        sums[plot["partition_field_value"]] = sums.get(plot["partition_field_value"], 0) + plot["actual"]
    assert sums["200"] == 9_126
    assert sums["404"] == 213
    assert not set(sums) & set(reasons)
    reset(client, made.job_id)
