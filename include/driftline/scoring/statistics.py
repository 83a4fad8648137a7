"""Statistics: what is looked at in each bucket. Each depends on that bucket and a bounded number of those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import i0e, i1e

from driftline.core.timespan import MILLISECOND
from driftline.scoring.residuals import running_level, within_reach
from driftline.scoring.settings import (
    CURRENT,
    CURRENT_BRIEF,
    CURRENT_FLAT,
    CURRENT_MEAN,
    CURRENT_SHAPE,
    CURRENT_SWING,
    FLAT_MOST,
    LEAST_COMMON,
    LEVEL_DOUBT,
    LN10,
    MEAN_BUCKETS,
    MEAN_CLIP,
    PERIODS,
    SWING_CLIP,
    SWING_LEAST,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.scoring.windows import Windows

    Matrix = NDArray[np.float64]
    Moves = NDArray[np.intp]

MEANS = ("brief", "mean", "long")
SIGNED = ("point", *MEANS, "pair")
EVIDENCE = ("point", "brief", "mean", "long", "shape", "variance", "flatline", "pair")
"""What is judged by its own past: |z|; |mean of z| over some minutes, an hour, and three; how unlike it is to all days before;
how much it swings, or how little; and |mean of z| of two buckets. Calibrations keep the last one's tail last: it is newer."""


class Settled(NamedTuple):
    """Residuals (N, T) around the level that they have settled on lately.

    Attributes:
        z: In units of noise.
        centre: What is expected on that level, in the model's space.
        unit: The noise there: the farther a level is from the model, the less is known of what it does.
    """

    z: Matrix
    centre: Matrix
    unit: Matrix


def settled(
    space: Matrix, mean: Matrix, sd: Matrix, positive: NDArray[np.bool_], sized: NDArray[np.bool_], windows: Windows
) -> Settled:
    """Values (N, T) against what the model expects on the level that its residuals have settled on lately.

    A level is so many units of noise more at all times. Of what is never negative (`positive`, (N,)) it may as well be so many
    times as much: twice the visitors are twice as many by day and by night, a new health check is not. What lies between both is
    expected: the nearer one is.
    """
    residuals = space - mean
    centre = mean + running_level(residuals / sd, windows.block) * sd
    if sized.any():  # noise of few documents is no other level: each value counts by how well it is known
        weight = sd[sized] ** -2.0
        centre[sized] = mean[sized] + running_level(residuals[sized] * weight, windows.block, weight)
    if positive.any():
        rows = slice(None) if positive.all() else positive
        unit = np.maximum(mean[rows], sd[rows])
        times = mean[rows] + running_level(residuals[rows], windows.block, unit) * unit
        plus, value = centre[rows], space[rows]
        nearer = np.clip(value, np.minimum(plus, times), np.maximum(plus, times))
        centre[rows] = np.where(np.isnan(value), plus, nearer)
    unit = np.hypot(sd, LEVEL_DOUBT * (centre - mean))
    return Settled((space - centre) / unit, centre, unit)


def looked_at(
    space: Matrix,
    mean: Matrix,
    sd: Matrix,
    step: Matrix,
    positive: NDArray[np.bool_],
    sized: NDArray[np.bool_],
    windows: Windows,
    moves: Moves | None = None,
) -> tuple[Settled, dict[str, Matrix]]:
    """Residuals around the level that they have `settled` on, and their `statistics`: the same in training and in scoring."""
    space = within_reach(space, mean, sd)
    around = settled(space, mean, sd, positive, sized, windows)
    return around, statistics(around.z, space, mean, sd, step, windows, moves)


def statistics(
    z: Matrix, space: Matrix, mean: Matrix, sd: Matrix, step: Matrix, windows: Windows, moves: Moves | None = None
) -> dict[str, Matrix]:
    """The statistics of EVIDENCE, (N, T) each, those of SIGNED with their sign; NaN where one has nothing to say.

    Besides, what part of it is now: `shape_now`, the last minutes' mean square as a part of all that is looked at,
    `variance_now`, the newest change's, and `flatline_now`, the newest changes' as a multiple.

    Args:
        z: Settled residuals, NaN where there is no value.
        space: Values in the model's space.
        mean: The model's expectations there.
        sd: Their standard deviations.
        step: The least change that values can make, as of `residuals.steps`.
        windows: How many buckets each looks at.
        moves: As of `clock_moves`.
    """
    # of changes it does not matter where residuals have settled, and between two levels there are none
    swing, apart, change, newest = _swing((space - mean) / sd, step / sd, windows)
    shape, unlike = _shape(space, sd, windows, moves)
    return {
        "point": z,
        "brief": recent_mean(z, windows.brief),
        "mean": recent_mean(z, windows.mean),
        "long": recent_mean(z, windows.long),
        "shape": shape,
        "variance": np.log(swing + SWING_LEAST),
        "flatline": -np.log(swing + apart + SWING_LEAST),
        "pair": recent_mean(z, windows.pair),
        "shape_now": unlike,
        "variance_now": change / np.maximum(swing, 1e-9),
        "flatline_now": newest / (swing + apart + SWING_LEAST),
    }


