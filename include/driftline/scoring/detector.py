"""The detector: evidence of all kinds, together as one surprise a bucket. A pure function of series, model and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import nbinom

from driftline.scoring.hours import chosen_of, laid
from driftline.scoring.recurrence import lowered, peaks
from driftline.scoring.residuals import LOG, ROOT, expected_in_form, in_form, of_form, steps, widened
from driftline.scoring.score import span_bonus
from driftline.scoring.settings import (
    ALONE,
    ALONE_COST,
    BOUNDS,
    CERTAIN_SILENCE,
    DISCRETE_BELOW,
    EDGES,
    EVIDENCE_MOST,
    JOINT_SHARE,
    LEARNING_MOST,
    LN10,
    NOW,
    RUN_COST,
    RUNS,
)
from driftline.scoring.statistics import (
    EVIDENCE,
    Settled,
    frozen,
    looked_at,
    magnitude,
    silent,
    speaking,
    unforeseen,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.core.functions import Side
    from driftline.scoring.calibration import Calibration, Learned
    from driftline.scoring.hours import Hours
    from driftline.scoring.windows import Windows

    Matrix = NDArray[np.float64]
    Flags = NDArray[np.bool_]

SIGNS = {"both": 0, "high": 1, "low": -1}


@dataclass
class Detected:
    """What was found in (N, T) buckets.

    Attributes:
        z: Settled residuals in units of noise, NaN where there is no value.
        expected: In the model's space: the model's mean on the level that residuals have settled on (`settled`).
        centre: Where `z` is 0, and
        sd: its unit: the same in the model's space, or another `form`.
        form: (N,) codes of the form that values are looked at in (`residuals.in_form`).
        positive: Where nothing negative was seen so far.
        evidence: −log10 of the probability by each kind of evidence.
        alone: The same of all together but runs; 0 where there is no value, or the other side was asked for.
        surprise: The same with runs, once what came before, and what is still learned, are allowed for.
        times: In how many stretches before there was one as surprising.
        damped: Codes of what kept the surprise down: 0 nothing, 1 learning, 2 the other side, 3 that it came before.
    """

    z: Matrix
    expected: Matrix
    centre: Matrix
    sd: Matrix
    form: NDArray[np.int8]
    positive: Flags
    evidence: dict[str, Matrix]
    alone: Matrix
    surprise: Matrix
    times: NDArray[np.int8]
    damped: NDArray[np.int8]

    def bounds(self) -> list[Matrix]:
        """Lower and upper bounds of 95 %, and what was expected between them; in the model's space.

        Nothing negative is expected where none was seen.
        """
        lower, upper = (of_form(self.centre + way * BOUNDS * self.sd, self.form) for way in (-1, 1))
        return [np.where(self.positive, np.maximum(part, 0.0), part) for part in (lower, self.expected, upper)]


LEARNING, OTHER_SIDE, RECURRING = 1, 2, 3


def detect(
    values: Matrix,
    space: Matrix,
    mean: Matrix,
    sqrt: Flags,
    calibration: Calibration,
    windows: Windows,
    *,
    sides: list[Side] | None = None,
    learning: Flags | None = None,
    sizes: Matrix | None = None,
    spread: Matrix | None = None,
    moves: NDArray[np.intp] | None = None,
    hours: Hours | None = None,
) -> Detected:
    """Weighs the evidence in each bucket.

    Args:
        values: (N, T) in the series' units, NaN where missing.
        space: The same in the model's space.
        mean: The model's expectations there.
        sqrt: (N,) which series are modelled as square roots.
        calibration: What is usual.
        windows: What the statistics look at.
        sides: Which deviations each series reports; both by default.
        learning: (N, T) buckets of which too little is known yet, such as the first weekend.
        sizes: (N, T) of how many documents each value is a mean; NaN for what is none.
        spread: (N, T) how much values vary besides their noise, in the model's space: what comes by habit does.
        moves: (T,) as of `statistics.clock_moves`.
        hours: As of `hours.hours_of`.
    """
    hourly = None if hours is None else laid(calibration.by_hour, hours, mean.shape[1])
    shown, (z, centre, unit), looked = _look(space, mean, sqrt, calibration, windows, sizes, spread, moves, hourly)
    found = _weighed(values, z, centre, looked, sqrt, calibration)
    least, form = calibration.seen[:, :1], calibration.form
    expected = _expected(mean, shown, centre, least, form)
    units = np.where(sqrt[:, None], np.maximum(expected, 0.0) ** 2, expected)
    still = None if hours is None else laid(calibration.still, hours, mean.shape[1], nothing=0.0)
    stuck = frozen(values, units, calibration.equal, sqrt | (calibration.whole > 0), still=still)
    gone = np.zeros_like(z)
    if sqrt.any():
        due = np.maximum(mean + _as_it_began(centre - mean, values), 0.0) ** 2
        gone = np.where(sqrt[:, None], silent(values, due, _rates(calibration, due, hourly), calibration.nothing), 0.0)
        nearly = frozen(values, units, calibration.near, sqrt, apart=1)
        stuck = np.where(sqrt[:, None], np.maximum(stuck, nearly), stuck)
    found |= {"frozen": stuck, "silence": gone}
    alone, run, sign = combine(found, z, unforeseen(z, looked["shape"], windows)), _running(found, z), _sign(sides, len(z))
    # once a level has followed to nothing, nothing lies on neither side of it, and is low still
    other = np.where(gone >= CERTAIN_SILENCE, sign > 0, _other_side(z, sign))
    joint = np.maximum(alone, run)
    alone, run = np.where(other, 0.0, alone), np.where(other, 0.0, run)
    by_itself, times = lowered(alone, calibration.peaks, windows)
    surprise = np.maximum(by_itself, run)
    inside = _seen(in_form(space, least[:, 0], form), in_form(calibration.seen, least[:, 0], form), unit)
    young = np.zeros_like(inside) if learning is None else learning & inside
    damped = np.zeros(z.shape, dtype=np.int8)
    damped[surprise < np.maximum(alone, run)] = RECURRING
    most = LEARNING_MOST - span_bonus(windows.span)
    damped[young & (surprise > most)] = LEARNING
    damped[other & (joint > 0)] = OTHER_SIDE
    surprise = np.where(young, np.minimum(surprise, most), surprise)
    positive = calibration.positive[:, None] & ~(np.fmin.accumulate(space, axis=1) < 0)
    return Detected(z, expected, centre, unit, form, positive, found, alone, surprise, times, damped)


def _seen(space: Matrix, seen: Matrix, unit: Matrix) -> Flags:
    """(N, T) what lies between the least and the greatest value `seen` (N, 2), or no farther out than the least noise goes.

    The least of some days is not quite the least. But nothing at all is seen or not.
    """
    low, high = np.hsplit(seen, 2)
    noise = np.fmin.reduce(unit, axis=1, keepdims=True)
    return np.asarray((space >= low - noise) & (space <= high + noise) & ((space != 0) | (low <= 0)))


def _as_it_began(level: Matrix, values: Matrix) -> Matrix:
    """(N, T) the level that was settled on; in a run of zeros that of the bucket before, for it soon follows them to nothing."""
    before = np.maximum.accumulate(np.where(values == 0, 0, np.arange(values.shape[1])), axis=1)
    return np.take_along_axis(level, before, axis=1)


def _rates(usual: Calibration, units: Matrix, hourly: Matrix | None) -> Matrix:
    """(N, T) the squared relative variation of counts' rates: what is noisier at an hour than chance has it varies then."""
    varies = 4 * usual.law[:, 1:]
    if hourly is None:
        return varies
    more = np.maximum(hourly**2, 1.0)
    return np.asarray(varies * more + (more - 1) / np.maximum(units, 1.0))


