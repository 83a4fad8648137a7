"""The generated site looks like one: rhythm, reuse, answers; and the same seed gives the same bytes however days are cut."""

from __future__ import annotations

import hashlib
import re
import tracemalloc
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest

from driftline.core.errors import DefinitionError, WindowError
from driftline.core.timespan import parse_time
from driftline.generator import catalogue
from driftline.generator.registry import open_source

START = datetime(2026, 3, 2, tzinfo=UTC)
SMALL = {"events_per_day": 4_000, "clients": 2_000}
LINE = re.compile(
    r'(?P<ip>\S+) - - \[(?P<time>[^]]+)\] "(?P<method>[A-Z]+) (?P<path>\S+) HTTP/1\.1" (?P<status>\d{3}) (?P<size>\d+|-) '
    r'"(?P<referrer>[^"]*)" "(?P<agent>[^"]*)"'
)


def flat(batches):
    return [row for batch in batches for row in batch]


def digest(source):
    return hashlib.sha256(b"\n".join(flat(source.encoded_batches()))).hexdigest()


def test_the_demo_is_about_a_million_events(demo):
    assert 950_000 < len(demo.minute) < 1_050_000
    assert abs(demo.source.documents_estimate - len(demo.minute)) < 50_000


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    sources = [open_source("access_log", seed, START, 3, SMALL) for seed in (5, 5, 6)]
    first, again, other = (digest(source) for source in sources)
    assert first == again != other
    assert sources[0].digest == sources[1].digest != sources[2].digest


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_days_may_be_cut_anyhow(size):
    source = open_source("access_log", 5, START, 4.5, SMALL)
    pieces = [document for first, last in source.ranges(size) for document in flat(source.batches(first, last))]
    assert pieces == flat(source.batches())
    assert source.ranges(size)[-1][1] == source.day_count == 5


def test_ids_are_unique_and_do_not_depend_on_the_cut():
    source = open_source("access_log", 5, START, 3, SMALL)
    ids = flat(chunk.ids("x") for chunk in source.chunks())
    assert len(set(ids)) == len(ids)
    assert flat(chunk.ids("x") for chunk in source.chunks(1, 2)) == [id_ for id_ in ids if id_.startswith("x-0001-")]


def test_events_are_in_order_and_within_the_range():
    source = open_source("access_log", 5, START + timedelta(hours=7), 1.3, SMALL)
    stamps = [document["@timestamp"] for document in flat(source.batches())]
    assert stamps == sorted(stamps)
    assert stamps[0] >= "2026-03-02T07:00:00"
    assert stamps[-1] < source.end.isoformat()


def test_documents_json_and_lines_say_the_same():
    source = open_source("access_log", 5, START, 1, SMALL)
    for chunk in source.chunks():
        documents = chunk.documents()
        assert [orjson.loads(text) for text in chunk.encoded()] == documents
        for line, document in zip(chunk.lines(), documents, strict=True):
            found = LINE.fullmatch(line.decode())
            http = document["http"]
            assert found is not None, line
            assert found["ip"] == document["source"]["ip"]
            assert found["path"] == document["url"]["path"]
            assert found["agent"] == document["user_agent"]["original"]
            assert found["referrer"] == http["request"].get("referrer", "-")
            assert (found["method"], int(found["status"])) == (http["request"]["method"], http["response"]["status_code"])
            assert int(found["size"].replace("-", "0")) == http["response"]["body"]["bytes"]
            moment = datetime.strptime(found["time"], "%d/%b/%Y:%H:%M:%S %z")
            assert moment.strftime("%Y-%m-%dT%H:%M:%S") == document["@timestamp"][:19]


def test_times_and_measures_are_those_of_the_documents():
    (chunk,) = list(open_source("access_log", 5, START + timedelta(hours=7), 0.1, SMALL).chunks())
    documents = chunk.documents()
    assert chunk.times() == [round(parse_time(document["@timestamp"]).timestamp() * 1000) for document in documents]
    http = [document["http"] for document in documents]
    assert chunk.measures() == {
        "http.request.bytes": [asked["request"]["bytes"] for asked in http],
        "http.response.status_code": [asked["response"]["status_code"] for asked in http],
        "http.response.bytes": [asked["response"]["bytes"] for asked in http],
        "http.response.body.bytes": [asked["response"]["body"]["bytes"] for asked in http],
    }


