"""Renormalisation: what comes again and again is worth less than it was when it was new, however rare its law has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.scoring.settings import EVENT_GAP, RENORMAL_SHAPE, SURPRISE_MOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_FAR = 2 * SURPRISE_MOST  # between the keys of two groups


def first_score(record: dict[str, Any]) -> float:
    """A record's score when it was scored, or what people made of it: what alarmed is judged by that."""
    judged = "feedback" in record["driftline"]
    return float(record["record_score"] if judged else record.get("initial_record_score", record["record_score"]))


def renormalised(surprise: Floats, bucket: Ints, group: Ints, history: int, *, gap: int = EVENT_GAP) -> Floats:
    """(M,) surprises of results, given what else their groups had in so long a history.

    Args:
        surprise: (M,) −log10 of the probabilities, up to SURPRISE_MOST.
        bucket: (M,) when, in bucket spans.
        group: (M,) codes from 0 of what has a history of its own: a series, an influencer's value, a job.
        history: How many buckets were looked at.
        gap: Quiet buckets that do not end an incident.
    """
    if not len(surprise):
        return surprise
    order = np.lexsort((bucket, group))
    of, time, ordered = group[order], bucket[order], surprise[order]
    # results that follow one another are one incident, which is no history of itself
    first = np.concatenate([[True], (np.diff(of) != 0) | (np.diff(time) > gap + 1)])
    peaks = np.sort(of[first] * _FAR + np.maximum.reduceat(ordered, np.flatnonzero(first)))
    others = np.searchsorted(peaks, (group + 1) * _FAR) - np.searchsorted(peaks, group * _FAR + surprise) - 1
    return corrected(surprise, others, history)


def corrected(surprise: Floats, others: Ints, history: Ints | int) -> Floats:
    """(M,) surprises of what had so many others like it, each at least as surprising, in a history of so many buckets.

    A probability p is taken for the mean of a gamma law, of shape a, of what the true one may be. After i incidents in n buckets
    that mean is (i + a) / (n + a / p): about p (1 + i / a) where p n is small. Nothing becomes more surprising, and what has no
    equal stays as it is.
    """
    after = -np.log10((others + RENORMAL_SHAPE) / (history + RENORMAL_SHAPE * 10.0 ** np.minimum(surprise, SURPRISE_MOST)))
    return np.where(others > 0, np.minimum(after, surprise), surprise)
