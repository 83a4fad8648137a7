"""Train, score, forecast on a real Elasticsearch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from driftline.core.errors import SnapshotError, SourceIndexError, WindowError
from driftline.core.job import Job
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window, parse_time
from driftline.elastic import results, snapshots, state
from driftline.elastic.annotations import of_job as annotations
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import FORECASTS, RESULTS
from driftline.generator.registry import open_source
from driftline.pipeline.explain import explain
from driftline.pipeline.forecast import forecast
from driftline.pipeline.jobs import reset
from driftline.pipeline.read import read_series
from driftline.pipeline.score import asked_window, score
from driftline.pipeline.train import train
from driftline.pipeline.view import view_series

START = datetime(2026, 3, 1, tzinfo=UTC)  # a Sunday
HOUR = timedelta(hours=1)


def load(client, index, rows, mapping=None):
    """rows: (time, fields, how many equal documents)."""
    if not client.indices.exists(index=index):
        properties = {
            "@timestamp": {"type": "date"},
            "path": {"type": "keyword"},
            "ms": {"type": "double"},
            "text": {"type": "text"},
        }
        client.indices.create(
            index=index, mappings={"properties": properties | (mapping or {})}, settings={"number_of_replicas": 0}
        )
    bulk(
        client,
        (
            index_action(index, None, {"@timestamp": int(t.timestamp() * 1000), **fields})
            for t, fields, n in rows
            for _ in range(n)
        ),
    )
    client.indices.refresh(index=index)


def traffic(days, seed=0, paths=("/a", "/b"), level=30):
    """Hourly counts with a daily cycle: {(path, hour): count}."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    return {
        (path, int(h)): int(n)
        for k, path in enumerate(paths)
        for h, n in zip(hours, rng.poisson(level * (k + 1) * (1 + 0.4 * np.sin(2 * np.pi * hours / 24))), strict=True)
    }


def rows_of(counts):
    return [(START + h * HOUR, {"path": path, "ms": 10.0 + h % 24}, n) for (path, h), n in counts.items()]


def make(prefix, index, **changes):
    data = {
        "job_id": f"{prefix}job",
        "bucket_span": "1h",
        "detectors": [{"function": "count", "partition_field_name": "path"}],
        "datafeed": {"indices": [index], "on_request": True},
        "training": {"window": "14d", "schedule": "none"},
        **changes,
    }
    return Job.parse(data, where="test")


def stored(client, job):
    client.indices.refresh(index=f"{RESULTS}-*", allow_no_indices=True)
    return {hit["_id"]: hit["_source"] for hit in results.scan(client, {"term": {"job_id": job.job_id}})}


@pytest.fixture(scope="module")
def web(client, module_prefix):
    """Three weeks of two endpoints; /b fails for three hours on day 17, /a has a tenfold hour on day 18."""
    counts = traffic(21)
    for h in (17 * 24 + 10, 17 * 24 + 11, 17 * 24 + 12):
        counts["/b", h] = 2
    counts["/a", 18 * 24 + 9] *= 10
    index = f"{module_prefix}web"
    load(client, index, rows_of(counts))
    return index, counts


@pytest.fixture
def job(client, prefix, web):
    made = make(prefix, web[0])
    yield made
    reset(client, made.job_id)


DAY14, DAY21 = START + 14 * 24 * HOUR, START + 21 * 24 * HOUR
WEEK3 = Window(DAY14, DAY21)


def test_series_hold_exactly_what_the_index_holds(client, job, web, tmp_path):
    from driftline.core.series import SeriesFrame

    handle = read_series(client, job, Window(START, DAY21), uri=str(tmp_path / "s.parquet"))
    frame = SeriesFrame.read(handle["uri"])
    assert handle["docs"] == sum(web[1].values())
    for row, key in enumerate(frame.keys):
        assert frame.values[row].tolist() == [web[1][key.partition_value, h] for h in range(21 * 24)]