def magnitude(name: str, statistic: Matrix) -> Matrix:
    """What is judged of a statistic: its size if it has a sign."""
    return np.abs(statistic) if name in SIGNED else statistic


def speaking(z: Matrix, found: dict[str, Matrix]) -> dict[str, NDArray[np.bool_]]:
    """Where evidence of several buckets speaks. Over is over.

    That is while the bucket, and (but for a pair) the last minutes, deviate the same way; of a flatline while the newest changes
    are as little.
    """
    there, lately = np.abs(z) >= CURRENT, np.nan_to_num(np.abs(found["brief"]))
    out = {"variance": there & (found["variance_now"] >= CURRENT_SWING), "flatline": found["flatline_now"] <= CURRENT_FLAT}
    out["pair"] = there & _same_way(found["pair"], z, np.abs(z))
    there &= lately >= CURRENT_BRIEF
    size = np.minimum(np.nan_to_num(np.abs(z)), lately)
    out["shape"] = there & ((found["shape_now"] >= CURRENT_SHAPE) | (size >= np.nan_to_num(found["shape"])))
    for name in MEANS:
        out[name] = there & _same_way(found[name], z, size)
    return out


def _same_way(mean: Matrix, z: Matrix, size: Matrix) -> NDArray[np.bool_]:
    """(N, T) where a mean and the bucket deviate the same way, and what is now by so much of it."""
    return np.asarray((mean * z > 0) & (size >= CURRENT_MEAN * np.nan_to_num(np.abs(mean))))


def recent_mean(z: Matrix, width: int) -> Matrix:
    """(N, T) mean of the last `width` residuals, each clipped; missing ones count as none. NaN where the width is 0."""
    if not width:
        return np.full(z.shape, np.nan)
    total = running(np.clip(np.nan_to_num(z, nan=0.0), -MEAN_CLIP, MEAN_CLIP), width)
    return np.where(np.isnan(z), np.nan, total / width)


def _shape(space: Matrix, sd: Matrix, windows: Windows, moves: Moves | None) -> tuple[Matrix, Matrix]:
    """Root mean square difference, in units of noise, of the last buckets to the same time on the most similar day before.

    Besides, the last minutes' mean square as a part of it, 0 where there is none.

    The nearest neighbour of a subsequence (a left matrix profile, Yeh et al. 2016), looked for where a series that follows
    the clock must have it: what is usual at this time is found even where no model describes it.
    """
    count, width = space.shape
    best, variance, now = np.full((count, width), np.inf), sd**2, np.zeros((count, width))
    for period in range(1, PERIODS + 1):
        lag = period * windows.day
        if lag >= width:
            break
        before = slice(None, -lag) if moves is None else _same_time(moves, lag)
        both = np.sqrt((variance[:, lag:] + variance[:, before]) / 2)
        difference = (space[:, lag:] - space[:, before]) / both
        mean = _mean_square(difference, windows.shape)
        nearer = mean < best[:, lag:]
        np.copyto(best[:, lag:], mean, where=nearer)
        np.copyto(now[:, lag:], _mean_square(difference, windows.brief), where=nearer)
    best = np.maximum(best, 0.0)
    return np.where(np.isfinite(best), np.sqrt(best / 2), np.nan), now / np.maximum(best, 1e-9)


def clock_moves(times: NDArray[np.datetime64], local: NDArray[np.datetime64], windows: Windows) -> Moves | None:
    """(T,) by how many buckets `local` clocks are ahead of UTC `times`; None where that is always the same."""
    ahead = (local.astype("datetime64[ms]") - times.astype("datetime64[ms]")) / np.timedelta64(1, "ms")
    moves = np.rint((ahead - ahead[:1]) / (windows.span / MILLISECOND)).astype(np.intp)
    return moves if (moves != moves[:1]).any() else None


def _same_time(moves: Moves, lag: int) -> Moves:
    """(T - lag,) the buckets that lie so many before those from `lag` on by the clock; the first one where there is none."""
    return np.asarray(np.maximum(np.arange(len(moves) - lag) + moves[lag:] - moves[:-lag], 0), dtype=np.intp)


def unforeseen(z: Matrix, shape: Matrix, windows: Windows) -> NDArray[np.bool_]:
    """(N, T) where the last buckets are as unlike the model as all days before: it may know of clocks that were moved."""
    return np.asarray(_mean_square(z, windows.shape) >= shape**2)


def _mean_square(difference: Matrix, length: int) -> Matrix:
    """(N, T) over the last `length` buckets; infinite where fewer than half of them are known."""
    known = ~np.isnan(difference)
    total = running(np.where(known, difference**2, 0.0), length)
    if known.all():
        amount = np.minimum(np.arange(1, difference.shape[1] + 1), length)[None].astype(np.float64)
    else:
        amount = running(known.astype(np.float64), length)
    return np.where(amount >= length / 2, total / np.maximum(amount, 1.0), np.inf)


