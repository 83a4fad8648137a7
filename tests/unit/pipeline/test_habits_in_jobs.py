"""A job with nightly peaks: what its snapshots expect, find, and carry forward."""

import numpy as np
import pytest
from test_segments import DAY, HOUR, START, TRAINED, counts, frame_of, job, segment_of

from driftline.core.timespan import Window
from driftline.models.trained import Trained
from driftline.pipeline.ahead import Modelled, _widened
from driftline.pipeline.fit import fit
from driftline.pipeline.segment import newcomers, records, score_segment

NIGHT = 2
MISSED, SPIKE = 15, 16  # days of the segment's first, and its second


def nightly(series=3):
    values = counts(18, series)
    values[1, NIGHT::24] = np.random.default_rng(2).poisson(400, 18)
    values[1, MISSED * 24 + NIGHT] = 50
    values[1, SPIKE * 24 + 14] = 250
    return frame_of(values)


@pytest.fixture(scope="module")
def trained():
    return fit(job(), nightly().slice(Window(START, TRAINED)))


@pytest.fixture(scope="module")
def found(trained):
    frame, segment = nightly(), segment_of(TRAINED, START + 18 * DAY)
    again = Trained.from_numbers(trained.to_numbers())
    return [record for _, record in records(job(), score_segment(job(), frame, again, segment), segment, ())]


def place(record):
    return (record["timestamp"] / 1000 - START.timestamp()) / 3600


def test_the_night_without_a_peak_and_a_smaller_peak_by_day_are_what_is_told(found):
    loud = {place(record): record for record in found if record["record_score"] >= 50}
    missing, spike = MISSED * 24 + NIGHT, SPIKE * 24 + 14
    assert {missing, spike} <= set(loud)
    assert all(0 <= at - missing < 3 or 0 <= at - spike < 3 for at in loud), "an hour's mean remembers it for three"
    missed = loud[missing]
    assert missed["typical"][0] == pytest.approx(400, rel=0.1)
    assert missed["driftline"]["kind"] == "drop"
    assert "times lower" in missed["driftline"]["sentence"]


def test_other_series_have_none_of_it(found):
    assert {record["partition_field_value"] for record in found if record["record_score"] >= 25} == {"1"}


def test_a_series_that_the_snapshot_does_not_know_has_its_habits_too(trained):
    frame, segment = nightly(), {**segment_of(TRAINED, TRAINED + 4 * DAY), "day": TRAINED.isoformat()}
    made = newcomers(job(), frame, [key for key in frame.keys if key.partition_value != "1"], trained.usual, segment)
    assert made is not None
    night = np.array([(TRAINED + DAY + NIGHT * HOUR).replace(tzinfo=None)], dtype="datetime64[ms]")
    assert made.fleet.to_units(made.fleet.mean(night))[0, 0] == pytest.approx(400, rel=0.1)


def test_a_forecast_has_the_peaks_and_is_no_less_sure_of_the_hours_between(trained):
    part, plain = Modelled(trained.select([1]), ()), Modelled(trained.select([0]), ())
    times = np.datetime64(TRAINED.replace(tzinfo=None), "ms") + np.arange(72) * np.timedelta64(1, "h")
    reach, positive = np.zeros((2, 1, 1)), np.array([[True]])
    (lower, typical, upper), left = _widened(part.predict(times), part.passing(times), reach, positive)
    nights = np.arange(72) % 24 == NIGHT
    assert typical[0, nights] == pytest.approx(np.full(3, 400), rel=0.1)
    (below, _, above), _ = _widened(plain.predict(times), plain.passing(times), reach, positive)
    assert plain.passing(times) is None
    assert (upper - lower)[0, ~nights].max() < 1.5 * (above - below).max()
    assert (upper - lower)[0, nights].min() > (upper - lower)[0, ~nights].max()
    assert left.max() < (upper - lower)[0, ~nights].max()
