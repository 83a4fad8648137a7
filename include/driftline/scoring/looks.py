"""Looks at a metric given another: at each bucket alone, and at the last hours together, where what is slight shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.scoring.conditional import LEAST, Relation, rows_of, unknown
from driftline.scoring.settings import CURRENT_MEAN, LONG_TIME, MEAN_BUCKETS
from driftline.scoring.shares import Shares

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.functions import Side
    from driftline.scoring.conditional import Pairs
    from driftline.scoring.rarity import Floats, Hashes

    Bools = NDArray[np.bool_]

TOO_FEW = f"fewer than {LEAST} buckets with both metrics"
TWO_LOOKS = float(np.log10(2.0))  # as many chances of a false alarm


@dataclass
class Looked:
    """What is to be said of M values.

    Attributes:
        surprise: (M,) −log10 of the probability of each.
        typical: (M,) what was expected; NaN where nothing is known of its series.
        point: (M,) the surprise of the bucket alone.
        long: (M,) that of the last hours, while the bucket itself deviates the same way.
    """

    surprise: Floats
    typical: Floats
    point: Floats
    long: Floats


def back(seconds: int) -> int:
    """How many buckets are looked at together."""
    return max(MEAN_BUCKETS, round(LONG_TIME / timedelta(seconds=seconds)))


NOTHING: dict[str, Any] = {}  # where nothing was learned


def learned(seen: Pairs, seconds: int, *, share: bool, counted: bool) -> dict[str, Any]:
    """What is usual, as JSON data.

    Args:
        seen: The values of a training window.
        seconds: The bucket span.
        share: Whether the metric is a part of the other, rather than a value that goes with it.
        counted: Whether that part is a number of events.
    """
    together = seen.summed(back(seconds), mean=not share)
    models = [Shares.fit(each, counted=counted) if share else Relation.fit(each) for each in (seen, together)]
    return {"point": models[0].numbers(), "long": models[1].numbers()}


def known(numbers: dict[str, Any], groups: Hashes, *, share: bool) -> Bools:
    """(G,) whether anything was learned of series."""
    model = (Shares if share else Relation).from_numbers(numbers["point"])
    out = np.zeros(len(groups), dtype=bool)
    out[rows_of(model.groups, groups)[1]] = True
    return out


def looked(numbers: dict[str, Any], seen: Pairs, seconds: int, side: Side, *, share: bool) -> Looked:
    """Judges values; those of the hours before must be among them."""
    if not numbers:
        nothing = unknown(len(seen.value))
        return Looked(nothing.surprise, nothing.typical, nothing.surprise, nothing.surprise)
    kind = Shares if share else Relation
    together = seen.summed(back(seconds), mean=not share)
    point, long = (kind.from_numbers(numbers[name]).judge(each, side) for name, each in (("point", seen), ("long", together)))
    now, lately = (
        (each.value - said.typical) / (each.given if share else 1.0) for each, said in ((seen, point), (together, long))
    )
    speaks = (point.sign != 0) & (point.sign == long.sign) & (np.abs(now) >= CURRENT_MEAN * np.abs(lately))
    lasting = np.where(speaks, long.surprise, 0.0)
    surprise = np.maximum(np.maximum(point.surprise, lasting) - TWO_LOOKS, 0.0)
    return Looked(surprise, point.typical, point.surprise, lasting)
