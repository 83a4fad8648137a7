"""Calibration: what is usual for a series around its model, learned from its past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from driftline.scoring.hours import HOURS, NORMAL, laid, noise_by_hour, repeats_by_hour
from driftline.scoring.residuals import (
    LOG,
    ROOT,
    absolute_quantile,
    deviation,
    expected_in_form,
    in_form,
    middle,
    noise_floor,
    noise_law,
    noise_level,
    robust_sigma,
    steps,
    usual_size,
    widened,
)
from driftline.scoring.settings import (
    BULK,
    BURST_SHARE,
    FAIR_BURSTS,
    FAIR_WANDER,
    HOUR_EVENTS,
    LOG_NOISE_MOST,
    LOG_QUANTILE,
    MASK_SIGMA,
    POOR_BURSTS,
    POOR_WANDER,
    RECUR_BLOCKS,
    RELATIVE_FLOOR,
    STILL_LEAST,
    TAIL_COUNTS,
    TAIL_NORMAL,
    TAIL_QUANTILE,
    TAIL_WIDTH_LEAST,
)
from driftline.scoring.statistics import EVIDENCE, ended, looked_at, magnitude
from driftline.scoring.tail import Tail, fit_tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from driftline.scoring.hours import Hours
    from driftline.scoring.windows import Windows

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

GRADES = ("good", "fair", "poor")
"""How well a series can be predicted."""
OWN = 11  # numbers of a series besides its tails
TAIL = len(BULK) + 4
TAILED = OWN + len(EVIDENCE[:-1]) * TAIL
PEAKED = TAILED + RECUR_BLOCKS
FORM = PEAKED + 2
FORMED = PEAKED + 4
HOURLY = FORMED + HOURS
STILL = HOURLY + HOURS
WIDTH = STILL + TAIL
"""Numbers of a series. New ones come last: snapshots that were made before have fewer."""
NOT_MEASURED = np.concatenate(
    [np.full(PEAKED, np.nan), [1.0, 0.0, 0.0, 0.0], np.ones(HOURS), np.zeros(HOURS), np.full(TAIL, np.nan)]
)
"""What numbers say that were not measured: no peaks, nothing of near values, plain forms, hours alike, nothing of pairs."""


@dataclass
class Calibration:
    """What is usual for N series.

    Attributes:
        scale: (N,) noise of single values that matches the middle of the residuals and their far ones, whatever the level.
        floor: (N,) least standard deviation to assume, in the model's space.
        law: (N, 2) the noise law's a and b.
        whole: (N,) 1 for series of whole numbers from 0 on, else 0.
        equal: (N,) how often a value was followed by the same again.
        nothing: (N,) how often nothing came where at least one was expected.
        seen: (N, 2) least and greatest value that was seen, in the model's space; of less than a day, any may come.
        bursts: (N,) share of the buckets that lay far outside.
        wander: (N,) how far the level strayed from the model, in units of noise (nine tenths of the time it was less).
        tails: Tail of each statistic of EVIDENCE.
        peaks: (N, RECUR_BLOCKS) the most surprising bucket of each stretch before; NaN where none is known.
        near: (N,) how often a value was followed by one at most one more or less; 1, which says nothing, if it was not measured.
        size: (N,) of how many documents a value usually is the mean; 0 where that does not matter.
        form: (N,) codes of the form that values are looked at in (`residuals.in_form`).
        shift: (N,) how far the middle of these is from where a law has it; 0 for plain ones.
        by_hour: (N, HOURS) by what the noise is multiplied at each hour.
        still: (N, HOURS) how often a value was followed by the same at hours at which that is more than `equal`; 0 at others.
    """

    scale: Vector
    floor: Vector
    law: Matrix
    whole: Vector
    equal: Vector
    nothing: Vector
    seen: Matrix
    bursts: Vector
    wander: Vector
    tails: dict[str, Tail]
    peaks: Matrix
    near: Vector
    size: Vector
    form: NDArray[np.int8]
    shift: Vector
    by_hour: Matrix
    still: Matrix

    @property
    def grade(self) -> NDArray[np.int8]:
        """(N,) codes into GRADES."""
        poor = (self.bursts > POOR_BURSTS) | (self.wander > POOR_WANDER)
        fair = (self.bursts > FAIR_BURSTS) | (self.wander > FAIR_WANDER)
        return np.where(poor, 2, np.where(fair, 1, 0)).astype(np.int8)

    @property
    def positive(self) -> NDArray[np.bool_]:
        """(N,) series of which nothing negative was seen."""
        return self.seen[:, 0] >= 0

    @property
    def sized(self) -> NDArray[np.bool_]:
        """(N,) series whose noise hangs on how many documents a value is of."""
        return self.size > 0

    def deviation(
        self, mean: Matrix, sqrt: NDArray[np.bool_], sizes: Matrix | None = None, hourly: Matrix | None = None
    ) -> Matrix:
        """(N, T) standard deviation of values with these expectations, of so many documents, at these hours; in their form."""
        level = noise_level(mean, sizes, self.size, self.form == ROOT)
        return deviation(self.law, level, self.floor, sqrt, self.sized, hourly)

    def noise(self, hours: Hours, length: int) -> Matrix | None:
        """(N, T) the noise of single values at these hours, in the model's space; None where it is `scale` at all of them."""
        hourly = laid(self.by_hour, hours, length)
        if hourly is None:
            return None
        return np.maximum(self.scale[:, None] * hourly, np.minimum(self.scale, self.floor)[:, None])

    def take(self, rows: NDArray[np.intp]) -> Calibration:
        """What is usual for some of the series, in the order given."""
        return Calibration.from_numbers(self.numbers()[rows])

    def numbers(self) -> Matrix:
        """(N, K) all of it as numbers."""
        own = [self.scale, self.floor, self.law, self.whole, self.equal, self.nothing, self.seen, self.bursts, self.wander]
        *tails, pair = [self.tails[name].numbers() for name in EVIDENCE]
        own += [*tails, self.peaks, self.near, self.size]
        return np.column_stack([*own, self.form, self.shift, self.by_hour, self.still, pair])

    @classmethod
    def from_numbers(cls, numbers: Matrix) -> Calibration:
        """The same again."""
        parts = np.split(complete(numbers), (OWN, TAILED, PEAKED, FORMED, HOURLY, STILL), axis=1)
        own, tailed, peaks, formed, by_hour, still, pair = parts
        scale, floor, law_a, law_b, whole, equal, nothing, low, high, bursts, wander = own.T
        law, seen = np.column_stack([law_a, law_b]), np.column_stack([low, high])
        by_evidence = zip(EVIDENCE, [*np.split(tailed, len(EVIDENCE) - 1, axis=1), pair], strict=True)
        tails = {name: Tail.from_numbers(part) for name, part in by_evidence}
        near, size, codes, shift = formed.T
        form = codes.astype(np.int8)
        return cls(
            scale, floor, law, whole, equal, nothing, seen, bursts, wander, tails, peaks, near, size, form, shift, by_hour, still
        )


