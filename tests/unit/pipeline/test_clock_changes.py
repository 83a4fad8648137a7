"""On the days on which clocks are put forward or back nothing happens, to a job that goes by these clocks."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from driftline.core.job import Job
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window
from driftline.pipeline.fit import fit
from driftline.pipeline.segment import score_segment
from driftline.scoring.settings import ALARM_SCORE

HOUR, DAY, SERIES = timedelta(hours=1), timedelta(days=1), 60


def steep(start, days, seed):
    """Counts of offices that open at eight and close at six by their own clocks."""
    local = pd.date_range(start, periods=days * 24, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    hour = np.asarray(local.hour + local.minute / 60)
    curve = 0.1 + 1 / (1 + np.exp(-3 * (hour - 8))) - 1 / (1 + np.exp(-3 * (hour - 18)))
    return np.random.default_rng(seed).poisson(np.broadcast_to(400 * curve, (SERIES, days * 24))).astype(float)


@pytest.mark.parametrize("change", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_series_do_not_alarm_in_the_week_after_clocks_were_moved(change):
    data = {"job_id": "web", "bucket_span": "1h", "detectors": [{"function": "count", "partition_field_name": "office"}]}
    job = Job.parse({**data, "datafeed": {"indices": "web"}, "time_zone": "Europe/Berlin"}, where="test")
    start, trained_until = change - 29 * DAY, change - DAY
    values = steep(start, 36, int(change.timestamp()))
    frame = SeriesFrame(
        start, HOUR, [SeriesKey(0, str(row)) for row in range(SERIES)], values, values.sum(axis=0).astype(np.int64)
    )
    trained = fit(job, frame.slice(Window(start, trained_until)))
    segment = {**Window(trained_until, frame.end).as_dict(), "training_start": start.isoformat()}
    found = score_segment(job, frame, trained, {**segment, "training_end": trained_until.isoformat()})
    assert (found.scores[:, found.skip :] >= ALARM_SCORE).sum() <= 1, "by chance, as in any week"