def test_every_field_is_in_the_mapping():
    def names(value, prefix=""):
        for key, inner in value.items():
            yield from names(inner, f"{prefix}{key}.") if isinstance(inner, dict) else [prefix + key]

    source = open_source("access_log", 5, START, 1, SMALL)
    assert {name for document in flat(source.batches()) for name in names(document)} == set(source.properties)


def test_user_agents_are_named_as_the_parser_names_them():
    ua_parser = pytest.importorskip("ua_parser")
    for agent in catalogue.AGENTS:
        parsed = ua_parser.parse(agent.original)
        assert parsed.user_agent.family == agent.name
        assert (parsed.os.family if parsed.os else "Other") == agent.os
        assert (parsed.device.family if parsed.device else "Other") == agent.device


def test_days_and_weeks_have_their_rhythm(demo):
    training = demo.minute[demo.minute < 21 * 1440]
    hours = np.bincount(training // 60, minlength=504)
    by_hour = hours.reshape(21, 24).mean(axis=0)
    assert by_hour.max() > 2 * by_hour.min()
    days = hours.reshape(3, 7, 24).sum(axis=(0, 2))
    assert days[5:].mean() < 0.85 * days[:5].mean()


def test_rhythm_follows_the_time_of_day_of_each_country(demo):
    training = demo.minute < 21 * 1440
    countries = demo.source.world.client_country[np.minimum(demo.columns["client"], len(demo.source.world.clients) - 1)]

    def peak(code):
        mine = training & (countries == demo.source.world.countries.index(code))
        hours = np.bincount(demo.minute[mine] // 60 % 24, minlength=24)
        turn = np.exp(2j * np.pi * np.arange(24) / 24)
        return np.angle((hours * turn).sum()) / (2 * np.pi) * 24 % 24

    assert 10 < (peak("US") - peak("JP")) % 24 < 18  # 15 hours apart
    assert 5 < (peak("US") - peak("DE")) % 24 < 9


def test_without_rhythm_drift_and_noise_counts_are_those_of_chance():
    options = {
        "schedule": "none",
        "daily": 0,
        "weekly": 0,
        "drift": 0,
        "noise": 0,
        "events_per_day": 20_000,
        "suspicious_days": (6, 9),
    }
    counts = np.array([len(batch) for batch in open_source("access_log", 3, START, 14, options).encoded_batches()])
    assert abs(counts.mean() - 2_500) < 25
    assert 0.6 < counts.var() / counts.mean() < 1.6


def test_counts_vary_more_than_chance_alone_would_have_it(demo):
    which = (demo.columns["endpoint"] == 0) & (demo.minute < 21 * 1440)
    hours = np.bincount(demo.minute[which] // 60, minlength=504).astype(float)
    expected = demo.source.rates.expected(np.arange(21 * 1440), np.array([0]))[0].reshape(-1, 60).sum(axis=1)
    assert np.mean((hours - expected) ** 2 / expected) > 1.2


def test_the_busiest_endpoints_are_large_enough_to_forecast_by_the_hour(demo):
    counts = np.bincount(demo.columns["endpoint"], minlength=40)[:40] / (28 * 24)
    assert np.sort(counts)[-25:].min() > 18


def test_a_few_addresses_are_heard_often_and_most_rarely(demo):
    counts = np.sort(np.bincount(demo.columns["client"]))[::-1]
    heard = counts[counts > 0]
    assert len(heard) > 20_000
    assert heard[: len(heard) // 100].sum() > 0.15 * heard.sum()
    assert np.median(heard) < heard.mean()


def test_answers_are_those_of_a_site_in_good_health(demo):
    status = demo.columns["status"]
    shares = {code: np.mean(status == code) for code in (200, 304, 404)}
    assert shares[200] > 0.8
    assert 0.01 < shares[304] < 0.08
    assert 0.01 < shares[404] < 0.03
    assert np.mean(status >= 500) < 0.015


def test_memory_stays_flat_however_large_the_source_is():
    source = open_source("access_log", 5, START, 28, {"events_per_day": 540_000, "endpoints": 5_000, "hosts": 50})
    tracemalloc.start()
    try:
        count = sum(len(batch) for batch in source.encoded_batches(0, 1))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count > 450_000
    assert peak < 250e6, "a day of 15 million hits in four weeks must fit in a quarter of a gigabyte"


@pytest.mark.parametrize("endpoints", [1, 2, 7, 40, 200])
def test_small_and_large_sites_have_a_schedule_without_overlaps(endpoints):
    source = open_source("access_log", 5, START, 28, SMALL | {"endpoints": endpoints, "hosts": 1})
    assert len(set(source.world.paths)) == endpoints
    clashes = [(a.kind, b.kind) for a in source.events for b in source.events if a.number < b.number and a.clashes(b)]
    assert clashes == []
    assert len(source.events) >= 6


def test_injections_of_ones_own_are_placed_by_offset_time_path_rank_and_host():
    own = [
        {"kind": "spike", "at": "1d2h", "duration": "1h", "magnitude": 5, "endpoints": "/checkout"},
        {"kind": "drop", "at": "2026-03-03T05:00Z", "duration": "30m", "endpoints": [0, "/login"]},
        {"kind": "silence", "at": "1d10h", "duration": "1h", "host": "web-02"},
    ]
    source = open_source("access_log", 5, START, 2, SMALL | {"schedule": "none", "injections": own})
    spike, drop, silence = source.truth()
    assert (spike["start"], spike["end"], spike["magnitude"]) == ("2026-03-03T02:00:00Z", "2026-03-03T03:00:00Z", 5)
    assert spike["partition_field_value"] == "/checkout"
    assert drop["partition_field_value"] == ["/", "/login"]
    assert (silence["partition_field_name"], silence["partition_field_value"]) == ("host.name", "web-02")
    dark = [d for d in flat(source.batches()) if d["host"]["name"] == "web-02" and "2026-03-03T10" in d["@timestamp"]]
    assert dark == []


SPIKE = {"kind": "spike", "at": "1d", "duration": "1h", "endpoints": "/"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpionts": 3}, "did you mean 'endpoints'"),
        ({"events_per_day": 1}, "events_per_day: Input should be greater than or equal to 100"),
        ({"injections": [SPIKE | {"kind": "spkie"}]}, "injections.0.kind"),
        ({"injections": [SPIKE | {"at": "9d"}]}, "outside the source's range"),
        ({"injections": [SPIKE | {"at": "soon"}]}, "'soon' is not a time"),
        ({"injections": [SPIKE | {"endpoints": "/nowhere"}]}, "no endpoint '/nowhere'"),
        ({"injections": [SPIKE | {"host": "web-99"}]}, "no host 'web-99'"),
        ({"injections": [SPIKE, SPIKE]}, "overlap: true"),
        ({"injections": [SPIKE | {"share": 0.5}]}, "give endpoints or share"),
        ({"injections": [SPIKE | {"kind": "flatline", "host": 1}]}, "flatline cannot be limited to a host"),
        ({"injections": [SPIKE | {"kind": "site_drop"}]}, "site_drop concerns all endpoints"),
        ({"suspicious_days": [9, 6]}, "the last not before it"),
    ],
)
def test_wrong_options_are_explained(options, message):
    with pytest.raises(DefinitionError, match=re.escape(message)):
        open_source("access_log", 5, START, 3, SMALL | {"schedule": "none"} | options)


def test_overlaps_can_be_asked_for():
    own = [SPIKE, SPIKE | {"overlap": True}]
    source = open_source("access_log", 5, START, 3, SMALL | {"schedule": "none", "injections": own})
    assert len(source.truth()) == 2


@pytest.mark.parametrize(("seed", "days"), [(1, 0), (1, -3), (-1, 1), (1, 1e9)])
def test_impossible_ranges_are_refused(seed, days):
    with pytest.raises(WindowError, match="cannot generate"):
        open_source("access_log", seed, START, days)


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(DefinitionError, match="Did you mean 'access_log'"):
        open_source("acces_log", 1, START, 1)


def test_the_truth_has_a_document_with_what_matching_needs(demo):
    facts = demo.source.truth()
    assert len({fact["truth_id"] for fact in facts}) == len(facts)
    for fact in facts:
        assert fact["start"] < fact["end"]
        assert fact["start"].endswith("Z")
        assert fact["description"].endswith(".")
        assert isinstance(fact["magnitude"], float)
        assert ("partition_field_name" in fact) == ("partition_field_value" in fact)