@dataclass
class Learned:
    """What is usual, and what it was learned from.

    Attributes:
        usual: What is usual, with no peaks yet: `detector.past_peaks` finds them.
        z: (N, T) settled residuals, NaN where there was no value or a burst.
        centre: (N, T) what was expected, in the model's space.
        looked: The statistics of them.
    """

    usual: Calibration
    z: Matrix
    centre: Matrix
    looked: dict[str, Matrix]


def calibrate(
    values: Matrix,
    space: Matrix,
    mean: Matrix,
    sqrt: NDArray[np.bool_],
    windows: Windows,
    mask: NDArray[np.bool_] | None = None,
    sizes: Matrix | None = None,
    sums: NDArray[np.bool_] | None = None,
    spread: Matrix | None = None,
    moves: NDArray[np.intp] | None = None,
    hours: Hours | None = None,
) -> Learned:
    """Learns what is usual.

    Args:
        values: (N, T) in the series' units, NaN where missing.
        space: The same in the model's space.
        mean: The model's expectations there.
        sqrt: (N,) which series are modelled as square roots.
        windows: What the statistics look at.
        mask: (N, T) True where a burst is left out. Without it bursts count: what happens every week is no anomaly.
        sizes: (N, T) of how many documents each value is a mean; NaN for what is none.
        sums: (N,) which series are sums of documents.
        spread: (N, T) how much values vary besides, in the model's space.
        moves: (T,) as of `statistics.clock_moves`.
        hours: As of `hours.hours_of`; without it noise is the same at all of them.
    """
    (lowest, high), first = _extremes(space), np.isfinite(space).argmax(axis=1)  # bursts, too, were seen
    if mask is not None:
        values, space = np.where(mask, np.nan, values), np.where(mask, np.nan, space)
    known, residuals = np.isfinite(space), space - mean
    size = usual_size(sizes, known, sqrt)
    sized, none = size > 0, np.zeros(len(space), dtype=bool)
    level, least = noise_level(mean, sizes, size, none), noise_floor(space, sqrt)
    positive, (low, _) = lowest >= 0, _extremes(space)
    # before a day was seen, any morning or night may come yet
    young = known.shape[1] - first < windows.day
    shift, form = np.zeros(len(space)), np.zeros(len(space), dtype=np.int8)
    form[sized & (low > 0) & ~young] = LOG
    if sums is not None:
        form[sums & ~sqrt & (low >= 0) & ~young] = ROOT

    def measured(hourly: Matrix | None) -> tuple[Vector, Matrix, Matrix, Matrix]:
        """Floors, noise laws, and what is expected with its deviations, in the form that is settled on without `hourly`."""
        noise = _noise(residuals, level, least, sqrt, sized, none, hourly)
        if form.any():
            there = noise_level(mean, sizes, size, form == ROOT)
            shift[:] = _keep_lighter(space, mean, there, size, low, form, noise, hourly)
        shown = expected_in_form(mean, noise[2], low, shift, form)
        return *noise[:2], shown, widened(noise[2], spread, mean, shown, form)

    whole = (np.isnan(values) | ((values >= 0) & (values == np.floor(values)))).all(axis=1)
    floor, law, shown, sd = measured(None)
    by_hour = np.ones((len(space), HOURS))
    if hours is not None:
        # what bursts make of a floor says nothing of a quiet hour; but whole numbers are rounded by half of one
        plain = np.where(form == 0, np.where(whole & ~sqrt, np.maximum(least, 0.5), least), floor)
        ground = deviation(np.zeros_like(law), noise_level(mean, sizes, size, form == ROOT), plain, none, sized)
        few = sqrt[:, None] & (mean < HOUR_EVENTS**0.5)
        by_hour = noise_by_hour(_telling(in_form(space, low, form) - shown, sd, ground, few), hours, windows.day)
        hourly = laid(by_hour, hours, space.shape[1])
        if hourly is not None:
            floor, law, shown, sd = measured(hourly)
            residuals = residuals / hourly
    scale = np.maximum(robust_sigma(residuals, floor), absolute_quantile(residuals, TAIL_QUANTILE) / TAIL_NORMAL)
    space, mean = in_form(space, low, form), shown
    lowest = np.where(form == LOG, low, lowest)  # a logarithm's least is that of what is usual
    seen = np.column_stack([np.where(young, np.where(positive, 0.0, -np.inf), lowest), np.where(young, np.inf, high)])
    step = steps(mean, sqrt, whole, form)
    (z, centre, _), found = looked_at(space, mean, sd, step, positive & (form != LOG), sized, windows, moves)
    equal, near, nothing = _repeats(values, mean, sqrt, windows.day)
    still = repeats_by_hour(values, ~sqrt & (equal > STILL_LEAST), hours or [], windows.day)
    bursts = (np.abs(np.nan_to_num(z)) > MASK_SIGMA).mean(axis=1)
    lengths = {"mean": windows.mean, "long": windows.long}
    tails = {name: fit_tail(magnitude(name, found[name]), _least_width(lengths.get(name, 1), sqrt)) for name in EVIDENCE}
    wander, peaks = absolute_quantile((centre - mean) / sd, 0.9), np.full((len(z), RECUR_BLOCKS), np.nan)
    wholes = whole * 1.0
    usual = Calibration(
        scale, floor, law, wholes, equal, nothing, seen, bursts, wander, tails, peaks, near, size, form, shift, by_hour, still
    )
    return Learned(usual, z, centre, found)