def test_an_empty_bucket_is_zero_for_counts_and_sums_and_missing_for_means(client, prefix, tmp_path):
    from driftline.core.series import SeriesFrame

    index = f"{prefix}gaps"
    load(
        client,
        index,
        [(START + h * HOUR, {"path": "/a", "ms": 5.0}, 2) for h in (2, 3, 6)]
        + [(START + 4 * HOUR, {"ms": 1.0}, 1), (START + 6 * HOUR, {"path": "/a", "ms": 11.0}, 1)]
        + [(START + 7 * HOUR, {"path": "/a"}, 1)],
    )
    detectors = [{"function": f, "partition_field_name": "path", **({} if f in ("count", "nzc") else {"field_name": "ms"})}
                 for f in ("count", "sum", "mean", "median", "min", "max", "distinct_count",
                           "nzc", "non_null_sum", "varp")]  # fmt: skip
    detectors.append({"function": "count", "partition_field_name": "path", "use_null": True})
    handle = read_series(
        client, make(prefix, index, detectors=detectors), Window(START, START + 8 * HOUR), uri=str(tmp_path / "s")
    )
    frame = SeriesFrame.read(handle["uri"])
    series = {(key.detector_index, key.partition_value): frame.values[row].tolist() for row, key in enumerate(frame.keys)}
    n = pytest.approx
    nan = float("nan")
    assert series[0, "/a"] == n([nan, nan, 2, 2, 0, 0, 3, 1], nan_ok=True), "0 from the first appearance on"
    assert series[1, "/a"] == n([nan, nan, 10, 10, 0, 0, 21, 0], nan_ok=True)
    for detector, last in ((2, 7), (3, 5), (4, 5), (5, 11)):
        assert series[detector, "/a"] == n([nan, nan, 5, 5, nan, nan, last, nan], nan_ok=True)
    assert series[6, "/a"] == n([nan, nan, 1, 1, 0, 0, 2, 0], nan_ok=True)
    assert series[7, "/a"] == n([nan, nan, 2, 2, nan, nan, 3, 1], nan_ok=True), "no documents are no value"
    assert series[8, "/a"] == n([nan, nan, 10, 10, nan, nan, 21, nan], nan_ok=True), "nor documents without the field"
    assert series[9, "/a"] == n([nan, nan, 0, 0, nan, nan, 8, nan], nan_ok=True)
    sizes = {key.detector_index: frame.sizes[row].tolist() for row, key in enumerate(frame.keys) if key.partition_value == "/a"}
    for detector, function in enumerate(each["function"] for each in detectors):
        there = [nan, nan, 2, 2, nan, nan, 3, 1] if function in ("mean", "median") else [nan] * 8
        assert sizes[detector] == n(there, nan_ok=True), "of how many documents an average is, and nothing else"
    assert (0, "") not in series, "documents without the field are of no partition"
    assert series[10, ""][4] == 1, "unless they are asked for"


def test_the_outage_and_the_spike_are_the_top_records(client, job):
    train(client, job, as_of=DAY14)
    outcome = score(client, job, window=WEEK3)
    assert not any(segment["in_sample"] for segment in outcome["segments"])
    top = results.top_records(client, job.job_id, limit=4)
    hours = sorted((round((r["timestamp"] / 1000 - START.timestamp()) / 3600), r["partition_field_value"]) for r in top)
    assert hours == [(418, "/b"), (419, "/b"), (420, "/b"), (441, "/a")]
    assert min(r["record_score"] for r in top) > 75
    rest = results.top_records(client, job.job_id, limit=100)[4:]
    assert max((r["record_score"] for r in rest), default=0) < 50
    spike = next(r for r in top if r["partition_field_value"] == "/a")
    assert spike["driftline"]["sentence"].startswith(("10 times higher", "11 times higher", "9 times higher", "12 times higher"))
    assert spike["driftline"]["training_end"] == "2026-03-15T00:00:00Z"
    assert spike["driftline"]["job_version"] == job.version


