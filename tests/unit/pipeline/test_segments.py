"""What is found in a segment must not depend on where it begins, nor on what it is scored with."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.core.job import Job
from driftline.core.results import milliseconds
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window
from driftline.elastic import snapshots
from driftline.pipeline.files import read_lines, write_lines
from driftline.pipeline.fit import fit
from driftline.pipeline.lessons import remembered
from driftline.pipeline.publish import _found, _shared
from driftline.pipeline.score import score_batch
from driftline.pipeline.segment import filled, newcomers, records, score_segment, together
from driftline.scoring.aggregate import event_results

START, HOUR, DAY = datetime(2026, 3, 4, tzinfo=UTC), timedelta(hours=1), timedelta(days=1)
TRAINED = START + 14 * DAY


def job(function="count", field=None, **changes):
    detector = {"function": function, "partition_field_name": "host"} | ({"field_name": field} if field else {})
    data = {"job_id": "web", "bucket_span": "1h", "detectors": [detector], "datafeed": {"indices": "web"}}
    return Job.parse(data | changes, where="test")


def frame_of(values):
    keys = [SeriesKey(0, str(row)) for row in range(len(values))]
    return SeriesFrame(START, HOUR, keys, values, np.ones(values.shape[1], dtype=np.int64))


def segment_of(start, end, snapshot_id="s"):
    lineage = {"snapshot_id": snapshot_id, "in_sample": False}
    return {**Window(start, end).as_dict(), **lineage, "training_start": START.isoformat(), "training_end": TRAINED.isoformat()}


def counts(days, series, rate=50.0):
    return np.random.default_rng(1).poisson(rate, (series, days * 24)).astype(float)


def test_a_snapshot_that_takes_over_says_nothing_of_what_came_before_it(tmp_path, monkeypatch):
    definition, values, edge = job(), counts(16, 20), TRAINED + DAY
    values[:, 15 * 24 - 12 : 15 * 24] = np.round(0.7 * values[:, 15 * 24 - 12 : 15 * 24])
    frame = frame_of(values)
    trained = fit(definition, frame.slice(Window(START, TRAINED)))
    noise = {"usual": [0.0] * 168, "scales": [0.5, 0.4, 0.3]}
    manifests = [{"snapshot_id": name, "detail": {"together": {"0": noise}}} for name in "ab"]
    monkeypatch.setattr(snapshots, "manifests", lambda *_: manifests)

    def shared(name, *segments):
        lines = [
            {
                "snapshot_id": segment["snapshot_id"],
                "together": together(definition, score_segment(definition, frame, trained, segment)),
            }
            for segment in segments
        ]
        write_lines(f"{tmp_path}/{name}", lines)
        found = _shared(None, definition, [{"uri": f"{tmp_path}/{name}"}], Window(TRAINED, frame.end))
        return {place: each.surprise for place, each in found.items()}

    straight = shared("one", segment_of(TRAINED, frame.end, "a"))
    assert max(straight.values()) > 4
    assert shared("two", segment_of(TRAINED, edge, "a"), segment_of(edge, frame.end, "b")) == pytest.approx(straight)


def test_an_average_of_zero_is_no_silence():
    definition = job("mean", "steal", model_prune_window="2d")
    values = np.where(np.random.default_rng(1).random((3, 14 * 24)) < 0.02, 1.0, 0.0)
    values[:, 11 * 24 :] = 0.0
    frame = frame_of(values)
    assert len(remembered(definition, frame).keys) == 3
    made = newcomers(definition, frame, set(), np.empty((0, 0)), {"day": frame.end.isoformat(), "end": frame.end.isoformat()})
    assert made is not None
    assert len(made.keys) == 3
    assert not np.isnan(filled(definition, frame, made)[:, -1]).any()
    assert remembered(job(model_prune_window="2d"), frame).keys == [], "but nothing else is a count of zero"


@pytest.mark.parametrize("days", [3, 10])
def test_when_a_silent_series_is_forgotten_does_not_depend_on_how_the_interval_is_cut(days):
    definition, values = job(model_prune_window=f"{days}d"), counts(32, 2)
    values[:, 15 * 24 :] = 0.0
    frame = frame_of(values)
    trained = fit(definition, frame.slice(Window(START, TRAINED)))
    late = score_segment(definition, frame, trained, segment_of(frame.end - DAY, frame.end)).values[:, -24:]
    straight = score_segment(definition, frame, trained, segment_of(TRAINED, frame.end)).values[:, -24:]
    np.testing.assert_array_equal(late, straight)


def test_a_record_and_its_event_tell_the_same_clock():
    definition, values = job(time_zone="Asia/Tokyo"), counts(15, 1)
    values[0, 14 * 24 + 12] = 600
    frame = frame_of(values)
    scored = score_segment(
        definition, frame, fit(definition, frame.slice(Window(START, TRAINED))), segment_of(TRAINED, frame.end)
    )
    told = [record for _, record in records(definition, scored, segment_of(TRAINED, frame.end), ())]
    events = [document for _, document in event_results(definition, told, 1, zone=definition.zone)]
    event = max(events, key=lambda each: each["anomaly_score"])
    record = max(told, key=lambda each: each["record_score"])
    assert "for a Wednesday 21:00 (600 instead of" in record["driftline"]["sentence"]
    assert record["driftline"]["sentence"] in event["driftline"]["sentence"]


def test_a_newcomer_is_held_to_the_whole_fleet_whatever_batch_it_is_in(tmp_path, monkeypatch):
    definition, rng, newest = job("mean", "x"), np.random.default_rng(1), 17 * 24
    values = rng.normal(100, 5, (13, 18 * 24))
    values[6:12] = 100 + 5 * rng.standard_t(1.6, (6, 18 * 24))  # the tails of a half are heavy
    values[12, : 14 * 24] = np.nan
    values[12, newest + 10] = 140
    frame = frame_of(values)
    trained = fit(definition, frame.take(range(12)).slice(Window(START, TRAINED)))
    monkeypatch.setattr(snapshots, "manifests", lambda *_: [{"snapshot_id": "s"}])
    monkeypatch.setattr(
        snapshots,
        "chunks",
        lambda *_, **__: iter([trained.select(range(6)).to_numbers(), trained.select(range(6, 12)).to_numbers()]),
    )

    def score_in(name, rows):
        part = frame.take(rows)
        part.write(f"{tmp_path}/{name}.parquet")
        batch = {"uri": f"{tmp_path}/{name}.parquet", "first": 0, "last": len(rows)}
        plan = {"segments": [segment_of(START + newest * HOUR, frame.end)]}
        score_batch(None, definition, batch, plan, out=f"{tmp_path}/{name}.jsonl")
        found = [record for line in read_lines(f"{tmp_path}/{name}.jsonl") for _, record in json.loads(line)["records"]]
        return [record["record_score"] for record in found if record["partition_field_value"] == "12"]

    calm, wild = score_in("calm", [*range(6), 12]), score_in("wild", [*range(6, 12), 12])
    assert max(calm) > 0
    assert calm == wild


def test_how_many_series_were_looked_at_does_not_depend_on_how_the_interval_is_cut(tmp_path, monkeypatch):
    definition, values = job(), counts(18, 9)
    values[5:] = np.nan
    for row in range(5, 9):  # each lives for two days
        values[row, (8 + row) * 24 : (10 + row) * 24] = 50
    frame = frame_of(values)
    trained = fit(definition, frame.take(range(5)).slice(Window(START, TRAINED)))
    monkeypatch.setattr(snapshots, "manifests", lambda *_: [{"snapshot_id": "s"}])
    monkeypatch.setattr(snapshots, "chunks", lambda *_, **__: iter([trained.to_numbers()]))

    def looked(start, end):
        frame.slice(Window(start - 9 * DAY, end)).write(f"{tmp_path}/series.parquet")
        batch = {"uri": f"{tmp_path}/series.parquet", "first": 0, "last": 9}
        part = score_batch(None, definition, batch, {"segments": [segment_of(start, end)]}, out=f"{tmp_path}/scored.jsonl")
        _, at = _found([part])
        return [at(milliseconds(start + hour * HOUR)) for hour in range((end - start) // HOUR)]

    days = [TRAINED + number * DAY for number in range(4)]
    straight = looked(TRAINED, frame.end)
    assert straight == [count for day in days for count in looked(day, day + DAY)]
    assert len(set(straight)) > 1
