"""The constants of scoring, each with how it was chosen."""

from __future__ import annotations

from datetime import timedelta

# Noise that is assumed at least. A Poisson count has a standard deviation of 1/2 in sqrt space at every level; a generator
# of perfectly regular events must not make one event more or less an anomaly.
SQRT_FLOOR = 0.5
# For other values: half a percent of the usual size, so that a constant reading tolerates rounding.
RELATIVE_FLOOR = 0.005

# Calibration matches this quantile of the absolute training residuals to the normal distribution's, so heavy tails widen the
# noise. Far enough out to see tails in 500 buckets (an hourly model's three weeks), far enough in not to be one outlier.
TAIL_QUANTILE = 0.99
TAIL_NORMAL = 2.575829  # where a normal distribution has it
BURST_SHARE = 0.125

# Bursts are kept out of a fit when they are more than this many deviations out (a new level lies nearer and must be learned) …
MASK_SIGMA = 6.0
# … and sparse: less than this share of the buckets within twelve hours either side.
MASK_SHARE = 0.25
MASK_REACH = timedelta(hours=12)
# Bursts are left out of what is usual, too, until they came on so many different days, or on more than one of so many that are
# known: then they are usual. Without the second, what a series of three days did on one of them was critical on the fourth.
MASK_DAYS, MASK_EACH = 3, 7

LN10 = 2.302585092994046

# The look-back of the statistics, each in time with a least number of buckets. A mean over an hour and a stretch of two were the
# best on series of five minutes, and near the best on those of 15 minutes and of hours, where they need some buckets to be one.
MEAN_TIME, MEAN_BUCKETS = timedelta(hours=1), 3
# What goes on for some minutes is a point at shorter spans, too.
BRIEF_TIME = timedelta(minutes=5)
# What is slight, and goes on for hours, is told from noise by a longer mean where the others have buckets enough.
LONG_TIME = timedelta(hours=3)
SHAPE_TIME, SHAPE_BUCKETS = timedelta(hours=2), 6
SWING_TIME, SWING_BUCKETS = timedelta(hours=3), 12
# Days that a stretch is compared with: a week, so that a weekend is compared with one.
PERIODS = 7
# The level that residuals settle on: the median of eight means of three hours, a day in all, the newest three hours left out.
LEVEL_BLOCK, LEVEL_BLOCKS, LEVEL_LEAST = timedelta(hours=3), 8, 4
# What rides on a level that the model has not learned is known less well, by this share of how far that level is from the model:
# after twice the traffic, nights and weekends are not quite twice what they were. With it no further alarm comes after any of 160
# level shifts at 5 and 15 minutes (without: 4), there are fewer false alarms (7 instead of 14), and the benchmark by halves gains
# .4; a half of it leaves two, on the benchmark nothing but the halves moves from 0.05 to 0.2.
LEVEL_DOUBT = 0.2
# What comes again within a day is the same incident where it is asked how often there was one.
REST, REST_BUCKETS = timedelta(days=1), 24
# One incident, one alarm: for half a day, and at the same time of the next day, give or take an hour. What comes back later is
# news; what comes each night at three is not. Rests of 6 to 18 hours are within half a point on the benchmark, a whole day is one
# and a half below; access logs have the same alarms with half a day and a whole one.
ALARM_REST, ALARM_AROUND = timedelta(hours=12), timedelta(hours=1)

# Residuals that lie on one side for a block, by this much on average, are a level shift; a ramp if they grow by this factor.
SHIFT_LEAST = 1.5
SHIFT_BUCKETS = 3  # at least so many in either half: two hours of a spike are no level
RAMP_RATIO = 1.5

# Predictability: shares of far outliers, and how far the level strays from the model in units of noise. It is told, not acted on:
# what is hard to predict has wide tails, and these hold it to wider bounds.
FAIR_BURSTS, POOR_BURSTS = 0.01, 0.05
FAIR_WANDER, POOR_WANDER = 3.0, 10.0

# Units of noise to either side that hold 95 % of a normal law: what bounds show, as in Elastic's model plot.
BOUNDS = 1.959964