def _extremes(space: Matrix) -> tuple[Vector, Vector]:
    """(N,) least and greatest values; infinite where none is known."""
    known = np.isfinite(space)
    return np.where(known, space, np.inf).min(axis=1), np.where(known, space, -np.inf).max(axis=1)


def _telling(residuals: Matrix, sd: Matrix, ground: Matrix, few: NDArray[np.bool_]) -> Matrix:
    """(N, T) sizes of residuals, in units of their noise, that tell how noisy an hour is.

    What lies below the least noise (`ground`) says nothing, such as a model's ripple on what stands still, nor do steps of `few`
    events.
    """
    away = np.maximum(np.abs(residuals - middle(residuals)), NORMAL * ground)
    away[few] = np.nan
    return np.asarray(away / np.maximum(sd, ground))


def _noise(
    residuals: Matrix,
    level: Matrix,
    least: Vector,
    sqrt: NDArray[np.bool_],
    sized: NDArray[np.bool_],
    roots: NDArray[np.bool_],
    hourly: Matrix | None = None,
) -> tuple[Vector, Matrix, Matrix]:
    """Floors (N,), of `least` and of far residuals, noise laws (N, 2) and standard deviations (N, T)."""
    lined = sized | roots
    if hourly is not None:
        residuals = residuals / hourly
    floor = np.maximum(least, absolute_quantile(residuals, TAIL_QUANTILE) * BURST_SHARE)
    law = noise_law(residuals, level, np.where(lined, least, floor), sqrt | lined)
    # documents that are all moved at once, as readings of one host are: their number says nothing of the noise
    flat = lined & (law[:, 1] == 0)
    law[flat, 0] = robust_sigma(residuals[flat], floor[flat]) ** 2
    return floor, law, deviation(law, level, floor, sqrt, sized, hourly)