def _look(
    space: Matrix,
    mean: Matrix,
    sqrt: Flags,
    usual: Calibration,
    windows: Windows,
    sizes: Matrix | None,
    spread: Matrix | None,
    moves: NDArray[np.intp] | None,
    hourly: Matrix | None,
) -> tuple[Matrix, Settled, dict[str, Matrix]]:
    """What is expected in the series' form, residuals around the level that they have settled on, and their statistics."""
    sd, form = usual.deviation(mean, sqrt, sizes, hourly), usual.form
    least = usual.seen[:, 0]
    model, mean = mean, expected_in_form(mean, sd, least, usual.shift, form)
    sd = widened(sd, spread, model, mean, form)
    step = steps(mean, sqrt, usual.whole > 0, form)
    positive = usual.positive & (form != LOG)
    return mean, *looked_at(in_form(space, least, form), mean, sd, step, positive, usual.sized, windows, moves)


def _expected(mean: Matrix, shown: Matrix, centre: Matrix, least: Matrix, form: NDArray[np.int8]) -> Matrix:
    """(N, T) the model's mean, moved as far as `centre` is from it as it is `shown` in another form, and so still a mean."""
    out, logs, roots = centre.copy(), form == LOG, form == ROOT
    out[logs] = np.maximum(mean[logs], least[logs]) * np.exp(centre[logs] - shown[logs])
    out[roots] = np.maximum(mean[roots] + np.maximum(centre[roots], 0.0) ** 2 - np.maximum(shown[roots], 0.0) ** 2, 0.0)
    return out