# What lies within what was seen is no more than a minor anomaly while a series is learned: a first weekend is no incident. It is
# a surprise of buckets of SPAN_BASE; of longer ones it is what scores as much.
LEARNING_MOST = 4.1
# Below this expectation a count's own law is asked, too: its square root is not normal there.
DISCRETE_BELOW = 25.0

# Models of a replay learn from so much, as those of a job do by default.
HISTORY = timedelta(days=28)

# A week's pattern is looked for from two weeks on, a trend from three days and some buckets on.
WEEKLY_FROM, TREND_FROM, TREND_BUCKETS = timedelta(days=14), timedelta(days=3), 36

# Bins of the level that the noise law's line is laid through.
NOISE_BINS = 8
# Bins count the more the quieter they are, as a law has it, but to this part of the noisiest: none that stands still decides.
QUIET_BIN = 0.02
# Of counts expected well below one, the standard deviation shrinks with the expectation, down to this part of the floor.
SPARSE_FLOOR = 0.4

# Noise by the hour: hours, and those of workdays and of weekends, are compared that were seen on so many days, so that two bad
# days, such as one weekend, decide nothing. So many values of an hour count, as neighbours are alike. Series have it whose hours
# differ by so many times what chance makes of them, squared; with some likeness left it makes twice as much. With 2 the benchmark
# has 78.1, with 3 and 5 it has 78.5, and bounds of office hours hold 90, 86 and 82 % of the 95. Of such series an hour that
# differs by less than two errors (squared) has nothing of its own, others more of what they show the surer it is, at most e².
HOUR_DAYS, HOUR_VALUES = 7, 2
HOUR_SURE, HOUR_DOUBT, HOUR_MOST = 3.0, 4.0, 2.0
# … and of counts, hours in which fewer events are expected in a bucket say nothing: their residuals are steps of a whole event.
HOUR_EVENTS = 2.0
# … a single hour that differs by more errors (squared) than this counts in any series: one of backups is known in a week.
HOUR_ALONE = 30.0
# Before there are HOUR_DAYS days, and while hours have fewer than HOUR_OWN values (three weeks of hourly ones), each is looked at
# with HOUR_REACH hours to either side, from HOUR_YOUNG days on; then it takes more to be sure. With one hour to either side less
# is found by night in the first week. Without an end the benchmark has 75 instead of 78, as its tweets have more minor anomalies;
# with 80 values edges of quiet nights are blurred for good at a span of an hour. Two bad days of the first three do decide.
HOUR_YOUNG, HOUR_REACH, HOUR_OWN = 3, 2, 21

# Of series whose values repeat more often than this, hours at which they do so even more often, by so many errors, have that: a
# sensor that shows whole degrees was told to be stuck on one night in four. Less often, no run of a night is long.
STILL_LEAST, STILL_SURE = 0.1, 3.0

# No value counts as farther from its expectation than so many units of noise. Statistics are differences of running sums, which
# of 1e10 units lost, for a week, what came after; of these, errors are a millionth of a unit.
FAR = 1e5
# One bucket counts at most this many deviations in a mean, and this squared change in a swing: a spike is news once.
MEAN_CLIP = 30.0
# What is over is over, though statistics of hours remember it. A mean speaks while the bucket itself deviates by so many units of
# noise, and by so much of what the mean says: with a half, an hour of 2.9 two hours after a spike was another of it; with .7, a
# shift was told twice. So do, at a minute, the last five of them (`brief`), by CURRENT_BRIEF: one in three deviates by chance.
# (But for a mean of two: when it begins, five know little.)
# Of a shape or a swing, what is newest has at least such a part in its mean square: the hours after a spike are like others, and
# its beginning and end are two changes. (Or the bucket is as far from the model as the shape is from all days: it may be like one
# of them by chance.) What is found is the same without, but for two of 2 400 anomalies at four seeds and three spans; but at a
# minute, spikes of half an hour were told to be over 44 minutes late instead of four, and silences of two hours an hour. With a
# quarter of a shape, ends are as right, but swings are told in pieces.
CURRENT, CURRENT_BRIEF, CURRENT_MEAN, CURRENT_SHAPE, CURRENT_SWING = 1.0, 0.5, 0.6, 0.1, 0.5
# A flatline speaks while the newest changes are at most so many times as large as those of its hours: of noise as little, one
# mean of three squares in twenty is larger. Without it flatlines were told to be over 28 minutes late at a span of
# five and 45 at one; with it they are at once, and five minutes late.
CURRENT_FLAT = 3.0
SWING_CLIP = 25.0
# Added to a swing's mean square before its logarithm: none at all is not infinitely rare.
SWING_LEAST = 0.02

