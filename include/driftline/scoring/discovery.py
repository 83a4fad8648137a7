"""Many looks, few alarms: how surprising a bucket is, given how many series were looked at.

Probabilities are given as surprises, −log10 p, so that none is too small for a float. Only those of the series that stand out are
needed: all others are known to be less surprising, and no formula here asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.special import gammaln

from driftline.scoring.score import among
from driftline.scoring.settings import EXCESS_SHAPE, EXCESS_SLACK, FALSE_DISCOVERY_RATE, MANY_LEAST, SURPRISE_MOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

LN10 = float(np.log(10.0))
Looks: TypeAlias = Callable[[int], int]
"""How many series were looked at in the bucket of a timestamp."""


def looks_at(series: int | Looks, time: int) -> int:
    """The same where it may be one number for all."""
    return series if isinstance(series, int) else series(time)


def excess(surprises: NDArray[np.float64], counts: NDArray[np.int64], looked_at: int) -> NDArray[np.float64]:
    """−log10 of the probability that at least `counts` of `looked_at` series are at least this surprising by chance.

    Of independent series with exact probabilities p that would be a binomial tail. But what models get wrong, they get wrong for
    many series in the same hour: so the count is Poisson with a mean of n p (times EXCESS_SLACK) times a gamma variable of mean 1
    and shape r = EXCESS_SHAPE, which is the negative binomial law. Its tail from k on is at most pmf(k) / (1 − q) for r ≤ 1, with
    q = μ / (μ + r), as each next term is at most q times the one before: exact far out, in logs, and monotone.

    Args:
        surprises: (K,) −log10 of the single probabilities p.
        counts: (K,) how many series are at least that surprising.
        looked_at: Series that were looked at, n.

    Returns:
        (K,) surprises; 0 where so many are no more than was to be expected.
    """
    k = counts.astype(np.float64)
    log_odds = np.log(looked_at * EXCESS_SLACK / EXCESS_SHAPE) - surprises * LN10  # of μ / r
    log_q, log_rest = -np.logaddexp(0.0, -log_odds), -np.logaddexp(0.0, log_odds)
    choose = gammaln(k + EXCESS_SHAPE) - gammaln(k + 1) - gammaln(EXCESS_SHAPE)
    tail = choose + k * log_q + (EXCESS_SHAPE - 1) * log_rest
    return np.asarray(np.clip(-tail / LN10, 0.0, SURPRISE_MOST), dtype=np.float64)


def job_surprise(surprises: NDArray[np.float64], looked_at: int) -> float:
    """−log10 of the probability that chance alone makes a bucket of this many series look at least this bad.

    Two kinds of news: the most surprising of n series (1 − (1 − p)^n), and more mildly surprising ones than there should be: for
    k = 2, 3, 4, 6, 8, 12 …, that at least k are as surprising as the k-th is (`excess`). The j-th question costs a factor of
    (j + 1)(j + 2): the inverses add up to 1, so by the union bound the answer is a probability whatever is asked. It never falls
    when a series becomes more surprising, or when one more does.

    Args:
        surprises: (M,) of the series that stand out, in any order; of several records of one partition only the highest. Those
            below MANY_LEAST count as none.
        looked_at: All series that were looked at; taken as M if it is less.

    Returns:
        The bucket's surprise, 0 for none.
    """
    ordered = np.sort(surprises[surprises >= MANY_LEAST])[::-1]
    if not len(ordered):
        return 0.0
    n = max(looked_at, len(ordered))
    best = among(float(ordered[0]), n) - float(np.log10(2.0))
    counts = _ladder(len(ordered))
    if len(counts):
        steps = np.arange(1, len(counts) + 1)
        found = excess(ordered[counts - 1], counts, n) - np.log10((steps + 1) * (steps + 2))
        best = max(best, float(np.max(found)))
    return float(np.clip(best, 0.0, SURPRISE_MOST))


def adjusted(surprises: NDArray[np.float64], looked_at: int) -> NDArray[np.float64]:
    """(M,) −log10 of the probabilities (M,) as Benjamini and Hochberg adjust them for `looked_at` series, in the given order.

    Of all that have an adjusted probability of at most q, a share of q is chance at most (on average). The k-th smallest of n
    becomes the least p n / j of those from the k-th on. Series that are not given are less surprising and change nothing but n.
    """
    order = np.argsort(-surprises, kind="stable")
    ranks = np.arange(1, len(order) + 1)
    single = surprises[order] - np.log10(max(looked_at, len(order), 1) / ranks)
    result = np.empty(len(order))
    result[order] = np.maximum.accumulate(single[::-1])[::-1]
    return np.maximum(result, 0.0)


def discoveries(surprises: NDArray[np.float64], looked_at: int, rate: float = FALSE_DISCOVERY_RATE) -> NDArray[np.bool_]:
    """(M,) which of these stand, when a share of `rate` of those that do may be chance. Of the mildest none does."""
    stands: NDArray[np.bool_] = (adjusted(surprises, looked_at) >= -np.log10(rate)) & (surprises >= MANY_LEAST)
    return stands


def _ladder(most: int) -> NDArray[np.int64]:
    """2, 3, 4, 6, 8, 12, 16 … up to `most`: two steps for each doubling, so that no count is far from one that is asked about."""
    halves = 2 ** np.arange(1, 63, dtype=np.int64)
    steps = np.sort(np.concatenate([halves, halves[:-1] // 2 * 3]))
    return steps[steps <= most]