def _swing(z: Matrix, step: Matrix, windows: Windows) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Mean squares (N, T) of recent changes, and of steps; the square of the newest change, and the mean of the newest few.

    NaN while fewer than half of the changes are known.

    How little a series swings is not told beyond a step: of a few events an hour, hours without one are no rarity.
    """
    change = np.full_like(z, np.nan)
    change[:, 1:] = np.minimum((z[:, 1:] - z[:, :-1]) ** 2, SWING_CLIP)
    known = ~np.isnan(change)
    squares = np.where(known, change, 0.0)
    amount = running(known.astype(np.float64), windows.swing)
    amount = np.where(amount >= windows.swing / 2, amount, np.nan)
    steps = np.where(known, np.minimum(step**2, SWING_CLIP), 0.0)
    swing, apart = (np.maximum(running(part, windows.swing) / amount, 0.0) for part in (squares, steps))
    few = max(windows.brief, MEAN_BUCKETS)
    newest = running(squares, few) / np.maximum(running(known.astype(np.float64), few), 1.0)
    return swing, apart, change, newest


def ended(member: NDArray[np.bool_], among: NDArray[np.bool_], most: int) -> NDArray[np.bool_]:
    """(N, T) `among`, but for the run of members that goes on at the end: that it goes on is what is asked, and no habit yet.

    It is one if it is longer than `most` buckets, or than all that was before it.
    """
    run = np.logical_and.accumulate((member | ~among)[:, ::-1], axis=1)[:, ::-1]
    length = (run & among).sum(axis=1)
    return np.asarray(among & ~(run & ((length <= most) & (2 * length <= among.sum(axis=1)))[:, None]), dtype=bool)


def frozen(
    values: Matrix,
    expected: Matrix,
    common: NDArray[np.float64],
    counts: NDArray[np.bool_],
    apart: int = 0,
    still: Matrix | None = None,
) -> Matrix:
    """(N, T) −log10 of the probability of the run of equal values, or nearly equal ones, that ends in each bucket.

    Two counts with the same expectation µ differ by d with probability exp(−2µ) I_d(2µ) (Skellam's distribution); other readings,
    and counts that repeat more often, are equal as often as they were in the past.

    Args:
        values: (N, T) in the series' units.
        expected: (N, T) their expectation.
        common: (N,) how often a value was followed by one that counts as equal, in the past.
        counts: (N,) which series are counts.
        apart: By how much neighbours may differ, 0 or 1: buckets of a constant rate are two counts, one apart, in turn.
        still: (N, T) how often, at the hour of each bucket, where that is more.
    """
    equal = np.zeros(values.shape, dtype=bool)
    # nothing at all is not stuck, but silent
    nothing = counts[:, None] & (values[:, 1:] == 0) & (values[:, :-1] == 0)
    equal[:, 1:] = (np.abs(values[:, 1:] - values[:, :-1]) <= apart) & ~nothing
    chance = np.broadcast_to(np.maximum(common, LEAST_COMMON)[:, None], values.shape)
    if still is not None:
        chance = np.maximum(chance, still)
    if counts.any():
        mu = 2 * np.maximum(expected, 0.0)
        by_law = i0e(mu) + 2 * i1e(mu) if apart else i0e(mu)
        chance = np.where(counts[:, None], np.maximum(by_law, chance), chance)
    return _run(equal, np.minimum(-np.log(chance) / LN10, FLAT_MOST))


def silent(values: Matrix, expected: Matrix, spread: Matrix, common: Matrix) -> Matrix:
    """(N, T) −log10 of the probability of the run of zeros that ends in each bucket, for counts.

    A count with expectation µ whose rate varies is 0 with probability (1 + µ s)^(−1/s) (negative binomial; exp(−µ) at s = 0),
    and as often as zeros were followed by zeros in the past where something was expected.

    Args:
        values: (N, T) counts.
        expected: (N, T) their expectation.
        spread: (N, T) or (N, 1) s, the squared relative variation of the rate.
        common: (N,) how often nothing came where at least one was expected.
    """
    mu, s = np.maximum(expected, 0.0), np.maximum(spread, 1e-9)
    by_law = np.log1p(mu * s) / s / LN10
    return _run(values == 0, np.minimum(by_law, -np.log10(np.maximum(common, LEAST_COMMON))[:, None]))


def _run(member: NDArray[np.bool_], weight: Matrix) -> Matrix:
    """Sum of the weights over the run of members that ends in each bucket."""
    total = np.cumsum(np.where(member, weight, 0.0), axis=1)
    before = np.maximum.accumulate(np.where(member, 0.0, total), axis=1)
    return np.where(member, total - before, 0.0)


def running(values: Matrix, width: int) -> Matrix:
    """(N, T) sums of the last `width` values; the first ones see fewer."""
    total = np.cumsum(values, axis=1)
    out = total.copy()
    out[:, width:] -= total[:, :-width]
    return out
