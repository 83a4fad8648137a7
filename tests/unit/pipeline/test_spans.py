"""The bucket span that is suggested, for data whose answer is known."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from driftline.elastic.survey import Sample
from driftline.pipeline.names import CODES, SUMS, rank, slug
from driftline.pipeline.spans import choose, seasons

MINUTES = 7 * 24 * 60
RNG = np.random.default_rng(3)


def chosen(samples, *, series=10, window=timedelta(days=28), daily=False):
    return choose(samples, series=series, window=window, daily=daily)


def poisson(rate):
    return Sample(RNG.poisson(rate, MINUTES).astype(float))


@pytest.mark.parametrize(
    ("a_minute", "minutes"),
    [(100, 1), (1.5, 5), (0.5, 15), (0.1, 60), (0.03, 180)],
)
def test_a_steady_count_gets_the_shortest_span_with_some_four_documents(a_minute, minutes):
    assert chosen([poisson(a_minute) for _ in range(8)]).span == timedelta(minutes=minutes)


def test_most_series_decide_and_not_the_largest_or_the_smallest():
    many = [poisson(0.5) for _ in range(6)]
    assert chosen([*many, poisson(100), poisson(0.001)]).span == timedelta(minutes=15)


def test_readings_every_ten_minutes_need_a_bucket_of_as_much():
    docs = np.zeros(MINUTES)
    docs[::10] = 1
    value = np.full(MINUTES, np.nan)
    value[::10] = RNG.normal(50, 2, MINUTES // 10)
    assert chosen([Sample(docs, value)] * 3).span == timedelta(minutes=15)


def test_bursts_between_a_trickle_are_noise_below_their_period():
    docs = RNG.poisson(5, MINUTES).astype(float)
    docs[::60] += 2000
    assert chosen([Sample(docs)] * 3).span == timedelta(hours=1)


def test_nights_and_weekends_of_an_office_do_not_lengthen_the_span():
    minute = np.arange(MINUTES)
    office = ((minute // 60) % 24 >= 8) & ((minute // 60) % 24 < 18) & (minute // 1440 < 5)
    assert chosen([Sample(RNG.poisson(np.where(office, 3.0, 0.0)).astype(float))] * 3, daily=True).span <= timedelta(minutes=15)


def test_where_noise_is_all_there_is_a_longer_span_is_not_better():
    value = RNG.standard_cauchy(MINUTES)
    choice = chosen([Sample(np.ones(MINUTES), value)] * 3)
    assert choice.span == timedelta(minutes=1)
    assert "noise is what the data is" in choice.reason


def test_a_sum_adds_up_over_empty_minutes():
    docs = (np.arange(MINUTES) % 3 == 0).astype(float)
    assert chosen([Sample(docs, np.where(docs > 0, 10.0, np.nan), adds_up=True)] * 3).span == timedelta(minutes=5)


def test_so_many_series_that_no_memory_holds_them_get_a_longer_span():
    full = [poisson(100) for _ in range(3)]
    assert chosen(full, series=20_000).span == timedelta(minutes=30)
    assert chosen(full, series=1_000).span == timedelta(minutes=1)


def test_next_to_no_data_gets_no_span_and_sparse_data_the_longest():
    assert chosen([]).span is None
    assert chosen([Sample(np.ones(3))]).span is None
    sparse = chosen([poisson(0.0002) for _ in range(5)])
    assert sparse.span == timedelta(days=1)
    assert "empty" in sparse.reason


def test_cycles_are_seen_where_they_are_and_not_where_they_are_not():
    hours = np.arange(28 * 24)
    daily = 100 * (1 + 0.4 * np.sin(2 * np.pi * hours / 24))
    weekend = np.where((hours // 24) % 7 >= 5, 0.5, 1.0)
    assert seasons(RNG.poisson(daily).astype(float)) == (True, False)
    assert seasons(RNG.poisson(daily * weekend).astype(float)) == (True, True)
    assert seasons(RNG.poisson(np.full(28 * 24, 100.0)).astype(float)) == (False, False)
    assert seasons(RNG.poisson(daily + 0.5 * hours).astype(float)) == (True, False)
    assert seasons(np.ones(672)) == (False, False)
    assert seasons(np.ones(5)) == (False, False)


@pytest.mark.parametrize("name", ["", "…", "../../etc/passwd", "A B", "x" * 300, "[bold]", "ünïcode", "-", "a\n b: {c"])
def test_any_name_of_a_field_makes_an_identifier(name):
    from driftline.core.definition import identifier

    assert identifier(slug(name)) == slug(name)


def test_a_name_is_known_as_a_whole_and_by_its_last_word():
    assert rank("http.response.status_code", CODES) == 0
    assert rank("response_bytes", SUMS) == rank("http.response.body.bytes.keyword", SUMS) == 0
    assert rank("bytestring", SUMS) == len(SUMS)
