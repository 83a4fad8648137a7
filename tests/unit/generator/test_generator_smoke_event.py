"""The classic: an event every five seconds for a week, and half an hour of ten times as many."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from driftline.core.errors import DefinitionError, WindowError
from driftline.core.timespan import parse_time
from driftline.generator.registry import open_source

START = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def source():
    return open_source("smoke_event", 1, START, 7)


@pytest.fixture(scope="module")
def documents(source):
    return [document for batch in source.batches() for document in batch]


def test_there_are_exactly_as_many_events_as_a_week_and_the_spike_make(source, documents):
    assert len(documents) == 7 * 86_400 // 5 + 9 * 30 * 60 // 5 == source.documents_estimate


def test_fields_are_those_of_the_original(source, documents):
    names = {"timestamp", "request", "response", "agent", "remote_ip", "remote_user", "bytes", "referrer"}
    assert set(documents[0]) == names == set(source.properties)
    assert source.time_field == "timestamp"


@pytest.mark.parametrize("seconds", [30, 60, 300, 900])
def test_the_spike_is_ten_times_the_usual_in_every_whole_bucket(source, documents, seconds):
    counts = Counter(int(parse_time(document["timestamp"]).timestamp()) // seconds for document in documents)
    (fact,) = source.truth()
    first, last = parse_time(fact["start"]).timestamp(), parse_time(fact["end"]).timestamp()
    assert last - first == 1800
    usual = seconds // 5
    for bucket, count in counts.items():
        begin, end = bucket * seconds, (bucket + 1) * seconds
        if begin >= first and end <= last:
            assert count == 10 * usual
        elif end <= first or begin >= last:
            assert count == usual
        else:
            assert usual < count < 10 * usual


def test_the_place_of_the_spike_depends_on_the_seed_and_lies_late_enough_to_learn_first():
    places = [open_source("smoke_event", seed, START, 7).truth()[0]["start"] for seed in range(20)]
    assert len(set(places)) > 15
    for place in places:
        assert START + timedelta(days=4) < parse_time(place) < START + timedelta(days=6.5)


def test_days_may_be_cut_anyhow_and_ids_stay(source, documents):
    chunks = [chunk for first, last in source.ranges(2) for chunk in source.chunks(first, last)]
    assert [document for chunk in chunks for document in chunk.documents()] == documents
    ids = [id_ for chunk in chunks for id_ in chunk.ids(source.digest)]
    assert len(set(ids)) == len(documents)
    assert [orjson.loads(text) for text in chunks[4].encoded()] == chunks[4].documents()
    assert len(chunks[4].lines()) == len(chunks[4])
    assert chunks[4].times() == [round(parse_time(row["timestamp"]).timestamp() * 1000) for row in chunks[4].documents()]
    assert chunks[4].measures() == {"bytes": [row["bytes"] for row in chunks[4].documents()]}


def test_a_start_within_the_day_and_other_numbers_work():
    options = {"interval": "10s", "magnitude": 4, "duration": "1h", "at": "20h"}
    source = open_source("smoke_event", 1, START + timedelta(hours=5, minutes=7), 1, options)
    count = sum(len(chunk) for chunk in source.chunks())
    assert count == 8_640 + 3 * 360 == source.documents_estimate
    assert source.truth()[0]["start"] == "2026-03-03T01:07:00Z"


def test_without_a_spike_there_is_no_truth():
    assert open_source("smoke_event", 1, START, 1, {"magnitude": 1}).truth() == []


@pytest.mark.parametrize("options", [{"interval": "7s"}, {"interval": "500ms"}, {"at": "40d"}, {"duration": "30d"}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(WindowError):
        open_source("smoke_event", 1, START, 7, options)


def test_unknown_options_are_explained():
    with pytest.raises(DefinitionError, match="did you mean 'magnitude'"):
        open_source("smoke_event", 1, START, 7, {"magnitud": 3})