def test_an_average_is_judged_by_how_many_documents_it_is_of(client, prefix, tmp_path):
    """Response times, skewed as they are: half as slow again for some hours of much traffic, and for an hour of little."""
    rng, rows, slow = np.random.default_rng(4), [], range(18 * 24 + 4, 18 * 24 + 9)
    for hour in range(21 * 24):
        for _ in range(int(rng.poisson(30 * np.exp(1.2 * np.sin(2 * np.pi * hour / 24))))):
            ms = rng.lognormal(5, 0.8) * (1.7 if hour in slow or hour == 19 * 24 + 18 else 1.0)
            rows.append((START + hour * HOUR, {"path": "/a", "ms": float(ms)}, 1))
    index = f"{prefix}times"
    load(client, index, rows)
    job = make(prefix, index, detectors=[{"function": "mean", "field_name": "ms", "partition_field_name": "path"}])
    train(client, job, as_of=DAY14)
    score(client, job, window=WEEK3)
    found = results.top_records(client, job.job_id, limit=100)
    major = {round((each["timestamp"] / 1000 - START.timestamp()) / 3600) for each in found if each["record_score"] >= 50}
    assert major
    assert major <= set(slow)
    key = SeriesKey(0, "/a")
    seen = view_series(client, job, key, WEEK3)
    actual, lower, upper = (np.array(seen[name], dtype=float) for name in ("actual", "lower", "upper"))
    later = Window(WEEK3.start, WEEK3.end + timedelta(days=7))
    assert view_series(client, job, key, later)["times"] == seen["times"], "what is still to come is no silence"
    there = np.isfinite(actual)
    assert 0.85 < ((actual >= lower) & (actual <= upper))[there].mean() < 0.98
    width, hour = np.log(upper / lower), np.arange(len(actual)) % 24
    assert np.nanmedian(width[hour == 18]) > 2 * np.nanmedian(width[hour == 6]), "nights are known less well"
    top = max(found, key=lambda each: each["record_score"])
    told = explain(client, job, "/a", datetime.fromtimestamp(top["timestamp"] / 1000, UTC))["series"][0]
    assert told["score"] == pytest.approx(top["record_score"], abs=0.01)
    assert told["expected"]["upper"] == pytest.approx(top["anomaly_score_explanation"]["upper_confidence_bound"])
    reset(client, job.job_id)


def test_an_interval_scored_twice_leaves_the_same_documents(client, job):
    train(client, job, as_of=DAY14)
    score(client, job, window=WEEK3)
    once = stored(client, job)
    again = score(client, job, window=WEEK3)
    assert again["deleted"] == 0
    assert stored(client, job) == once != {}


def test_pieces_in_any_order_equal_one_straight_run(client, job):
    train(client, job, as_of=DAY14)
    score(client, job, window=WEEK3)
    straight = stored(client, job)
    results.delete(client, f"{RESULTS}-*", {"term": {"job_id": job.job_id}})
    edges = [DAY14 + k * 24 * HOUR for k in range(8)]
    for a, b in reversed(list(pairwise(edges))):
        score(client, job, window=Window(a, b))
    assert stored(client, job) == straight