# Means of documents are looked at as logarithms where these have the lighter tails, by this quantile of the noise in units of its
# median: times and sizes are skewed, the more so the fewer of them there are; shares of a processor are not.
LOG_QUANTILE = 0.995
# … and no single document is noisier than this as a logarithm: of what is as likely a twentieth as twenty times as large, a
# logarithm tells no mean.
LOG_NOISE_MOST = 3.0
# What is less than this part of all that was seen, nothing at all for one, counts as this part: a logarithm knows no zero.
LOG_LEAST = 1e-3
# Sums of documents are looked at as square roots where these have the lighter tails: noise of what comes at random, each of some
# size, is the same there at all levels. A root's expectation is below the root of the expectation by its noise, which for a few
# documents is not known well: the square of it is at least this part of the expectation.
ROOT_LEAST = 0.25

# Runs: one more equal value is worth at most this much, and nothing is assumed to be rarer than this.
FLAT_MOST = 1.5
LEAST_COMMON = 0.001

# Quantiles of the bulk that a tail keeps. Beyond, for TAIL_SHARE of the past but at least TAIL_LEAST values, a law is fitted.
BULK = (0.5, 0.2, 0.1, 0.05)
TAIL_SHARE = 0.02
TAIL_LEAST = 10
# Its shape: what residuals of access logs and of host metrics have in common, as strong as TAIL_TRUST excesses.
TAIL_SHAPE, TAIL_SHAPE_MOST, TAIL_TRUST = 0.1, 0.3, 20.0
# Its least scale, in units of noise: the normal distribution's is 0.4.
TAIL_WIDTH_LEAST = 0.2
# Means of more counts than this vary less, by the fourth root of how many more. The square root, which independent noise has,
# gives false alarms at one minute; without it every third level shift there goes unseen. Other readings have no law that says so.
TAIL_COUNTS = 24

# Point, mean and shape see one event from three sides: half the sum of their surprises is what they come to together.
NOW = ("point", "pair", "brief", "long")
ALONE = ("variance", "flatline")
JOINT_SHARE = 0.5
EVIDENCE_MOST = 300.0
# What stands still, swings or stays away is looked at beside the three: other looks, other chances of a false alarm. So is
# a shape without precedent: a day's peak that does not come lies where a night would, and no mean of residuals is far out. So is
# what is now, at all spans: at a minute, when something begins, an hour's mean and two hours' shape say nothing yet, and half of
# what a bucket says, or two of them together, was not enough. Up to 7 of 20 spikes of ten times were told in their third minute;
# now all 100 of five seeds are by the second, and of 1 600 weeks 11 have a false alarm instead of 7.
ALONE_COST = 1.0
# Runs are looked for in every bucket, and neighbours are more alike than their law has it: at night, in fleets, in feeds.
# What is stuck is worth a look, not more; what is gone may be critical.
RUNS = {"frozen": 9.0, "silence": 300.0}
RUN_COST = 3.0
CERTAIN_SILENCE = 4.0

# Surprise at the edges of the severities. 3.4 is where alarms begin on the benchmark; 4.2 where 200 partitions of an access log
# give less than 0.025 false ones a partition and week, at spans of 1 to 15 minutes.
EDGES = (3.4, 5.0, 8.0)

