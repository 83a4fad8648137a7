"""Labelled requests: as many and of such kinds as asked for, the same for the same seed, and not too easy to tell apart."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pandas as pd
import pytest

from driftline.core.errors import DefinitionError
from driftline.core.timespan import parse_time
from driftline.generator import web_requests
from driftline.generator.registry import open_source
from driftline.generator.web_kinds import KINDS

START = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def rows():
    return web_requests.frame(100_000, seed=5, truth=True)


@pytest.fixture(scope="module")
def source():
    return open_source("web_requests", 5, START + timedelta(hours=5, minutes=7), 2.5, {"rows_per_day": 1_000, "truth": True})


def test_there_are_as_many_rows_as_asked_for_in_time_order_over_the_days(rows):
    assert len(rows) == 100_000
    assert rows["@timestamp"].is_monotonic_increasing
    assert rows["@timestamp"].iloc[0] >= pd.Timestamp(START)
    assert rows["@timestamp"].dt.date.nunique() == 7
    assert set(rows.columns) == set(web_requests.WebRequests.properties)


def test_the_kinds_have_their_shares_and_one_tag_in_a_hundred_is_wrong(rows):
    shares = rows.truth.value_counts(normalize=True)
    for kind, share in web_requests.SHARES.items():
        assert shares[kind] == pytest.approx(share, rel=0.15)
    wrong = rows[rows.tag != rows.truth]
    assert len(wrong) / len(rows) == pytest.approx(0.01, rel=0.15)
    assert set(rows.tag) == set(KINDS)
    missed = wrong[wrong.truth != "normal"]
    assert (missed.tag == "normal").mean() > 0.8  # an attack that nobody saw, rather than one taken for another


def test_shares_noise_and_missing_tags_are_what_the_options_say():
    options = {"shares": {"scanner": 0.3, "data_exfiltration": 0}, "label_noise": 0.2, "unlabelled": 0.4, "clients": 500}
    rows = web_requests.frame(20_000, seed=1, truth=True, **options)
    assert (rows.truth == "scanner").mean() == pytest.approx(0.3, abs=0.02)
    assert not (rows.truth == "data_exfiltration").any()
    assert rows.tag.isna().mean() == pytest.approx(0.4, abs=0.02)
    told = rows[rows.tag.notna()]
    assert (told.tag != told.truth).mean() == pytest.approx(0.2, abs=0.02)
    assert rows["source.ip"].nunique() <= 500
    clean = web_requests.frame(5_000, seed=1, truth=True, label_noise=0)
    assert (clean.tag == clean.truth).all()
    alone = dict.fromkeys(KINDS[1:], 0)
    assert set(web_requests.frame(1_000, shares=alone, label_noise=0.5).tag) == {"normal"}


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(rows):
    assert web_requests.frame(100_000, seed=5, truth=True).equals(rows)
    assert not web_requests.frame(100_000, seed=6, truth=True)["event.duration"].equals(rows["event.duration"])
    assert "truth" not in web_requests.frame(10, seed=5)


def test_kinds_differ_but_none_of_them_has_anything_for_itself(rows):
    """Each has its centre elsewhere; and among rows that look like an attack at first sight there are many of visitors."""
    median = rows.groupby("truth")[["event.duration", "http.response.bytes", "http.response.status_code"]].median()
    assert median.loc["data_exfiltration", "http.response.bytes"] > 20 * median.loc["normal", "http.response.bytes"]
    assert median.loc["broken_client", "event.duration"] < median.loc["normal", "event.duration"] / 2
    assert median.loc["scanner", "http.response.status_code"] == 404
    assert median.loc["credential_stuffing", "http.response.status_code"] == 401
    looks = {
        "credential_stuffing": (rows["url.path"] == "/login") & (rows["http.response.status_code"] == 401),
        "data_exfiltration": rows["http.response.bytes"] + rows["http.request.bytes"] > 300_000,
        "scanner": (rows["http.response.status_code"] == 404) & (rows["event.duration"] < 20e6),
        "broken_client": rows["http.response.status_code"].isin([400, 409, 422, 429, 503]),
    }
    for kind, look in looks.items():
        share = (rows.truth[look] == "normal").mean()
        assert 0.1 < share < 0.75, kind
        assert (look & (rows.truth == kind)).sum() > 0.35 * (rows.truth == kind).sum(), kind
    paths = {kind: set(part) for kind, part in rows["url.path"].groupby(rows.truth)}
    assert len(paths["scanner"] - paths["normal"]) < 0.5 * len(paths["scanner"])


def test_who_attacks_comes_back_and_also_visits(rows):
    attacks = rows[rows.truth == "credential_stuffing"]["source.ip"].value_counts()
    assert attacks.iloc[0] >= 4
    assert rows[(rows.truth == "normal") & rows["source.ip"].isin(attacks.index)].shape[0] > 100


def test_days_may_be_cut_anyhow_and_ids_stay(source):
    straight = [row for chunk in source.chunks() for row in chunk.documents()]
    chunks = [chunk for first, last in reversed(source.ranges(1)) for chunk in source.chunks(first, last)]
    ids = [id_ for chunk in chunks for id_ in chunk.ids(source.digest)]
    assert len(set(ids)) == len(straight) == 2_500 == source.documents_estimate
    key = orjson.dumps
    assert Counter(key(row) for chunk in chunks for row in chunk.documents()) == Counter(key(row) for row in straight)


def test_documents_json_lines_times_and_frame_say_the_same(source):
    chunk = next(iter(source.chunks()))
    documents = chunk.documents()
    assert [orjson.loads(text) for text in chunk.encoded()] == documents
    assert chunk.times() == [round(parse_time(row["@timestamp"]).timestamp() * 1000) for row in documents]
    assert chunk.measures()["event.duration"] == [row["event"]["duration"] for row in documents]
    for line, row in zip(chunk.lines(), documents, strict=True):
        asked = row["http"]["request"]
        assert f'"{asked["method"]} {row["url"]["path"]} HTTP/1.1" {row["http"]["response"]["status_code"]} '.encode() in line
        assert f"{datetime.fromisoformat(row['@timestamp']):[%d/%b/%Y:%H:%M:%S +0000]}".encode() in line
    table = web_requests.frame(2_500, seed=5, start=source.start, days=2.5, truth=True)
    for number, row in enumerate(documents):
        told = table.iloc[number]
        assert told["@timestamp"] == pd.Timestamp(row["@timestamp"])
        assert told["source.ip"] == row["source"]["ip"]
        assert told["event.duration"] == row["event"]["duration"]
        assert (told["tag"], told["truth"]) == (row["tag"], row["truth"])
        assert pd.isna(told["user.name"]) == ("user" not in row)


def test_the_rhythm_of_the_day_follows_the_clock_whenever_the_range_begins(rows):
    hours = rows[rows.truth == "normal"]["@timestamp"].dt.hour.value_counts()
    shifted = web_requests.frame(20_000, seed=1, start=START + timedelta(hours=11), days=2)
    for counts in (hours, shifted["@timestamp"].dt.hour.value_counts()):
        assert np.mean(counts[[13, 14, 15, 16]]) > 3 * np.mean(counts[[1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": {"scanner": 0.98}}, "together are at most 1"),
        ({"shares": {"scaner": 0.1}}, "scaner"),
        ({"label_noise": 0.9}, "label_noise"),
        ({"rows": 0}, "rows"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(DefinitionError, match=message):
        open_source("web_requests", 1, START, 7, options)