def test_an_anomaly_that_vanishes_from_the_data_vanishes_from_the_results(client, prefix, web):
    index = f"{prefix}copy"
    counts = dict(web[1])
    load(client, index, rows_of(counts))
    job = make(prefix, index)
    train(client, job, as_of=DAY14)
    score(client, job, window=WEEK3)
    hour = START + (18 * 24 + 9) * HOUR
    of_hour = [{"term": {"path": "/a"}}, {"term": {"@timestamp": int(hour.timestamp() * 1000)}}]
    surplus = client.search(index=index, query={"bool": {"filter": of_hour}}, size=10_000, source=False)["hits"]["hits"]
    for hit in surplus[: len(surplus) * 9 // 10]:
        client.delete(index=index, id=hit["_id"])
    client.indices.refresh(index=index)
    at = {"timestamp": int(hour.timestamp() * 1000), "partition_field_value": "/a", "result_type": "record"}

    def there():
        return [doc for doc in stored(client, job).values() if at.items() <= doc.items()]

    assert len(there()) == 1
    outcome = score(client, job, window=WEEK3)
    assert outcome["deleted"] >= 1
    assert there() == []
    reset(client, job.job_id)


def test_scoring_one_partition_again_leaves_the_others_alone(client, job):
    train(client, job, as_of=DAY14)
    score(client, job, window=WEEK3)
    before = stored(client, job)
    score(client, job, window=WEEK3, partitions=["/a"])
    after = stored(client, job)
    records = {i: d for i, d in before.items() if d["result_type"] == "record"}
    assert {i: d for i, d in after.items() if d["result_type"] == "record"} == records
    assert {i for i, d in after.items() if d["result_type"] == "bucket"} == {
        i for i, d in before.items() if d["result_type"] == "bucket"
    }


def test_a_partition_that_falls_silent_is_still_scored(client, prefix, web):
    counts = {key: n for key, n in web[1].items() if not (key[0] == "/b" and key[1] >= 16 * 24)}
    index = f"{prefix}silent"
    load(client, index, rows_of(counts))
    job = make(prefix, index)
    train(client, job, as_of=DAY14)
    score(client, job, window=Window(START + 19 * 24 * HOUR, DAY21))
    top = results.top_records(client, job.job_id, limit=3)
    assert {r["partition_field_value"] for r in top} == {"/b"}
    assert top[0]["driftline"]["sentence"].startswith("still nothing at all")  # the level has followed for three days
    reset(client, job.job_id)


def test_an_anomaly_names_who_is_behind_it(client, prefix):
    counts = traffic(20, paths=("/a",))
    rows = [(t, {**f, "client": f"c{k % 9}"}, 1) for t, f, n in rows_of(counts) for k in range(n)]
    rows += [(START + (18 * 24 + 5) * HOUR, {"path": "/a", "client": "mallory"}, 400)]
    index = f"{prefix}who"
    load(client, index, rows, {"client": {"type": "keyword"}})
    job = make(prefix, index, influencers=["client", "path"])
    train(client, job, as_of=DAY14)
    score(client, job, window=Window(DAY14, START + 20 * 24 * HOUR))
    top = results.top_records(client, job.job_id, limit=1)[0]
    assert {i["influencer_field_name"]: i["influencer_field_values"] for i in top["influencers"]} == {
        "client": ["mallory"],
        "path": ["/a"],
    }
    blamed = [
        d for d in stored(client, job).values() if d["result_type"] == "influencer" and d["influencer_field_value"] == "mallory"
    ]
    assert [d["influencer_score"] for d in blamed] == [top["record_score"]]
    reset(client, job.job_id)


def test_partitions_too_sparse_to_train_are_listed_with_the_reason(client, prefix):
    index = f"{prefix}sparse"
    load(client, index, [*rows_of(traffic(15, paths=("/a",))), (START + 99 * HOUR, {"path": "/rare"}, 3)])
    outcome = train(client, make(prefix, index))
    assert (outcome["trained"], outcome["failed"]) == (1, 1)
    assert outcome["failures"][0]["partition_value"] == "/rare"
    assert "too sparse: 1 of 336 buckets hold data, 20 needed" in outcome["failures"][0]["reason"]


def test_a_retrain_takes_over_only_if_its_backtest_is_not_worse(client, prefix):
    index = f"{prefix}retrain"
    calm, wild = traffic(21, paths=("/a",)), traffic(28, paths=("/a",))
    load(client, index, rows_of(calm))
    job = make(prefix, index, training={"window": "10d", "schedule": "none", "backtest": "2d"})
    first = train(client, job, as_of=START + 14 * 24 * HOUR)
    second = train(client, job, as_of=START + 21 * 24 * HOUR)
    assert first["promoted"]
    assert second["promoted"], second["reason"]
    # five days of nonsense that end just before the held-back days: what is learned from them predicts worse
    rng = np.random.default_rng(1)
    noise = {("/a", h): int(rng.choice([0, 900])) for h in range(21 * 24, 26 * 24)}
    sane = {key: n for key, n in wild.items() if key[1] >= 26 * 24}
    load(client, index, rows_of(noise | sane))
    third = train(client, job, as_of=START + 28 * 24 * HOUR)
    assert not third["promoted"]
    assert "worse than" in third["reason"]
    found = snapshots.manifests(client, job.job_id)
    assert snapshots.choose(found, job.version, START + 30 * 24 * HOUR)["snapshot_id"] == second["snapshot_id"]
    snapshots.revert(client, job.job_id, first["snapshot_id"], START + 29 * 24 * HOUR)
    found = snapshots.manifests(client, job.job_id)
    chosen = [snapshots.choose(found, job.version, START + d * 24 * HOUR) for d in (13, 15, 22, 30)]
    assert [m and m["snapshot_id"] for m in chosen] == [None, first["snapshot_id"], second["snapshot_id"], first["snapshot_id"]]
    reset(client, job.job_id)


def test_a_forecast_widens_and_a_count_is_never_negative(client, job, web):
    train(client, job, as_of=DAY14)
    outcome = forecast(client, job, duration="5d")
    assert (outcome["start"], outcome["series"], outcome["documents"]) == ("2026-03-15T00:00:00Z", 2, 2 * 120)
    docs = [h["_source"] for h in results.scan(client, {"bool": {"filter": [
        {"term": {"job_id": job.job_id}}, {"term": {"result_type": "model_forecast"}}]}}, index=f"{FORECASTS}-*")]  # fmt: skip
    assert len(docs) == 240
    for path in ("/a", "/b"):
        mine = sorted((d for d in docs if d["partition_field_value"] == path), key=lambda d: d["timestamp"])
        lower, typical, upper = (np.array([d[f"forecast_{n}"] for d in mine]) for n in ("lower", "prediction", "upper"))
        assert (np.diff(upper - typical) >= -1e-3).all()
        assert (lower >= 0).all()
        actual = np.array([web[1][path, 14 * 24 + h] for h in range(72)])
        assert ((lower[:72] <= actual) & (actual <= upper[:72])).mean() > 0.85
    again = forecast(client, job, duration="5d")
    assert again["forecast_id"] == outcome["forecast_id"], "the same forecast replaces itself"
    with pytest.raises(WindowError, match="is 0 buckets of 1h"):
        forecast(client, job, duration="10m")


def test_model_plot_holds_every_actual_with_its_bounds(client, prefix, web):
    job = make(prefix, web[0], model_plot_config={"enabled": True})
    train(client, job, as_of=DAY14)
    score(client, job, window=WEEK3)
    plots = [d for d in stored(client, job).values() if d["result_type"] == "model_plot"]
    assert sum(d["actual"] for d in plots) == sum(n for (_, h), n in web[1].items() if h >= 14 * 24)
    assert all(d["model_lower"] <= d["model_median"] <= d["model_upper"] for d in plots)
    inside = np.mean([d["model_lower"] <= d["actual"] <= d["model_upper"] for d in plots])
    assert 0.85 < inside < 0.999
    reset(client, job.job_id)


def test_a_historical_job_walks_forward_and_says_what_it_had_seen(client, prefix, web):
    job = make(
        prefix, web[0], datafeed={"indices": [web[0]], "historical": True}, training={"window": "14d", "min_history": "10d"}
    )
    outcome = score(client, job)
    assert (outcome["start"], outcome["end"]) == ("2026-03-01T00:00:00Z", "2026-03-22T00:00:00Z")
    spans = [(s["start"][5:10], s["in_sample"]) for s in outcome["segments"]]
    assert spans == [("03-01", True), ("03-11", False)]
    assert state.scored_until(client, job) == DAY21
    assert results.top_records(client, job.job_id, limit=1)[0]["record_score"] > 75
    reset(client, job.job_id)


def test_a_job_that_has_no_snapshot_trains_first(client, job):
    outcome = score(client, job, window=WEEK3)
    assert outcome["scored"] == 2
    assert len(snapshots.manifests(client, job.job_id)) >= 1


def test_a_job_over_the_newest_data_goes_on_where_it_stopped(client, job):
    train(client, job, as_of=DAY14)
    score(client, job, window=Window(DAY14, DAY14 + 24 * HOUR))
    outcome = score(client, job)
    assert outcome["start"] == "2026-03-16T00:00:00Z"
    assert outcome["end"] == "2026-03-21T23:00:00Z", "the newest bucket waits for more data"
    assert score(client, job)["notes"] == ["nothing new to score"]


def test_an_end_that_is_left_open_is_where_the_data_ends(client, job):
    end_open, start_open = asked_window(client, job, "2026-03-15", None), asked_window(client, job, None, "2026-03-16")
    assert end_open.as_dict() == {"start": "2026-03-15T00:00:00Z", "end": "2026-03-21T23:00:00Z"}
    assert start_open.as_dict() == {"start": "2026-03-15T23:00:00Z", "end": "2026-03-16T00:00:00Z"}


def test_reset_forgets_everything(client, job):
    train(client, job, as_of=DAY14)
    score(client, job, window=WEEK3)
    removed = reset(client, job.job_id)
    assert removed["snapshots"] == 1
    assert removed["results"] > 4
    assert stored(client, job) == {}
    assert state.scored_until(client, job) is None
    with pytest.raises(SnapshotError, match="no snapshot to forecast from"):
        forecast(client, job)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datafeed": {"indices": ["no-such-index-anywhere"]}}, "no index matches|index does not exist"),
        ({"time_field": "timestamp"}, r"no field 'timestamp' in the index. Did you mean '@timestamp'\?"),
        ({"time_field": "path", "detectors": [{"function": "count"}]}, "field 'path' is of type keyword; expected a date"),
        ({"detectors": [{"function": "mean", "field_name": "path"}]}, "field 'path' is of type keyword; expected a number"),
        (
            {"detectors": [{"function": "count", "partition_field_name": "text"}]},
            "field 'text' is of type text, which cannot be aggregated",
        ),
        ({"influencers": ["pth"]}, r"no field 'pth' in the index. Did you mean 'path'\?"),
    ],
)
def test_an_index_that_does_not_fit_is_named_with_the_field_and_the_fix(client, prefix, web, changes, message):
    with pytest.raises(SourceIndexError, match=message):
        train(client, make(prefix, web[0], **changes))