# Score 0–100 as a function of the surprise, −log10(probability): severities begin at the edges.
SCORE_CURVE = ((2.6, 0.0), (EDGES[0], 25.0), (EDGES[1], 50.0), (EDGES[2], 75.0), (15.0, 90.0), (50.0, 97.0), (300.0, 100.0))
# Long buckets are few: the same probability comes up less often. A score is about time, so of spans beyond SPAN_BASE a surprise
# counts more, by the root of how many fewer there are, as short buckets that are neighbours are alike. At the base the edges
# were chosen. The benchmark at 15, 30 and 60 minutes, by the threshold of five, comes to 67, 66, 62 instead of 65, 60, 55. Access
# logs have no more false alarms at 15 minutes, one and five more of 400 partitions at 30 and 60, and .01 to .02 more recall.
# A clean partition has .4 minor ones a week from 15 minutes on, instead of .2.
SPAN_BASE, SPAN_POWER = timedelta(minutes=5), 0.5
# The same for a job's buckets. A single series' surprise is measured to be ten times too small, so severities begin early; that
# of many series is not, and errs where models err together: 5 000 clean endpoints reach 7.4 in a week, incidents 20 and more.
JOB_CURVE = ((3.3, 0.0), (5.5, 25.0), (10.0, 50.0), (18.0, 75.0), (24.0, 90.0), (50.0, 97.0), (300.0, 100.0))
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
# … nor do ten minutes: at a minute what lasts for hours has quiet minutes by chance, and would be told in pieces.
EVENT_QUIET = timedelta(minutes=10)
# An event that lasts longer is closed: by then the change is known, and learned. It also bounds what an event depends on.
EVENT_LONGEST = timedelta(days=1)
# What a level shift or ramp scores at most, just under critical: a change is news, and not a fault.
CHANGE_MOST = 74.9
CHANGES = frozenset({"level_shift", "ramp"})
# What stands still: a fault of its own, whatever moved before it.
STILL = frozenset({"flatline", "silence"})
# A change within two days of the end of one no less surprising is the same: until a retrain the new level has rhythms that
# the model does not know, such as a deeper weekend. On the access-log set one level shift of 20 was told again after 1.2 days.
CHANGE_REST = timedelta(days=2)
# An event alarms from this score on: "major". Minor ones are there for those who look.
ALARM_SCORE = 50.0
# That gives a false alarm or so in a week of so many series. Of more series, each has to be as much more surprising.
ALARM_SERIES = 200

# --- Renormalisation ---

# How much a law is trusted against what comes again in spite of it, in incidents: the shape of the gamma law of what the true
# probability may be. As for many series at once, one half: nine others as rare make what is critical major, or nearly.
RENORMAL_SHAPE = 0.5
# What came again lowers a score already when it is made: in how many blocks of two rests (days), of thirty days, was there
# something as surprising? Blocks of one day take what comes in clusters for a habit, those of a week do not see what comes twice
# in one. On the benchmark blocks of two and three days, 26 to 36 days, and shapes from 0.2 to 0.5, are within half a point.
RECUR_RESTS, RECUR_BLOCKS = 2, 15
# One may be chance, or the first of a fault that comes back: the third of its like is worth less. With one, second incidents
# would be lost, and nothing be won.
RECUR_LEAST = 2
# Scores are corrected from so many points on: a correction is a document written anew.
RENORMAL_POINTS = 0.5

# --- Feedback ---

# What was said to be nothing scores no more than a warning when it comes again …
FEEDBACK_MOST = 3.3
# … unless it is so many times as large, or as surprising: about the root of three, the middle between one and three. Of spikes
# planted into counts of 5 to 300 a bucket, at spans of 5 minutes to an hour, 99 % of those of the same size were within by both,
# and none of those three times as large by its deviation. Surprises alone do not tell these apart: they grow slowly.
FEEDBACK_LIKE = 1.75

# Of the records of a bucket that count towards "many at once", this share may be chance: with the usual 5 %, small clean jobs
# lose nothing, but members of a real incident are lost; 10 % of its members being innocent harms nobody.
FALSE_DISCOVERY_RATE = 0.1
# What is milder than this is not counted towards it: of 200 clean series 18 reach 2.4 in the same bucket of two weeks, by what
# their models get wrong together.
MANY_LEAST = 2.6
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
# … of series that share a field value; of others it takes this times the root of how many there are: 4 % of 200, 1 % of 5 000.
# They must have begun within so many buckets: of hundreds some are up to something at any time, each an event of its own.
CROWD_ROOT, ONSET_BUCKETS = 0.6, 3
# … if that is as surprising as the least of a minor score.
CROWD_SURPRISE = 5.5
# Field values that at least this share of an event's members have are what they have in common: all or most of them.
COMMON_SHARE = 0.8
# Members of an event that are named; the rest is counted.
MEMBERS_NAMED = 20