def _keep_lighter(
    space: Matrix,
    mean: Matrix,
    level: Matrix,
    size: Vector,
    low: Vector,
    form: NDArray[np.int8],
    noise: tuple[Vector, Matrix, Matrix],
    hourly: Matrix | None,
) -> Vector:
    """Keeps the asked `form` (N,) of series that have the lighter tails in it, others are plain, in place. Returns shifts (N,).

    What is kept has its own `noise`: floors, laws and standard deviations. With `hourly` noise all are kept: they were chosen.
    """
    rows, shift = np.flatnonzero(form), np.zeros(len(form))
    asked, roots, none = form[rows], form[rows] == ROOT, np.zeros(len(rows), dtype=bool)
    shown, model = in_form(space[rows], low[rows], asked), mean[rows]
    residuals = shown - expected_in_form(model, np.zeros_like(model), low[rows], shift[rows], asked)
    least = np.where(roots, noise_floor(shown, none), RELATIVE_FLOOR)
    hours = None if hourly is None else hourly[rows]
    floor, law, sd = _noise(residuals - middle(residuals), level[rows], least, none, size[rows] > 0, roots, hours)
    residuals = shown - expected_in_form(model, sd, low[rows], shift[rows], asked)
    centre = middle(residuals)
    better = np.full(len(rows), fill_value=True)
    if hourly is None:
        plain, there = _spread((space[rows] - model) / noise[2][rows]), _spread((residuals - centre) / sd)
        of_one = np.maximum(law[:, 0] + law[:, 1] * size[rows], floor**2)  # the noise of a single document
        better = (there < plain) & (roots | (of_one <= LOG_NOISE_MOST**2))
    form[rows[~better]] = 0
    shift[rows[better]] = centre[better, 0]
    for part, new in zip(noise, (floor, law, sd), strict=True):
        part[rows[better]] = new[better]
    return shift