def test_an_empty_index_is_a_clear_error(client, prefix):
    load(client, f"{prefix}empty", [])
    with pytest.raises(SourceIndexError, match="holds no document that the query matches"):
        train(client, make(prefix, f"{prefix}empty"))


@pytest.mark.parametrize("value", ["", "a b", "'; --", "<script>", "../../x", "é🎉", "x" * 8000, "{{7*7}}"])
def test_hostile_partition_values_are_only_values(client, prefix, value):
    index = f"{prefix}hostile"
    load(client, index, [(t, {"path": value, "ms": 1.0}, n) for t, _, n in rows_of(traffic(4, paths=("x",)))])
    load(client, index, [(START + 80 * HOUR, {"path": value}, 900)])
    job = make(prefix, index)
    score(client, job, window=Window(START, START + 96 * HOUR))
    top = results.top_records(client, job.job_id, limit=1)[0]
    assert top["partition_field_value"] == value
    assert top["timestamp"] == int((START + 80 * HOUR).timestamp() * 1000)
    reset(client, job.job_id)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_classic_spike_is_found_at_every_span_and_nothing_else(client, prefix, seed):
    source = open_source("smoke_event", seed, START, 7)
    index = f"{prefix}smoke"
    client.indices.create(index=index, mappings={"properties": {"timestamp": {"type": "date"}}})
    bulk(client, (index_action(index, None, line) for chunk in source.chunks() for line in chunk.encoded()))
    client.indices.refresh(index=index)
    truth = source.truth()[0]
    begin, end = (parse_time(truth[side]).timestamp() * 1000 for side in ("start", "end"))
    for span in ("30s", "1m", "5m", "15m"):
        job = make(f"{prefix}{span}", index, bucket_span=span, time_field="timestamp", detectors=[{"function": "count"}],
                   datafeed={"indices": [index], "historical": True}, training={"window": "7d"})  # fmt: skip
        score(client, job)
        records = results.top_records(client, job.job_id, limit=1000)
        on = [begin - job.span_seconds * 1000 < r["timestamp"] < end for r in records]
        assert on[0], f"the top record at {span} is off the spike"
        assert records[0]["record_score"] >= 90
        assert max((r["record_score"] for r, hit in zip(records, on, strict=True) if not hit), default=0) <= 75
        reset(client, job.job_id)