def past_peaks(
    values: Matrix,
    space: Matrix,
    mean: Matrix,
    sqrt: Flags,
    learned: Learned,
    windows: Windows,
    *,
    mask: Flags | None = None,
    sides: list[Side] | None = None,
    sizes: Matrix | None = None,
    spread: Matrix | None = None,
    moves: NDArray[np.intp] | None = None,
    hours: Hours | None = None,
) -> Matrix:
    """The peaks of the past that a calibration was learned from, as `recurrence.peaks` has them of what `detect` finds.

    Only buckets are weighed in which some evidence is in its tail: of others, no surprise is worth a score.

    Args:
        values: (N, T) as of `detect`.
        space: (N, T).
        mean: (N, T).
        sqrt: (N,).
        learned: What is usual, with the statistics that it was learned from.
        windows: What the statistics look at.
        mask: (N, T) bursts that were left out there; they are part of the past.
        sides: As of `detect`.
        sizes: As of `detect`.
        spread: As of `detect`.
        moves: As of `detect`.
        hours: As of `detect`.
    """
    calibration, z, centre, looked = learned.usual, learned.z, learned.centre, learned.looked
    masked = np.empty(0, dtype=np.intp) if mask is None else np.flatnonzero(mask.any(axis=1))
    if len(masked):
        known, wide = (None if part is None else part[masked] for part in (sizes, spread))
        chosen = space[masked], mean[masked], sqrt[masked], calibration.take(masked)
        hourly = None if hours is None else laid(calibration.by_hour[masked], chosen_of(hours, masked), mean.shape[1])
        _, around, again = _look(*chosen, windows, known, wide, moves, hourly)
        z, centre = _put(z, masked, around.z), _put(centre, masked, around.centre)
        looked = {name: _put(part, masked, again[name]) for name, part in looked.items()}
    tails = np.zeros(z.shape, dtype=bool)
    for name in EVIDENCE:
        tails |= magnitude(name, looked[name]) > calibration.tails[name].knots[:, -1:]
    rows, columns = np.nonzero(tails)
    value, level, residual = (part[rows, columns][:, None] for part in (values, centre, z))
    new = unforeseen(z, looked["shape"], windows)[rows, columns][:, None]
    cells = {name: part[rows, columns][:, None] for name, part in looked.items()}
    usual, flags = calibration.take(rows), sqrt[rows]
    found = _weighed(value, residual, level, cells, flags, usual)
    other = _other_side(residual, _sign(sides, len(z))[rows])
    alone = np.where(np.isnan(z), np.nan, 0.0)
    alone[rows, columns] = np.where(other, 0.0, combine(found, residual, new))[:, 0]
    return peaks(alone, windows)


