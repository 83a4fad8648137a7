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


# --- Events, and many series with few alarms ---

# A surprise beyond this is not told from a larger one: the score curve ends there, and so do the probabilities that are written.
SURPRISE_MOST = 300.0
# Quiet buckets that do not end an event: an endpoint that fails intermittently has one incident, not five.
EVENT_GAP = 2
# An event that lasts longer is closed: by then the change is known, and learned. It also bounds what an event depends on.
EVENT_LONGEST = timedelta(days=1)
# What a level shift or ramp scores at most, just under critical: a change is news, and not a fault.
CHANGE_MOST = 74.9
CHANGES = frozenset({"level_shift", "ramp"})
# An event alarms from this score on: "major". Minor ones are there for those who look.
ALARM_SCORE = 50.0

# Of the records of a bucket that count towards "many at once", this share may be chance: with the usual 5 %, small clean jobs
# lose nothing, but members of a real incident are lost; 10 % of its members being innocent harms nobody.
FALSE_DISCOVERY_RATE = 0.1
# Single probabilities may be too small by this factor before a fleet of them looks like an excess. Tails are fitted on weeks of
# data and are right to a factor of two or three at 1 in 1 000; real incidents exceed chance by factors of hundreds.
EXCESS_SLACK = 3.0
# … and they are wrong for many series in the same hour, so that how many stand out by chance is not Poisson's law but wider: its
# mean is drawn from a gamma law of this shape. One half lets ten times as many happen once in a hundred buckets.
EXCESS_SHAPE = 0.5

# Buckets over which the mean of all series is looked at: now, and two longer ones for what is small. The longest is LOOKBACK.
TOGETHER_WINDOWS = (1, 4, 12)
# One series counts at most this many deviations in the mean: a normal series never gets there, an outage does not rule.
TOGETHER_CLIP = 3.0
# With fewer series the mean tells little that they do not tell themselves.
TOGETHER_SERIES = 20
# A longer mean speaks while the bucket itself deviates by this share of it: half way back to normal, it is over.
TOGETHER_CURRENT = 0.5
# Far enough out to see the tails of the site's own noise in a few hundred buckets.
TOGETHER_QUANTILE = 0.99
# What models get wrong together is told from noise once each hour of the week (or of the day) was seen so often: the least that a
# median needs to leave out one incident.
TOGETHER_SEEN = 3
# The mean of all series is noisier on new data than on what the models were fitted to. With 1 000 and 2 000 endpoints like the
# generator's and a week held back, 1.5 leaves no bucket above a surprise of 4 in a week; a drop of 15 % reaches 6 to 28.
TOGETHER_SLACK = 1.5

# So many series at once, the same way, are one event; two may be a coincidence that is worth two lines.
CROWD_SERIES = 3
# … if that is as surprising as the least of a minor score.
CROWD_SURPRISE = 5.5
# Field values that at least this share of an event's members have are what they have in common: all or most of them.
COMMON_SHARE = 0.8
# Members of an event that are named; the rest is counted.
MEMBERS_NAMED = 20