def _spread(z: Matrix) -> Vector:
    """(N,) how far out the far ones of residuals lie, in units of the middle ones."""
    middle = absolute_quantile(z, 0.5)
    far = absolute_quantile(z, LOG_QUANTILE)
    return np.asarray(np.divide(far, middle, out=np.full(len(z), np.inf), where=middle > 0), dtype=np.float64)


def complete(numbers: Matrix) -> Matrix:
    """Numbers (N, WIDTH) of what may be of an older snapshot, which has fewer: the others say nothing."""
    return np.column_stack([numbers, np.broadcast_to(NOT_MEASURED, (len(numbers), WIDTH))[:, numbers.shape[1] :]])


def pooled(own: Matrix, others: Matrix) -> Matrix:
    """Numbers (N, K) of series that are new: what is wider, their own or the median of all others that are known.

    A few days tell little about tails; a young series is held to what is usual in its fleet until it has shown more.
    """
    if not len(others):
        return own
    wider = own.copy()
    for column in (*range(OWN, TAILED), *range(STILL, WIDTH)):
        _widen(wider[:, column], others[:, column])
    for last in (*range(OWN + len(BULK), TAILED, TAIL), STILL + len(BULK)):
        # a tail of few values begins early: where the others' begins farther out, it is as rare there as they say
        farther = wider[:, last] > own[:, last]
        wider[farther, last + 1] = np.median(others[:, last + 1])
    for form in np.unique(own[:, FORM]):  # noise of another form is of another unit
        mine, theirs = own[:, FORM] == form, others[others[:, FORM] == form]
        for column in (2, 3):
            wider[mine, column] = _widen(own[mine, column], theirs[:, column])
    return wider


def _widen(own: Vector, others: Vector) -> Vector:
    """What is larger, in place: their own, or the median of the others that are known."""
    known = others[np.isfinite(others)]
    return np.asarray(np.fmax(own, np.median(known), out=own), dtype=np.float64) if len(known) else own


def _least_width(length: int, sqrt: NDArray[np.bool_]) -> Vector:
    """(N,) least scale of the tails of a mean over so many buckets: of counts it shrinks with the length."""
    return np.where(sqrt, TAIL_WIDTH_LEAST * max(1.0, length / TAIL_COUNTS) ** -0.25, TAIL_WIDTH_LEAST)


def _repeats(values: Matrix, mean: Matrix, sqrt: NDArray[np.bool_], day: int) -> tuple[Vector, Vector, Vector]:
    """(N,) how often a value repeats, and nearly does; (N,) how often nothing came where something was expected."""
    due = np.where(sqrt[:, None], mean >= 1.0, True) & np.isfinite(values)
    zero, change = values == 0, np.abs(values[:, 1:] - values[:, :-1])
    equal, near = (_again(change <= most, np.isfinite(change), day) for most in (0, 1))
    due = ended(zero, due, day)
    none = _share(zero, due, 0.5)
    still = _share(zero[:, 1:], zero[:, :-1] & due[:, 1:], none)
    return equal, near, np.maximum(none, still)


def _again(member: NDArray[np.bool_], among: NDArray[np.bool_], day: int) -> Vector:
    """(N,) how often there is a member, or one after another if that is more often."""
    among = ended(member, among, day)
    ever = _share(member, among, 0.5)
    return np.maximum(ever, _share(member[:, 1:], member[:, :-1] & among[:, 1:], ever))


def _share(member: NDArray[np.bool_], among: NDArray[np.bool_], prior: Vector | float) -> Vector:
    """(N,) share of the members, as if one more had been seen that is a member with the prior's probability."""
    return np.asarray(((member & among).sum(axis=1) + prior) / (among.sum(axis=1) + 1.0), dtype=np.float64)
