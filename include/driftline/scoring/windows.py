"""How many buckets the evidence looks at: rules in time and in buckets, for every bucket span."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from driftline.scoring.settings import (
    ALARM_AROUND,
    ALARM_REST,
    BRIEF_TIME,
    LEVEL_BLOCK,
    LEVEL_BLOCKS,
    LONG_TIME,
    MEAN_BUCKETS,
    MEAN_TIME,
    PERIODS,
    RECUR_RESTS,
    REST,
    REST_BUCKETS,
    SHAPE_BUCKETS,
    SHAPE_TIME,
    SWING_BUCKETS,
    SWING_TIME,
)

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Windows:
    """Lengths in buckets.

    Attributes:
        span: Of a bucket.
        day: A day; 1 for spans of a day and more.
        long: Of a mean for what is slight; 0 where it is not longer than twice the other.
        brief: Of the mean that counts as a point.
        pair: Of a mean of two buckets; 0 where `brief` is no longer than that.
        mean: Of the mean over recent buckets.
        shape: Of the stretch that is compared with earlier days.
        swing: Of the variance of changes.
        block: Of one block of the running level.
        rest: Within which what comes again is the same incident, where it is asked how often there was one.
    """

    span: timedelta
    day: int
    long: int
    brief: int
    pair: int
    mean: int
    shape: int
    swing: int
    block: int
    rest: int

    @classmethod
    def of(cls, span: timedelta) -> Windows:
        """The lengths for a bucket span."""
        brief = max(1, round(BRIEF_TIME / span))
        return cls(
            span=span,
            day=max(1, round(DAY / span)),
            long=round(LONG_TIME / span) if LONG_TIME / span > 2 * MEAN_BUCKETS else 0,
            brief=brief,
            pair=2 if brief > 2 else 0,
            mean=max(MEAN_BUCKETS, round(MEAN_TIME / span)),
            shape=max(SHAPE_BUCKETS, round(SHAPE_TIME / span)),
            swing=max(SWING_BUCKETS, round(SWING_TIME / span)),
            block=max(1, round(LEVEL_BLOCK / span)),
            rest=max(REST_BUCKETS, round(REST / span)),
        )

    @property
    def alarm(self) -> int:
        """How long an alarm stands for those after it: half a day, however few buckets that is."""
        return max(1, round(ALARM_REST / self.span))

    @property
    def around(self) -> int:
        """Buckets to either side of the time of an alarm that are the same time on the next day."""
        return round(ALARM_AROUND / self.span)

    @property
    def alarm_reach(self) -> int:
        """Buckets before one that decide whether it is news."""
        return self.day + self.around

    @property
    def evidence(self) -> int:
        """Buckets before the first that is scored, so that its evidence is what a longer history would give."""
        level = (LEVEL_BLOCKS + 1) * self.block
        return max(PERIODS * self.day + self.shape, level + max(self.mean, self.long, self.swing) + 1)

    @property
    def recurrence(self) -> int:
        """Of one block in which what came before is looked for."""
        return RECUR_RESTS * self.rest

    @property
    def lookback(self) -> int:
        """The same with a rest to spare: of running sums that begin elsewhere the last digits differ."""
        return self.rest + self.evidence
