"""Every kind of injection can be measured in what is generated, where and when the truth says."""

from __future__ import annotations

import numpy as np
import pytest

from driftline.generator import catalogue
from driftline.generator.options import KINDS
from driftline.generator.requests import METHODS


def test_the_default_schedule_holds_every_kind(demo):
    assert {fact["kind"] for fact in demo.source.truth()} == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "number", "low", "high"),
    [
        ("spike", 0, 8.5, 11.5),
        ("spike", 1, 2.5, 3.5),
        ("drop", 0, 0.3, 0.5),
        ("silence", 0, 0, 0),
        ("level_shift", 0, 1.4, 1.8),
        ("ramp", 0, 1.4, 2.1),
        ("site_drop", 0, 0.80, 0.90),
        ("intermittent_errors", 0, 0.85, 1.15),
        ("flatline", 0, 0.85, 1.15),
        ("variance", 0, 0.75, 1.25),
        ("ip_collapse", 0, 0.93, 1.07),
        ("response_size", 0, 0.8, 1.2),
    ],
)
def test_the_volume_in_the_window_is_what_the_truth_says(demo, kind, number, low, high):
    assert low <= demo.ratio(demo.truth(kind, number)) <= high


@pytest.mark.parametrize(("number", "floor"), [(0, 0.03), (1, 0.02)])
def test_an_outage_falls_sharply_and_recovers_within_its_window(demo, number, floor):
    fact = demo.truth("outage", number)
    first, last = demo.window(fact)
    middle = first + (last - first) // 2
    assert demo.ratio(fact, first, middle) < floor + 0.04
    assert 0.25 < demo.ratio(fact, last - (last - first) * 2 // 5, last) < 0.85
    assert 0.8 < demo.ratio(fact, last, last + 60) < 1.2


def test_the_outage_of_a_host_shows_in_the_total_and_leaves_the_others_alone(demo):
    fact = demo.truth("outage", 1)
    assert fact["partition_field_name"] == "host.name"
    first, last = demo.window(fact)
    others = ~demo.concerned(fact)
    before = np.mean([demo.count(first - week * 10080, last - week * 10080, others) for week in (1, 2, 3)])
    assert 0.92 < demo.count(first, last, others) / before < 1.08


def test_a_ramp_grows_steadily(demo):
    fact = demo.truth("ramp")
    first, last = demo.window(fact)
    third = (last - first) // 3
    steps = [demo.ratio(fact, first + step * third, first + (step + 1) * third) for step in range(3)]
    assert steps[0] < steps[1] < steps[2]
    assert 2 < demo.ratio(fact, last - 360, last) < 3


def test_a_flatline_does_not_move_from_quarter_to_quarter(demo):
    fact = demo.truth("flatline")
    first, last = demo.window(fact)
    minutes = demo.minute[demo.concerned(fact)]
    inside = minutes[(minutes >= first) & (minutes < last)]
    quarters = np.bincount((inside - first) // 15, minlength=(last - first) // 15)
    assert len(set(quarters.tolist())) == 1
    assert quarters[0] > 0


def test_a_variance_change_swings_far_more_than_before(demo):
    fact = demo.truth("variance")
    first, last = demo.window(fact)
    minutes = demo.minute[demo.concerned(fact)]

    def swing(shift):
        halves = np.histogram(minutes, bins=np.arange(first - shift, last - shift + 1, 30))[0]
        return np.std(halves) / np.mean(halves)

    assert swing(0) > 2 * max(swing(10080), swing(20160), swing(30240))


def test_contextual_traffic_is_that_of_twelve_hours_before(demo):
    fact = demo.truth("contextual")
    first, last = demo.window(fact)
    which = demo.concerned(fact)
    night = np.mean([demo.count(first - 720 - week * 1440, last - 720 - week * 1440, which) for week in range(6)])
    assert 0.7 < demo.count(first, last, which) / night < 1.4
    assert demo.ratio(fact) < 0.8


def test_one_client_downloads_heavily_on_days_six_to_nine_and_never_else(demo):
    fact = demo.truth("population")
    assert fact["partition_field_value"] == catalogue.SUSPICIOUS_IP
    assert (fact["start"], fact["end"]) == ("2026-03-07T00:00:00Z", "2026-03-11T00:00:00Z")
    mine = demo.columns["client"] == len(demo.source.world.clients)
    minutes, sizes = demo.minute[mine], demo.columns["response"][mine]
    assert minutes.min() >= 5 * 1440
    assert minutes.max() < 9 * 1440
    assert abs(mine.sum() / 96 - fact["magnitude"]) < 2
    inside = (demo.minute >= 5 * 1440) & (demo.minute < 9 * 1440) & ~mine
    by_client = np.bincount(demo.columns["client"][inside], weights=demo.columns["response"][inside])
    assert sizes.sum() > 5 * by_client.max()


def test_a_bad_link_brings_not_found_answers_that_fade(demo):
    first, last = demo.window(demo.truth("not_found"))
    bad = demo.columns["endpoint"] == len(demo.source.world.paths)
    assert set(demo.columns["status"][bad].tolist()) == {404}
    assert demo.count(first, last, bad) == bad.sum() > 200
    assert demo.count(first, first + 60, bad) > 5 * demo.count(last - 60, last, bad)
    missing = demo.columns["status"] == 404
    assert demo.count(first, first + 60, missing) > 4 * demo.count(first - 10080, first - 10020, missing)


def test_a_twentieth_of_the_endpoints_fails_now_and_then_at_normal_volume(demo):
    fact = demo.truth("intermittent_errors")
    assert len(fact["partition_field_value"]) == len(demo.source.world.paths) * 5 // 100
    first, last = demo.window(fact)
    which, failed = demo.concerned(fact), demo.columns["status"] >= 500
    share = demo.count(first, last, which & failed) / demo.count(first, last, which)
    assert abs(share - fact["magnitude"]) < 0.06
    assert demo.count(0, first, which & failed) / demo.count(0, first, which) < 0.02


def test_the_site_drop_is_too_small_to_show_in_a_single_endpoint(demo):
    first, last = demo.window(demo.truth("site_drop"))
    for rank in range(40):
        which = demo.columns["endpoint"] == rank
        usual = np.mean([demo.count(first - w * 10080, last - w * 10080, which) for w in (1, 2, 3)]) * 60 / (last - first)
        assert 0.15 * usual / np.sqrt(usual) < 3, "an hour of one endpoint must not stand out by three deviations"


def test_unique_addresses_collapse_while_the_volume_stays(demo):
    first, last = demo.window(demo.truth("ip_collapse"))

    def distinct(shift):
        inside = (demo.minute >= first - shift) & (demo.minute < last - shift)
        return len(np.unique(demo.columns["client"][inside]))

    assert distinct(0) < 0.25 * np.mean([distinct(10080), distinct(20160), distinct(30240)])


def test_responses_grow_for_one_endpoint_only_while_the_truth_says_so(demo):
    fact = demo.truth("response_size")
    first, last = demo.window(fact)
    which = demo.concerned(fact) & (demo.columns["status"] == 200) & (demo.columns["method"] == METHODS.index("GET"))
    inside = (demo.minute >= first) & (demo.minute < last)
    mean = demo.columns["body"][which & inside].mean() / demo.columns["body"][which & ~inside].mean()
    assert abs(mean - fact["magnitude"]) < 0.4


def test_nothing_is_injected_before_the_last_quarter_but_the_suspicious_client(demo):
    kinds = {fact["kind"] for fact in demo.source.truth() if fact["start"] < "2026-03-23"}
    assert kinds == {"population"}


def test_no_two_injections_share_a_partition_and_a_time(demo):
    events = demo.source.events
    clashes = [(a.kind, b.kind) for a in events for b in events if a.number < b.number and a.clashes(b)]
    assert clashes == []