def test_documents_that_come_late_are_scored_with_the_next_run_and_noted(client, prefix, web):
    index = f"{prefix}late"
    rows = [row for row in rows_of(web[1]) if row[0] < DAY14 + 48 * HOUR]
    load(client, index, rows)
    job = make(prefix, index, detectors=[{"function": "count"}])
    train(client, job, as_of=DAY14)
    score(client, job, window=Window(DAY14, DAY14 + 24 * HOUR))
    again = score(client, job, window=Window(DAY14 + 20 * HOUR, DAY14 + 24 * HOUR))
    assert again["start"] == "2026-03-15T20:00:00Z"
    assert [each["event"] for each in annotations(client, job.job_id)] == ["model_snapshot_stored"], "nothing came late"
    at = DAY14 + 21 * HOUR
    load(client, index, [(at, {"path": rows[0][1]["path"], "ms": 1.0}, 700)])
    outcome = score(client, job)
    assert outcome["start"] == "2026-03-15T21:00:00Z", "it goes back to the first bucket that changed"
    top = results.top_records(client, job.job_id, limit=1)[0]
    assert top["timestamp"] == int(at.timestamp() * 1000)
    noted = [each for each in annotations(client, job.job_id) if each["event"] == "delayed_data"]
    assert len(noted) == 1
    assert noted[0]["annotation"].startswith("700 documents of 2026-03-15T21:00:00Z – 2026-03-15T22:00:00Z came after")
    assert score(client, job)["notes"] == ["nothing new to score"], "they are late once"
    reset(client, job.job_id)
    assert annotations(client, job.job_id) == []


