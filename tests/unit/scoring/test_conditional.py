"""A metric given another: what goes with the other is no news, what does not is, and chance is told from both."""

from dataclasses import replace

import numpy as np
import orjson
import pytest

from driftline.scoring import looks
from driftline.scoring.conditional import LEAST, Pairs
from driftline.scoring.settings import EDGES

HOUR = 3600
TRAINED, DAYS = 35, 42
ALARM = EDGES[1]


def requests_of(rng, days=DAYS, peak=200):
    """Requests by the hour: many by day, some at night, none at times."""
    at = np.arange(days * 24)
    rate = peak * (0.5 - 0.49 * np.cos(2 * np.pi * (at % 24 - 2) / 24)) * np.exp(rng.normal(0, 0.15, len(at)))
    return rng.poisson(rate).astype(float)


def pairs_of(value, given, group=1):
    at = np.arange(len(value))
    seen = Pairs(np.full(len(at), group, np.uint64), at + 490_000, value, given, at % 24, at // 24)
    return seen.at(given > 0)


def joined(parts):
    return Pairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))


def judged(seen, *, share, counted=True, side="both"):
    """By what was learned from the first five weeks, and read back from JSON."""
    numbers = looks.learned(seen.at(seen.day < TRAINED), HOUR, share=share, counted=counted)
    return looks.looked(orjson.loads(orjson.dumps(numbers)), seen, HOUR, side, share=share)


def load_of(rng, given):
    """The load of a processor: it goes with the requests, less and less the more there are."""
    return 0.05 + 0.5 * given / (given + 100) + rng.normal(0, 0.01, len(given))


def errors_of(rng, given, rate=0.004):
    return rng.poisson(given * rate * np.exp(rng.normal(0, 0.2, len(given)))).astype(float)


@pytest.mark.parametrize("seed", range(3))
def test_what_goes_with_the_other_metric_never_alarms(seed):
    rng = np.random.default_rng(seed)
    parts = []
    for group in range(1, 6):
        given = requests_of(rng)
        parts.append(pairs_of(load_of(rng, given), given, group))
    found = judged(joined(parts), share=False)
    assert found.surprise.max() < ALARM
    assert np.isfinite(found.typical).all()


def test_load_where_there_are_few_requests_is_found_though_it_is_usual_by_day():
    rng = np.random.default_rng(1)
    given = requests_of(rng)
    load, place = load_of(rng, given), 38 * 24 + 3
    load[place] = 0.33
    assert (load[: TRAINED * 24] > 0.33).mean() > 0.3
    seen = pairs_of(load, given)
    found = judged(seen, share=False)
    alarms = seen.bucket[found.surprise >= ALARM] - 490_000
    assert alarms.tolist() == [place]
    assert found.typical[seen.bucket - 490_000 == place] < 0.2


@pytest.mark.parametrize(("side", "loud"), [("both", True), ("high", True), ("low", False)])
def test_functions_of_one_side_see_that_side_only(side, loud):
    rng = np.random.default_rng(1)
    given = requests_of(rng)
    load, place = load_of(rng, given), 38 * 24 + 3
    load[place] = 0.4
    seen = pairs_of(load, given)
    assert (judged(seen, share=False, side=side).surprise[seen.bucket - 490_000 == place].max() >= ALARM) == loud


def test_what_is_slight_and_lasts_is_found_by_the_last_hours_together():
    rng = np.random.default_rng(5)
    given = requests_of(rng)
    load, place = load_of(rng, given), 38 * 24 + 9
    load[place : place + 8] += 0.055
    seen = pairs_of(load, given)
    found = judged(seen, share=False)
    during = (seen.bucket - 490_000 >= place) & (seen.bucket - 490_000 < place + 8)
    assert found.point[during].max() < ALARM <= found.surprise[during].max()
    assert found.surprise[~during].max() < ALARM


def test_more_requests_than_ever_with_the_load_that_a_line_makes_of_them_are_no_anomaly():
    rng = np.random.default_rng(2)
    given = requests_of(rng)
    given[38 * 24 + 12] = 3 * given.max()
    load = given / 400 + rng.normal(0, 0.02, len(given))
    assert judged(pairs_of(load, given), share=False).surprise.max() < ALARM


@pytest.mark.parametrize("peak", [4, 40, 400])
@pytest.mark.parametrize("rate", [0.0, 0.004, 0.2, 0.9])
def test_shares_that_chance_makes_never_alarm(peak, rate):
    rng = np.random.default_rng(3)
    parts = []
    for group in range(1, 6):
        given = requests_of(rng, peak=peak)
        part = rng.binomial(given.astype(int), rate).astype(float)
        parts.append(pairs_of(part, given, group))
    seen = joined(parts)
    found = judged(seen, share=True)
    assert found.surprise.max() < ALARM
    assert np.median(found.typical / seen.given) == pytest.approx(rate, rel=0.2, abs=0.001)


def test_errors_of_few_requests_are_found_though_there_are_no_more_of_them_than_usual():
    rng = np.random.default_rng(4)
    given = requests_of(rng, peak=4000)
    part, place = errors_of(rng, given), 38 * 24 + 14
    given[place], part[place] = 150, 12
    assert 0.2 < (part[: TRAINED * 24] >= 12).mean() < 0.6
    seen = pairs_of(part, given)
    alarms = seen.bucket[judged(seen, share=True).surprise >= ALARM] - 490_000
    assert place in alarms
    assert set(alarms.tolist()) <= {place, place + 1, place + 2}


