"""Backtest: does a new model predict the held-back end of its history no worse than the one in use?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.series import SeriesFrame
from driftline.core.timespan import Window, floor_time, parse_time
from driftline.elastic import snapshots
from driftline.models.trained import Trained
from driftline.pipeline.fit import fit_options, fit_series
from driftline.scoring.calibration import Calibration
from driftline.scoring.hours import hours_of
from driftline.scoring.settings import BACKTEST_CLIP, BACKTEST_SERIES, PROMOTE_TOLERANCE

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job
    from driftline.models.baseline import Fleet

MIN_BUCKETS = 10


def holdback(job: Job, window: Window) -> Window:
    """The end of a training window that models are compared on: as configured, but at most a quarter of it."""
    span = min(job.backtest_span, (window.end - window.start) / 4)
    return Window(floor_time(window.end - span, job.bucket_span), window.end)


def backtest(job: Job, frame: SeriesFrame, trained: Trained) -> dict[str, list[float]]:
    """Losses on the held-back end of models fitted without it: row of the batch → loss, for a sample of series."""
    fitted = np.concatenate([group.rows for group in trained.fleet.groups]) if trained.fleet.groups else np.empty(0, np.intp)
    rows = np.sort(fitted)[:: max(1, -(-len(fitted) // BACKTEST_SERIES))]
    held = holdback(job, frame.window)
    if not len(rows) or held.buckets(job.bucket_span) < MIN_BUCKETS:
        return {"rows": [], "loss": []}
    before, after = frame.slice(Window(frame.start, held.start)).take(rows), frame.slice(held).take(rows)
    options = fit_options(job, before.keys, before.window)
    fleet = fit_series(before.times, before.values, before.span, sqrt=trained.fleet.sqrt[rows], **options)
    loss = _loss(fleet, after, trained.usual[rows])
    good = ~np.isnan(loss)
    return {"rows": rows[good].tolist(), "loss": loss[good].tolist()}


def _loss(fleet: Fleet, frame: SeriesFrame, usual: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) mean absolute residual in units of `usual` noise (N, K), each clipped: anomalies do not decide which is better.

    Nor do habits: what was fitted without the end may have seen a day or a week too few to know any.
    """
    known = Calibration.from_numbers(usual)
    noise = known.noise(hours_of(fleet.clocks(frame.times)), len(frame.times))
    away = np.abs(fleet.to_space(frame.values) - fleet.smooth.mean(frame.times))
    errors = np.minimum(away / (known.scale[:, None] if noise is None else noise), BACKTEST_CLIP)
    counted = (~np.isnan(errors)).sum(axis=1)
    return np.where(counted > 0, np.nansum(errors, axis=1) / np.maximum(counted, 1), np.nan)


def judge(
    client: Elasticsearch,
    job: Job,
    handle: dict[str, Any],
    parts: list[dict[str, Any]],
    current: dict[str, Any] | None,
    *,
    compared: bool = False,
) -> dict[str, Any]:
    """Whether the new models may take over, and why.

    What is merely `compared` with its past has no forecast that could be judged: the newest past is the best.
    """
    if not any(part["trained"]["fleet"]["groups"] for part in parts):
        if compared:
            return {"promoted": True, "reason": "what is usual was measured anew; there is no forecast to judge", "backtest": {}}
        return {"promoted": False, "reason": "no series could be trained", "backtest": {}}
    if current is None:
        return {"promoted": True, "reason": "the first snapshot of this definition", "backtest": {}}
    held = holdback(job, Window.parse(handle["start"], handle["end"]))
    fresh = Window(max(held.start, min(parse_time(current["training_end"]), held.end)), held.end)
    if fresh.buckets(job.bucket_span) < MIN_BUCKETS or fresh.start > held.start:
        return {
            "promoted": True,
            "reason": f"snapshot {current['snapshot_id']} has seen the held-back data; nothing to compare on",
            "backtest": {},
        }
    new, old = _losses(client, handle, held, parts, current)
    if not new:
        return {"promoted": True, "reason": "no series in common with the current snapshot", "backtest": {}}
    figures = {"loss": round(sum(new) / len(new), 6), "previous_loss": round(sum(old) / len(old), 6), "series": len(new),
               "previous": current["snapshot_id"], **held.as_dict()}  # fmt: skip
    promoted = figures["loss"] <= figures["previous_loss"] * PROMOTE_TOLERANCE
    word = "not worse" if promoted else "worse"
    reason = f"backtest {word} than {current['snapshot_id']}: loss {figures['loss']:.3f} against {figures['previous_loss']:.3f}"
    return {"promoted": promoted, "reason": reason, "backtest": figures}


def _losses(
    client: Elasticsearch, handle: dict[str, Any], held: Window, parts: list[dict[str, Any]], current: dict[str, Any]
) -> tuple[list[float], list[float]]:
    """Losses of new and current models on the same held-back buckets of the same series."""
    frame = SeriesFrame.read(handle["uri"]).slice(held)
    place = {key: row for row, key in enumerate(frame.keys)}
    fresh = {}
    for part in parts:
        trained = Trained.from_numbers(part["trained"])
        for row, loss in zip(part["backtest"]["rows"], part["backtest"]["loss"], strict=True):
            fresh[trained.keys[row]] = (loss, trained.usual[row])
    new, old = [], []
    for chunk in snapshots.chunks(client, current):
        known = Trained.from_numbers(chunk)
        rows = [row for row, key in enumerate(known.keys) if key in fresh and row not in known.fleet.failed]
        if not rows:
            continue
        known = known.select(rows)
        losses = _loss(
            known.fleet, frame.take([place[key] for key in known.keys]), np.array([fresh[key][1] for key in known.keys])
        )
        for key, loss in zip(known.keys, losses.tolist(), strict=True):
            if not np.isnan(loss):
                new.append(fresh[key][0])
                old.append(loss)
    return new, old
