"""The constants of scoring, each with how it was chosen."""

from __future__ import annotations

from datetime import timedelta

# Buckets of the multi-bucket evidence, and so the look-back that scoring reads before its interval. Elastic uses 12 too.
LOOKBACK = 12

# Noise that is assumed at least. A Poisson count has a standard deviation of 1/2 in sqrt space at every level; a generator
# of perfectly regular events must not make one event more or less an anomaly.
SQRT_FLOOR = 0.5
# For other values: half a percent of the usual size, so that a constant reading tolerates rounding.
RELATIVE_FLOOR = 0.005

# Calibration matches this quantile of the absolute training residuals to the normal distribution's, so heavy tails widen the
# noise. Far enough out to see tails in 500 buckets (an hourly model's three weeks), far enough in not to be one outlier.
TAIL_QUANTILE = 0.99

# Bursts are kept out of a fit when they are more than this many deviations out (a new level lies nearer and must be learned) …
MASK_SIGMA = 6.0
# … and sparse: less than this share of the buckets within twelve hours either side.
MASK_SHARE = 0.25
MASK_REACH = timedelta(hours=12)

# Point residuals count at most this much in the multi-bucket mean: one spike is one bucket's news, not twelve.
MULTI_CLIP = 4.0
# The mean speaks only while the bucket itself still deviates the same way by this many deviations.
MULTI_CURRENT = 1.0
# It is worth this much at most (−log10 of its probability): a level that moved is news for a day, and must not outrank
# buckets that are far out by themselves for as long as it lasts. 9.5 ends as a score of 45, minor.
MULTI_MOST = 9.5

# Score 0–100 as a function of −log10(probability). 3.3 is 3.7 deviations: by chance once in three weeks of 15-minute buckets, the
# least that is worth a record. 24 is a little over ten: a tenfold rate of even six events a bucket.
SCORE_CURVE = ((3.3, 0.0), (5.5, 25.0), (10.0, 50.0), (18.0, 75.0), (24.0, 90.0), (50.0, 97.0), (300.0, 100.0))
MIN_RECORD_SCORE = 1.0

SEVERITIES = ((75.0, "critical"), (50.0, "major"), (25.0, "minor"), (0.0, "warning"))


# A retrained model may be this much worse in its backtest than the one in use before it is refused: below that it is noise.
PROMOTE_TOLERANCE = 1.05
# The backtest compares at most this many series a batch; the loss is a mean over series, and 100 fix it to a few percent.
BACKTEST_SERIES = 100
# One series' loss is a mean of absolute residuals in units of noise, each counted at most this much: anomalies do not decide.
BACKTEST_CLIP = 5.0