def test_a_marker_starts_a_new_baseline_for_the_series_it_is_about(client, prefix):
    counts = traffic(21)
    jump = 15 * 24
    counts = {(path, hour): n * 3 if path == "/a" and hour >= jump else n for (path, hour), n in counts.items()}
    index = f"{prefix}marked"
    load(client, index, rows_of(counts))
    at = START + jump * HOUR
    plain = make(f"{prefix}plain", index)
    marked = make(prefix, index, markers=[{"at": at.isoformat(), "description": "release", "partitions": ["/a"]}])
    assert plain.version == make(f"{prefix}plain", index, markers=[{"at": at.isoformat()}]).version
    found = {}
    for job in (plain, marked):
        train(client, job, as_of=DAY14)
        score(client, job, window=WEEK3)
        found[job.job_id] = [r for r in results.top_records(client, job.job_id, limit=500) if r["record_score"] >= 50]
    rises = [r for r in found[plain.job_id] if r["partition_field_value"] == "/a" and r["actual"][0] > r["typical"][0]]
    assert rises[0]["timestamp"] >= int(at.timestamp() * 1000), "without a marker it is an anomaly"
    assert [r for r in found[marked.job_id] if r["partition_field_value"] == "/a"] == []
    # the other series keeps its model, and what happens on the new level is found
    load(client, index, [(START + (18 * 24 + 3) * HOUR, {"path": path, "ms": 1.0}, 900) for path in ("/a", "/b")])
    score(client, marked, window=WEEK3)
    spikes = [r for r in results.top_records(client, marked.job_id, limit=500) if r["record_score"] >= 50]
    when = int((START + (18 * 24 + 3) * HOUR).timestamp() * 1000)
    here = {r["partition_field_value"]: r for r in spikes if r["timestamp"] == when}
    assert here.keys() == {"/a", "/b"}
    assert here["/a"]["driftline"].get("learning")
    assert not here["/b"]["driftline"].get("learning")
    told = explain(client, marked, "/a", START + (18 * 24 + 3) * HOUR)["series"][0]
    assert told["score"] == here["/a"]["record_score"]
    # a training that has seen three days of it takes over
    outcome = train(client, marked, as_of=DAY21)
    assert outcome["trained"] == 2
    trained = train(client, marked, as_of=at + 6 * HOUR)
    assert [failure["partition_value"] for failure in trained["failures"]] == ["/a"], "six hours are no history"
    for job in (plain, marked):
        reset(client, job.job_id)