def _put(whole: Matrix, rows: NDArray[np.intp], part: Matrix) -> Matrix:
    """A copy with other rows."""
    out = whole.copy()
    out[rows] = part
    return out


def _weighed(
    values: Matrix, z: Matrix, centre: Matrix, looked: dict[str, Matrix], sqrt: Flags, calibration: Calibration
) -> dict[str, Matrix]:
    """The surprises of statistics by their tails, of those that speak. Each cell is on its own, whatever the shape."""
    found = {name: calibration.tails[name].surprise(magnitude(name, looked[name])) for name in EVIDENCE}
    for name, speaks in speaking(z, looked).items():
        found[name] = np.where(speaks, found[name], 0.0)
    if sqrt.any():
        _by_counting(found["point"], values, centre, sqrt, calibration)
    return found


def combine(evidence: dict[str, Matrix], z: Matrix, new: Flags) -> Matrix:
    """One surprise (N, T) of all evidence but runs: of three sides together, or of what stands alone, which has its cost.

    Alone stand what is NOW, those of ALONE, and a shape that is `new` to the model as well (`unforeseen`).
    """
    now, joint = from_three_sides(evidence)
    for part in (now, np.where(new, evidence["shape"], 0.0), *(evidence[name] for name in ALONE)):
        joint = np.maximum(joint, np.minimum(part, EVIDENCE_MOST) - ALONE_COST)
    return np.where(np.isnan(z), 0.0, joint)


def from_three_sides(evidence: dict[str, Matrix]) -> tuple[Matrix, Matrix]:
    """(N, T) the most that one of NOW says, and what that, the mean and the shape come to together."""
    now = np.maximum.reduce([evidence[name] for name in NOW])
    three = (np.minimum(part, EVIDENCE_MOST) for part in (now, evidence["mean"], evidence["shape"]))
    return now, np.sum(list(three), axis=0) * JOINT_SHARE


def _running(evidence: dict[str, Matrix], z: Matrix) -> Matrix:
    """(N, T) surprise of runs. They grow by the bucket: each is told once, when it is certain. Past runs are in their law."""
    out = np.zeros_like(z)
    for name, most in RUNS.items():
        worth = np.minimum(evidence[name], most) - RUN_COST
        out = np.maximum(out, np.where(worth >= EDGES[1], worth, 0.0))
    return np.where(np.isnan(z), 0.0, out)


def _sign(sides: list[Side] | None, count: int) -> NDArray[np.int64]:
    """(N, 1) which way series report: 1, -1, or 0 for both."""
    return np.array([SIGNS[side] for side in sides])[:, None] if sides else np.zeros((count, 1), dtype=np.int64)


def _other_side(z: Matrix, sign: NDArray[np.int64]) -> Flags:
    return np.asarray((sign != 0) & (np.nan_to_num(z) * sign < 0), dtype=bool)


def _by_counting(point: Matrix, values: Matrix, centre: Matrix, sqrt: Flags, calibration: Calibration) -> None:
    """At low levels the evidence of a single count is no more than its own law's, a negative binomial's; changed in place."""
    low = centre < DISCRETE_BELOW**0.5
    rows, columns = np.nonzero((point > 2.0) & sqrt[:, None] & low & np.isfinite(values))
    count, mu = values[rows, columns], np.maximum(np.maximum(centre[rows, columns], 0.0) ** 2, 1e-3)
    size = 1.0 / np.maximum(4 * calibration.law[rows, 1], 1e-6)
    chance = size / (size + mu)
    above = nbinom.logsf(count - 1, size, chance)
    below = nbinom.logcdf(count, size, chance)
    # two sides were looked at
    exact = np.maximum(-np.minimum(above, below) / LN10 - np.log10(2.0), 0.0)
    point[rows, columns] = np.minimum(point[rows, columns], np.where(np.isfinite(exact), exact, EVIDENCE_MOST))