@pytest.mark.parametrize(("errors", "of", "loud"), [(1, 1, False), (1, 2, False), (2, 2, False), (3, 3, False), (9, 9, True)])
def test_an_error_or_two_of_a_handful_of_requests_at_night_are_no_alarm(errors, of, loud):
    rng = np.random.default_rng(6)
    given = requests_of(rng)
    part, place = errors_of(rng, given), 38 * 24 + 2
    given[place - 3 : place + 4], part[place - 3 : place + 4] = 2, 0
    given[place], part[place] = of, errors
    seen = pairs_of(part, given)
    found = judged(seen, share=True)
    assert (found.surprise[seen.bucket - 490_000 == place].max() >= ALARM) == loud


def test_a_drop_of_what_nearly_always_succeeds_is_found_by_what_is_missing():
    rng = np.random.default_rng(7)
    given = requests_of(rng)
    good, place = given - errors_of(rng, given), 38 * 24 + 14
    good[place] = round(given[place] * 0.9)
    seen = pairs_of(good, given)
    here = seen.bucket - 490_000 == place
    found = judged(seen, share=True, side="low")
    assert found.surprise[here].max() >= ALARM
    assert (found.typical / seen.given)[here].max() == pytest.approx(0.996, abs=0.002)
    assert judged(seen, share=True, side="high").surprise.max() < ALARM


def test_amounts_that_are_measured_are_judged_by_their_own_noise():
    rng = np.random.default_rng(8)
    given = requests_of(rng)
    size = np.array([rng.lognormal(8, 0.5, int(count)).sum() for count in given])
    place = 38 * 24 + 14
    clean = judged(pairs_of(size, given), share=True, counted=False)
    assert clean.surprise.max() < ALARM
    size[place] *= 2.5
    seen = pairs_of(size, given)
    found = judged(seen, share=True, counted=False)
    assert found.surprise[seen.bucket - 490_000 == place].max() >= ALARM


@pytest.mark.parametrize("share", [False, True])
def test_a_training_that_has_seen_an_incident_still_tells_it(share):
    rng = np.random.default_rng(9)
    given = requests_of(rng, peak=2000)
    value = errors_of(rng, given) if share else load_of(rng, given)
    place = 20 * 24 + 14
    value[place : place + 4] = given[place : place + 4] * 0.2 if share else 0.95
    seen = pairs_of(value, given)
    found = judged(seen, share=share)
    during = (seen.bucket - 490_000 >= place) & (seen.bucket - 490_000 < place + 4)
    assert (found.surprise[during] >= ALARM).all()


@pytest.mark.parametrize("share", [False, True])
def test_nothing_is_said_of_series_that_are_new_or_short(share):
    rng = np.random.default_rng(10)
    given = requests_of(rng)
    value = errors_of(rng, given)
    long, short = pairs_of(value, given, 1), pairs_of(value, given, 2)
    short = short.at(short.day >= TRAINED - 2)
    seen = joined([long, short])
    numbers = looks.learned(seen.at(seen.day < TRAINED), HOUR, share=share, counted=True)
    assert (short.day < TRAINED).sum() < LEAST
    assert looks.known(numbers, np.array([1, 2, 3], np.uint64), share=share).tolist() == [True, False, False]
    found = looks.looked(numbers, replace(short, value=short.value + 1000), HOUR, "both", share=share)
    assert not found.surprise.any()
    assert np.isnan(found.typical).all()


@pytest.mark.parametrize("share", [False, True])
def test_nothing_at_all_can_be_learned_and_judged(share):
    nothing = pairs_of(np.empty(0), np.empty(0))
    numbers = looks.learned(nothing, HOUR, share=share, counted=True)
    assert len(looks.looked(numbers, nothing, HOUR, "both", share=share).surprise) == 0
    seen = pairs_of(np.ones(5), np.ones(5))
    assert not looks.looked(numbers, seen, HOUR, "both", share=share).surprise.any()


@pytest.mark.parametrize("share", [False, True])
def test_what_is_said_of_a_bucket_does_not_depend_on_how_the_interval_is_cut(share):
    rng = np.random.default_rng(11)
    given = requests_of(rng)
    seen = pairs_of(errors_of(rng, given), given)
    numbers = looks.learned(seen.at(seen.day < TRAINED), HOUR, share=share, counted=True)
    whole = looks.looked(numbers, seen, HOUR, "both", share=share)
    first = 37 * 24 + 490_000
    part = seen.bucket > first - looks.back(HOUR)
    again = looks.looked(numbers, seen.at(part), HOUR, "both", share=share)
    asked = seen.bucket >= first
    assert np.array_equal(whole.surprise[asked], again.surprise[asked[part]])


def test_sums_over_hours_leave_out_what_is_missing_and_keep_series_apart():
    group = np.array([2, 1, 1, 2, 1], np.uint64)
    bucket = np.array([5, 4, 7, 6, 5])
    seen = Pairs(group, bucket, np.array([1.0, 2, 4, 8, 16]), np.ones(5), bucket % 24, bucket // 24)
    assert seen.summed(3, mean=False).value.tolist() == [1, 2, 20, 9, 18]
    assert seen.summed(3, mean=False).given.tolist() == [1, 1, 2, 2, 2]
    assert seen.summed(3, mean=True).value.tolist() == [1, 2, 10, 4.5, 9]


@pytest.mark.parametrize("share", [False, True])
def test_constant_series_tolerate_rounding_and_no_more(share):
    given = np.full(DAYS * 24, 100.0)
    value = np.full(DAYS * 24, 50.0)
    value[38 * 24] = 50.2
    value[39 * 24] = 95.0
    found = judged(pairs_of(value, given), share=share, counted=False)
    assert found.surprise[38 * 24] < ALARM <= found.surprise[39 * 24]
