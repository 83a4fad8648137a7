"""Scores and forecasts do not depend on how a snapshot's models are cut into chunks, nor on the batches they are used in."""

from __future__ import annotations

import pytest

from driftline.bench.fleet import filled
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.indices import FORECASTS, RESULTS
from driftline.pipeline import ahead
from driftline.pipeline import train as training
from driftline.pipeline.forecast import forecast
from driftline.pipeline.read import batches
from driftline.pipeline.score import prepare, read_plan, score_batch, write
from driftline.pipeline.train import train

SERIES, NEW = 7, 6


@pytest.fixture(scope="module")
def fleet(client):
    with filled(client, series=SERIES, points=200, more=NEW, freq="1h") as made:
        plotted = made.job.as_dict() | {"model_plot_config": {"enabled": True}, "forecast": {"max_partitions": 5}}
        yield type(made)(made.job.parse(plotted, where="test"), made.data)


def documents(client, index, job_id):
    client.indices.refresh(index=index, allow_no_indices=True)
    found = results.scan(client, {"term": {"job_id": job_id}}, index=index)
    return {hit["_id"]: hit["_source"] for hit in found if hit["_source"]["result_type"] != "model_forecast_request_stats"}


def scored(client, fleet, folder, size):
    job, window = fleet.job, Window(fleet.data.end - NEW * fleet.job.bucket_span, fleet.data.end)
    plan = prepare(client, job, window, run="test")
    handle = read_plan(client, job, plan, uri=str(folder / "series.parquet"))
    parts = [score_batch(client, job, b, plan, out=str(folder / f"{b['first']}.jsonl")) for b in batches(handle, size)]
    outcome = write(client, job, plan, parts)
    assert (outcome["scored"], outcome["unscored"]) == (SERIES, 0)
    return documents(client, f"{RESULTS}-*", job.job_id)


def test_any_chunks_and_batches_give_the_same_results(client, fleet, tmp_path, monkeypatch):
    cut = fleet.data.end - NEW * fleet.job.bucket_span
    train(client, fleet.job, as_of=cut)
    whole = scored(client, fleet, tmp_path, 1000)
    assert sum(document["result_type"] == "model_plot" for document in whole.values()) == SERIES * NEW
    monkeypatch.setattr(training, "CHUNK", 2)
    train(client, fleet.job, as_of=cut)
    assert scored(client, fleet, tmp_path, 3) == whole


def test_any_chunks_give_the_same_forecast_of_the_largest_series(client, fleet, monkeypatch):
    cut = fleet.data.end - NEW * fleet.job.bucket_span
    train(client, fleet.job, as_of=cut)
    whole = forecast(client, fleet.job, duration="12h", start=cut)
    assert (whole["series"], whole["documents"]) == (5, 5 * 12)
    before = documents(client, f"{FORECASTS}-*", fleet.job.job_id)
    monkeypatch.setattr(training, "CHUNK", 2)
    monkeypatch.setattr(ahead, "BLOCK", 12)
    train(client, fleet.job, as_of=cut)
    again = forecast(client, fleet.job, duration="12h", start=cut)
    assert again["summary"] == whole["summary"]
    assert documents(client, f"{FORECASTS}-*", fleet.job.job_id) == before
    assert len(before) == 5 * 12
