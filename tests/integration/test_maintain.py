"""Tidying up: what is too old goes, what is in force stays."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import fsspec
import pytest

from driftline.core.job import Job
from driftline.core.paths import staging_uri
from driftline.core.signature import Signatures
from driftline.core.timespan import Window, iso
from driftline.elastic import snapshots, state
from driftline.elastic.annotations import DELAYED, USER, annotate, delete, of_job
from driftline.elastic.indices import ALERTS, FORECASTS, QUALITY, RESULTS, RUNS, ensure_templates
from driftline.pipeline.maintain import maintain

pytestmark = pytest.mark.skipif(
    "DRIFTLINE_ELASTICSEARCH_URL" in os.environ, reason="removes old documents of all jobs: only on a node of the tests' own"
)
NOW = datetime.now(UTC)
YEAR = timedelta(days=366)


@pytest.fixture
def job_id(client, prefix):
    ensure_templates(client)
    yield f"{prefix}tidy"
    snapshots.delete(client, f"{prefix}tidy")


def signatures_of(job_id):
    return Signatures.parse({"signature_id": job_id, "indices": "calls", "term": "account"}, where="test")


def job_of(job_id):
    return Job.parse({"job_id": job_id, "detectors": [{"function": "count"}], "datafeed": {"indices": "web"}}, where="test")


def snapshot(client, job_id, day, *, promoted=True, version=None):
    end = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    manifest = snapshots.new_manifest(job_id, version or job_of(job_id).version, end - timedelta(days=14), end)
    valid = [{"from": manifest["training_end"]}] if promoted else []
    snapshots.write(client, manifest | {"state": "promoted", "detail": {"valid": valid}}, [b'{"keys":[]}'])
    return manifest["snapshot_id"]


def test_the_newest_snapshots_stay_and_the_one_in_force_however_old(client, job_id):
    old = snapshot(client, job_id, 0)
    rejected = [snapshot(client, job_id, day, promoted=False) for day in range(1, 6)]
    removed = maintain(client, [job_of(job_id)], snapshots_kept=3)
    kept = {m["snapshot_id"] for m in snapshots.manifests(client, job_id)}
    assert removed["snapshots"] == 2
    assert kept == {old, *rejected[2:]}
    assert list(snapshots.chunks(client, snapshots.find(snapshots.manifests(client, job_id), old, job_id))) == [{"keys": []}]


def test_what_signatures_learned_long_ago_goes_too(client, job_id):
    made = signatures_of(job_id)
    learned = [snapshot(client, job_id, 7 * week, version=made.version) for week in range(5)]
    assert maintain(client, [made], snapshots_kept=3)["snapshots"] == 2
    assert {m["snapshot_id"] for m in snapshots.manifests(client, job_id)} == set(learned[2:])


def test_expired_forecasts_go_whole_and_others_stay(client, job_id):
    for name, expiry in (("gone", NOW - timedelta(days=1)), ("kept", NOW + timedelta(days=1))):
        stamp = {"job_id": job_id, "forecast_id": f"{job_id}-{name}", "timestamp": NOW.isoformat()}
        stats = {**stamp, "result_type": "model_forecast_request_stats", "forecast_expiry_timestamp": expiry.isoformat()}
        for n in range(3):
            client.index(
                index=f"{FORECASTS}-2026.01", id=f"{job_id}-{name}-{n}", document={**stamp, "result_type": "model_forecast"}
            )
        client.index(index=f"{FORECASTS}-2026.01", id=f"{job_id}-{name}-stats", document=stats, refresh=True)
    assert maintain(client, [])["forecasts"] == 4
    left = client.search(index=f"{FORECASTS}-*", query={"term": {"job_id": job_id}}, size=10)["hits"]["hits"]
    assert {hit["_source"]["forecast_id"] for hit in left} == {f"{job_id}-kept"}
    client.delete(index=f"{FORECASTS}-2026.01", id=f"{job_id}-kept-stats")


def test_results_over_old_data_are_not_old_results(client, job_id):
    index = f"{RESULTS}-2015.05"
    client.index(index=index, id=job_id, document={"job_id": job_id, "timestamp": 1431900000000}, refresh=True)
    assert index not in maintain(client, [])["indices"], "made just now"
    assert index in maintain(client, [], now=NOW + 2 * YEAR)["indices"]
    assert not client.indices.exists(index=index)


def test_months_that_were_scored_again_since_stay_however_old_their_index_is(client, job_id):
    index, later = f"{RESULTS}-2015.06", NOW + 2 * YEAR
    client.index(index=index, id=job_id, document={"job_id": job_id, "timestamp": 1434000000000}, refresh=True)
    run = {"job_id": job_id, "kind": "score", "@timestamp": iso(later - timedelta(days=1))}
    for start, end in (("2015-03-01", "2015-05-31"), ("2015-07-01", "2015-08-01")):  # of other months
        client.index(index=RUNS, id=f"{job_id}-{start}", document={**run, "window_start": start, "window_end": end})
    client.index(index=RUNS, id=job_id, document={**run, "window_start": "2015-05-20", "window_end": "2015-06-02"})
    assert index not in maintain(client, [], now=later)["indices"]
    client.delete(index=RUNS, id=job_id)
    assert index in maintain(client, [], now=later)["indices"]


def test_old_reports_runs_annotations_and_alerts_go(client, job_id):
    annotate(client, job_id, Window(NOW - YEAR, NOW), "late", event=DELAYED)
    annotate(client, job_id, Window(NOW - YEAR, NOW), "release 42", event=USER)
    state.journal(client, "run", "score", NOW, job_id=job_id)
    client.index(index=QUALITY, id=job_id, document={"job_id": job_id, "created": NOW.isoformat()}, refresh=True)
    client.index(index=ALERTS, id=job_id, document={"alert_id": job_id, "created": NOW.isoformat()}, refresh=True)
    client.indices.refresh(index=RUNS)
    maintain(client, [])
    assert client.exists(index=ALERTS, id=job_id)
    assert client.exists(index=QUALITY, id=job_id)
    assert state.last_run(client, "score", job_id)
    assert len(of_job(client, job_id)) == 2
    removed = maintain(client, [], now=NOW + 2 * YEAR)
    assert min(removed["reports"], removed["runs"], removed["annotations"], removed["alerts"]) >= 1
    assert [each["event"] for each in of_job(client, job_id)] == ["user"], "what people said stays"
    delete(client, job_id, [each["_id"] for each in of_job(client, job_id)])
    assert not client.exists(index=QUALITY, id=job_id)


def test_staged_files_go_after_days_the_store_after_months_and_reports_after_a_year(client):
    places = {name: staging_uri(name, "manifest.json") for name in ("job", "reports", "store")}
    for uri in places.values():
        with fsspec.open(uri, "w", auto_mkdir=True) as file:
            file.write("x")
    filesystem, _ = fsspec.core.url_to_fs(staging_uri())
    assert maintain(client, [])["staged"] == 0
    assert maintain(client, [], now=NOW + timedelta(days=5))["staged"] >= 1
    assert {name for name, place in places.items() if filesystem.exists(place)} == {"reports", "store"}
    maintain(client, [], now=NOW + timedelta(days=100))
    assert {name for name, place in places.items() if filesystem.exists(place)} == {"reports"}
    maintain(client, [], now=NOW + 2 * YEAR)
    assert not filesystem.exists(places["reports"])
