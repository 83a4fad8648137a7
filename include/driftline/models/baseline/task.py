"""All series of a fleet with the same options: batches of the same design, each solved at once; the rest is Prophet's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from driftline.core.errors import DataError
from driftline.models.baseline.design import HEAD, Design, changepoint_count, place_changepoints, switches, ticks, wall_clock
from driftline.models.baseline.estimate import Batch, estimate
from driftline.models.baseline.fleet import SCALARS, Group, stack_regressors
from driftline.models.baseline.options import try_options
from driftline.models.baseline.reference import fit_one, log_posterior, why_not_ours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SHARED_FROM = 24  # series with the same gaps are worth a design of their own from here on
BATCH = 1000  # series solved in step; more would not fit the cache
PROPHETS = 8  # series that Prophet fits one after the other, beside others
VALUES = 8_000_000  # numbers of one batch's design matrices
NOT_FOUND = "the solver did not reach its optimum"
SEVERAL = "of several optima Prophet's is the best known"
CONSTANT = 1e-8  # of a series' size: values that differ by less have squares that the solver cannot tell from none
CONSTANT_SIGMA = 1e-9  # Prophet's for a constant series, which it does not fit

Piece = tuple[Design, "NDArray[np.intp]", bool, bool]  # arguments of `Task.fit`


@dataclass
class Fitted:
    """What became of a batch: fitted series, why some could not be, why Prophet fitted some, and what is left."""

    groups: list[Group]
    failed: dict[int, str]
    fallbacks: dict[int, str]
    left: NDArray[np.intp]


@dataclass
class Task:
    """All series with the same options."""

    ds: NDArray[np.datetime64]
    values: NDArray[np.float64]
    hidden: NDArray[np.bool_] | None
    sqrt: NDArray[np.bool_]
    regressors: Mapping[str, NDArray[np.float64]]
    options: dict[str, Any]
    engine: str

    def __post_init__(self) -> None:
        try:
            try_options(self.options)
        except (ValueError, TypeError, AttributeError, NotImplementedError, KeyError) as error:
            raise DataError(f"Prophet refuses the options: {error}") from None
        self.local = wall_clock(self.ds, self.options)
        # where clocks are put back, wall clock times are out of order, and Prophet sorts them
        order = np.argsort(self.local, kind="stable")
        self.order = None if (order[1:] > order[:-1]).all() else order
        if self.order is not None:
            self.local = self.local[self.order]
        self.ticks = ticks(self.local)

    def seen(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(n, T) which values are fitted, in the order of `local`."""
        seen = ~np.isnan(self.values[rows])
        if self.hidden is not None:
            seen &= ~self.hidden[rows]
        return seen if self.order is None else seen[:, self.order]

    def pieces(self, rows: NDArray[np.intp], *, thorough: bool) -> list[Piece]:
        """Batches of series with the same design: those that were observed at the same times share all of it."""
        patterns: dict[bytes, list[int]] = {}
        width = max(1, VALUES // max(1, len(self.ds)))
        for first in range(0, len(rows), width):
            packed = np.packbits(self.seen(rows[first : first + width]), axis=1)
            for row, pattern in zip(rows[first : first + width].tolist(), packed, strict=True):
                patterns.setdefault(pattern.tobytes(), []).append(row)
        alone: list[int] = []
        pieces: list[Piece] = []
        own_regressors = any(column.ndim > 1 for column in self.regressors.values())
        for members in patterns.values():
            if len(members) < SHARED_FROM or own_regressors:
                alone += members
            else:
                pieces += self._cut(np.asarray(members, dtype=np.intp), shared=True, thorough=thorough)
        if alone:
            lonely = np.sort(np.asarray(alone, dtype=np.intp))
            kinds = self._kinds(lonely)
            for kind in np.unique(kinds):
                pieces += self._cut(lonely[kinds == kind], shared=False, thorough=thorough)
        return pieces

    def _kinds(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        kinds = np.empty(len(rows), dtype=np.int64)
        width = max(1, VALUES // max(1, len(self.ds)))
        for first in range(0, len(rows), width):
            seen = self.seen(rows[first : first + width])
            start, end = self._edges(seen)
            step = _least_steps(self.ticks, seen)
            kinds[first : first + width] = switches(start, end, step, seen.sum(axis=1), self.options)
        return kinds

    def _edges(self, seen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.ticks[seen.argmax(axis=1)], self.ticks[seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)]

    def _cut(self, rows: NDArray[np.intp], *, shared: bool, thorough: bool) -> list[Piece]:
        design = Design.like(self.local[self.seen(rows[:1])[0]], self.options)
        multiplicative = bool(design.multiplicative.any())  # their designs are matrices of each series, and not the only ones
        columns = (int(design.sigmas.size) + int(self.options.get("n_changepoints", 25)) + 2) * (1 + multiplicative)
        size = max(1, min(BATCH, VALUES // (len(self.ds) * (1 if shared and not multiplicative else columns))))
        if why_not_ours(self.options, self.engine):
            size = PROPHETS
        return [(design, rows[at : at + size], shared, thorough) for at in range(0, len(rows), size)]

    def fit(self, design: Design, rows: NDArray[np.intp], shared: bool, thorough: bool) -> Fitted:
        """Fits one batch; what deserves a thorough search is left for one."""
        seen = self.seen(rows)
        # a regressor that multiplies can stand in for the trend
        unruly = bool(design.multiplicative[len(design.sigmas) - len(design.regressors) :].any())
        thorough |= unruly or design.ambiguous(float(self.ticks[-1] - self.ticks[0]))
        columns = np.flatnonzero(seen[0]) if shared else np.arange(len(self.ds))
        seen = seen[:, columns]
        y, scale, floor, constant = self._scaled(rows, columns, seen)
        try:
            basis = self._basis(design, rows, columns, seen[:1] if shared else seen)
        except ValueError as error:
            return Fitted([], {int(row): str(error) for row in rows}, {}, rows[:0])
        numbers = np.concatenate([np.zeros((len(rows), 3)), scale[:, None], floor[:, None],
                                  np.zeros((len(rows), self._changes(basis, design) + len(design.sigmas)))], axis=1)  # fmt: skip
        group = Group(design, rows, basis, numbers)
        reason = why_not_ours(self.options, self.engine)
        good, suspect, posterior = *np.zeros((2, len(rows)), dtype=bool), np.full(len(rows), -np.inf)
        if not reason:
            good, suspect, posterior = self._solve(group, columns, y, None if shared else seen, thorough)
        if constant.any() and self.options.get("growth", "linear") != "logistic":
            numbers[constant, :3] = np.column_stack(
                [np.zeros(constant.sum()), _middle(y[constant], seen[constant]), np.full(constant.sum(), CONSTANT_SIGMA)]
            )
            numbers[constant, SCALARS:] = 0.0
            good |= constant
        left = suspect & (not thorough) & ~constant
        asked = (thorough & (suspect | unruly) & ~constant) | ~good
        posterior[~good] = -np.inf
        failed, fallbacks = self._fall_back(group, columns, seen, asked & ~left, posterior, reason)
        kept = np.flatnonzero(~left & ~np.isin(rows, list(failed)))
        return Fitted([group.take(kept)] if len(kept) else [], failed, fallbacks, rows[left])

    def _changes(self, basis: NDArray[np.float64], design: Design) -> int:
        return int(basis.shape[1]) - HEAD - 2 * len(design.regressors)

    def _scaled(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp], seen: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Values as Prophet scales them, 0 where missing; y_scale, y_min; and which series are constant."""
        taken = columns if self.order is None else self.order[columns]
        y = self.values[rows] if len(taken) == self.values.shape[1] and self.order is None else self.values[np.ix_(rows, taken)]
        y = np.where(seen, y, 0.0)
        roots = self.sqrt[rows]
        if roots.any():
            y[roots] = np.sqrt(np.maximum(y[roots], 0.0))
        low = np.where(seen, y, np.inf).min(axis=1)
        high = np.where(seen, y, -np.inf).max(axis=1)
        floor = low if self.options.get("scaling") == "minmax" else np.zeros(len(rows))
        scale = high - low if self.options.get("scaling") == "minmax" else np.maximum(np.abs(low), np.abs(high))
        scale = np.where(scale == 0, 1.0, scale)
        y = np.where(seen, (y - floor[:, None]) / scale[:, None], 0.0) if floor.any() else y / scale[:, None]
        return y, scale, floor, high - low <= CONSTANT * scale

    def _basis(
        self, design: Design, rows: NDArray[np.intp], columns: NDArray[np.intp], seen: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """(r, 3 + S + 2R), as `Group.basis` has it.

        Raises:
            ValueError: Given changepoints lie outside of the history.
        """
        moments = self.ticks[columns]
        start, end = moments[seen.argmax(axis=1)], moments[seen.shape[1] - 1 - seen[:, ::-1].argmax(axis=1)]
        scale, count = end - start, seen.sum(axis=1)
        if (dates := self.options.get("changepoints")) is not None and len(dates):
            at = ticks(np.sort(np.asarray(dates, dtype="datetime64[us]")))
            if (at[0] < start).any() or (at[-1] > end).any():
                raise ValueError("Changepoints must fall within training data.")
            changes = (at - start[:, None]) / scale[:, None]
        else:
            t = (moments - start[:, None]) / scale[:, None]
            changes = place_changepoints(t, seen, int(changepoint_count(count[:1], self.options)[0]), self.options)
        parts = [start[:, None], scale[:, None], count[:, None].astype(np.float64), changes]
        for name in design.regressors:
            parts.append(self._standard(name, rows, columns, seen))
        return np.concatenate(parts, axis=1)

    def _standard(
        self, name: str, rows: NDArray[np.intp], columns: NDArray[np.intp], seen: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """(r, 2) mean and standard deviation of a regressor over the observed rows; 0 and 1 where Prophet leaves it as it is."""
        values = self._regressors_of([name], rows, columns)[..., 0]
        wanted = self.options.get("extra_regressors", {}).get(name, {}).get("standardize", "auto")
        result = np.tile([0.0, 1.0], (len(seen), 1))
        for row, mine in enumerate(seen):
            known = values[row if len(values) > 1 else 0][mine]
            kinds = set(np.unique(known).tolist())
            if len(kinds) > 1 and (wanted is True or (wanted == "auto" and kinds != {0.0, 1.0})):
                result[row] = known.mean(), known.std(ddof=1)
        return result

    def _regressors_of(self, names: list[str], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        stacked = stack_regressors(names, self.regressors, rows, len(self.ds))
        assert stacked is not None
        return stacked[:, columns if self.order is None else self.order[columns]]

    def _solve(
        self, group: Group, columns: NDArray[np.intp], y: NDArray[np.float64], seen: NDArray[np.bool_] | None, thorough: bool
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float64]]:
        """Fills a group's numbers by the solver; returns which series it solved, which are suspect, and the log posteriors."""
        design, basis, flat = group.design, group.basis, self.options.get("growth") == "flat"
        t = (self.ticks[columns] - basis[:, :1]) / basis[:, 1:2]
        lines = 1 if flat else 2
        trend = np.empty((len(t), 1 if flat else 2 + group.changepoints.shape[1], t.shape[1]))
        trend[:, lines - 1] = 1.0
        if not flat:
            trend[:, 0] = t
            np.subtract(t[:, None], group.changepoints[..., None], out=trend[:, 2:])
            np.maximum(trend[:, 2:], 0.0, out=trend[:, 2:])
        features = np.ascontiguousarray(design.features(self.local[columns]).T)[None]
        if design.regressors:
            features = self._with_regressors(group, columns, features)
        weights = None if seen is None else seen.astype(np.float64)
        if weights is not None:
            trend *= weights[:, None]
        tau = float(design.template.changepoint_prior_scale)
        batch = Batch(y, weights, trend, lines, features, design.sigmas, design.multiplicative, tau)
        found = estimate(batch, thorough=thorough)
        changes, numbers = group.changepoints.shape[1], group.numbers
        numbers[:, 0 if not flat else 1] = found.base[:, 0]
        numbers[:, 1] = found.base[:, lines - 1]
        numbers[:, 2] = found.sigma
        numbers[:, SCALARS + changes :] = found.base[:, lines:]
        if not flat:
            numbers[:, SCALARS : SCALARS + changes] = found.delta
            if changepoint_count(basis[:1, 2].astype(np.int64), self.options)[0] < 1:
                # the rate change of Prophet's dummy changepoint goes into the rate
                numbers[:, 0] += numbers[:, SCALARS]
                numbers[:, SCALARS] = 0.0
        return found.good & np.isfinite(numbers).all(axis=1), found.suspect, found.posterior

    def _with_regressors(self, group: Group, columns: NDArray[np.intp], features: NDArray[np.float64]) -> NDArray[np.float64]:
        names, count = group.design.regressors, len(group.design.regressors)
        scales = group.basis[:, -2 * count :].reshape(-1, 1, count, 2)
        values = (self._regressors_of(names, group.rows, columns) - scales[..., 0]) / scales[..., 1]
        full = np.repeat(features, len(values), axis=0)
        full[:, -count:] = np.nan_to_num(values).transpose(0, 2, 1)
        return full

    def _fall_back(
        self,
        group: Group,
        columns: NDArray[np.intp],
        seen: NDArray[np.bool_],
        asked: NDArray[np.bool_],
        posterior: NDArray[np.float64],
        reason: str | None,
    ) -> tuple[dict[int, str], dict[int, str]]:
        """Lets Prophet fit the series `asked` for, and keeps its fit where it is better than ours.

        Returns:
            Reasons of those that it cannot fit, and of those that are its own in the end.
        """
        failed: dict[int, str] = {}
        fallbacks: dict[int, str] = {}
        for place in np.flatnonzero(asked).tolist():
            row, ours = int(group.rows[place]), bool(np.isfinite(posterior[place]))
            try:
                numbers, model = fit_one(self._history(row, columns[seen[place]]), self.options, group.numbers.shape[1])
            except (RuntimeError, ValueError) as error:
                if not ours:
                    failed[row] = f"Prophet cannot fit it: {error}"[:300]
                continue
            if ours and log_posterior(model) <= posterior[place]:
                continue
            group.numbers[place] = numbers
            fallbacks[row] = reason or (SEVERAL if ours else NOT_FOUND)
        return failed, fallbacks

    def _history(self, row: int, columns: NDArray[np.intp]) -> pd.DataFrame:
        """One series as Prophet takes it."""
        taken = columns if self.order is None else self.order[columns]
        y = self.values[row, taken]
        frame = pd.DataFrame({"ds": self.local[columns], "y": np.sqrt(np.maximum(y, 0.0)) if self.sqrt[row] else y})
        for name, column in self.regressors.items():
            frame[name] = (column if column.ndim == 1 else column[row])[taken]
        return frame


def _middle(y: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.nanmedian(np.where(seen, y, np.nan), axis=1))


def _least_steps(moments: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n,) the least distance of two observations of each series; each has two at least."""
    row, column = np.nonzero(seen)
    steps = np.diff(moments[column])
    steps[(row[1:] != row[:-1]) | (steps <= 0)] = np.inf
    starts = np.searchsorted(row, np.arange(len(seen)))
    return np.minimum.reduceat(np.append(steps, np.inf), starts)
