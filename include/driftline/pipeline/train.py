"""Train: history → batched fits → backtest → a snapshot, promoted unless it is worse than the one in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import SourceIndexError, WindowError
from driftline.core.paths import staging_uri
from driftline.core.series import SeriesFrame
from driftline.core.timespan import Window, floor_time, format_span, iso, parse_time
from driftline.elastic import snapshots, state
from driftline.elastic.fields import check_fields, data_range
from driftline.models.baseline import fit_fleet
from driftline.models.baseline.options import check_options
from driftline.models.trained import Trained
from driftline.pipeline import gate
from driftline.pipeline.files import read_json, write_json
from driftline.pipeline.read import batches, read_series
from driftline.scoring.calibration import burst_mask, calibrate, noise_floor, robust_sigma
from driftline.scoring.settings import BACKTEST_CLIP, BACKTEST_SERIES, PROMOTE_TOLERANCE

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.job import Job

Progress = Callable[[str, int, int], None]
MIN_BUCKETS = 10
MAX_LISTED = 1000
COUNT_LIKE = {"count", "distinct_count"}


def training_window(client: Elasticsearch, job: Job, as_of: str | datetime | None = None) -> Window:
    """The history that a training as of a point in data time reads: whole buckets, at most `training.window` of them.

    Without `as_of` it ends with what is complete now, or with the newest document if that is older: old data trains as well.

    Raises:
        SourceIndexError: There is no history before that point.
        WindowError: It is too short for a model.
    """
    check_fields(client, job)
    data = data_range(client, job)
    due = datetime.now(UTC) - job.datafeed.query_delay
    if as_of is None:
        newest = floor_time(data.end - timedelta(milliseconds=1), job.bucket_span) + job.bucket_span
        end = min(floor_time(due, job.bucket_span), newest)
    else:
        end = floor_time(min(parse_time(as_of), due), job.bucket_span)
    first = floor_time(data.start, job.bucket_span)
    if end <= first:
        raise SourceIndexError(
            f"there is no history before {iso(end)}; the oldest document is of {iso(data.start)}", where=f"job {job.job_id}, as_of"
        )
    window = Window(max(first, floor_time(end - job.training.window, job.bucket_span)), end)
    if window.buckets(job.bucket_span) < MIN_BUCKETS:
        raise WindowError(
            f"the history {window} holds {window.buckets(job.bucket_span)} buckets of {format_span(job.bucket_span)}",
            where=f"job {job.job_id}",
            expected=f"at least {MIN_BUCKETS}",
            fix="Wait for more data, or use a smaller bucket_span.",
        )
    return window


def fit_batch(job: Job, batch: dict[str, Any], *, out: str, progress: Progress | None = None) -> dict[str, Any]:
    """Fits the models of one batch of staged series and stages their numbers.

    Returns:
        `uri`, `trained`, `failed` (a count).
    """
    check_options(job.training.prophet, f"job {job.job_id}")
    frame = SeriesFrame.read(batch["uri"], rows=(batch["first"], batch["last"]))
    trained = fit(job, frame, progress=progress)
    write_json(out, {"trained": trained.to_numbers(), "backtest": _backtest(job, frame, trained)})
    return {"uri": out, "trained": len(trained.keys) - len(trained.failed), "failed": len(trained.failed)}


def fit(job: Job, frame: SeriesFrame, *, progress: Progress | None = None) -> Trained:
    """Models and noise of a frame's series. Sparse bursts are kept out of the fit; a new level is learned."""
    sqrt = np.array([_sqrt(job, key.detector_index) for key in frame.keys], dtype=bool)
    sparse = _too_sparse(job, frame)
    values = frame.values.copy()
    values[list(sparse)] = np.nan
    options = job.training.prophet
    fleet = fit_fleet(frame.times, values, sqrt=sqrt, progress=progress, **options)
    fleet.failed.update(sparse)
    residuals, floor = _residuals(fleet, frame, values)
    mask = burst_mask(residuals, robust_sigma(residuals, floor), frame.span)
    again = np.flatnonzero(mask.any(axis=1))
    if len(again):
        refit = fit_fleet(frame.times, values[again], sqrt=sqrt[again], mask=mask[again], progress=progress, **options)
        for group in fleet.groups:
            kept = ~np.isin(group.rows, again)
            group.rows, group.numbers = group.rows[kept], group.numbers[kept]
        for group in refit.groups:
            group.rows = again[group.rows]
        fleet.groups = [group for group in [*fleet.groups, *refit.groups] if len(group.rows)]
        residuals, floor = _residuals(fleet, frame, values)
    noise = calibrate(np.where(mask, np.nan, residuals), floor)
    return Trained(frame.keys, _first_seen(frame), noise, fleet)


def _residuals(fleet: Any, frame: SeriesFrame, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # noqa: ANN401
    space = fleet.to_space(values)
    mean, _ = fleet.moments(frame.times)
    return space - mean, noise_floor(space, fleet.sqrt)


def _sqrt(job: Job, detector: int) -> bool:
    wanted = job.training.transform
    return wanted == "sqrt" or (wanted == "auto" and job.detectors[detector].spec.metric in COUNT_LIKE)


def _too_sparse(job: Job, frame: SeriesFrame) -> dict[int, str]:
    """Series with too few non-empty buckets for a model, each with the reason."""
    zero_is_empty = np.array([job.detectors[key.detector_index].spec.empty_is_zero for key in frame.keys], dtype=bool)
    filled = ~np.isnan(frame.values) & ~(zero_is_empty[:, None] & (frame.values == 0)) if len(frame.keys) else np.zeros((0, 0), bool)
    counts = filled.sum(axis=1)
    least = job.training.min_buckets
    return {
        row: f"too sparse: {counts[row]} of {frame.values.shape[1]} buckets hold data, {least} needed (training.min_buckets)"
        for row in range(len(frame.keys))
        if counts[row] < least
    }


def _first_seen(frame: SeriesFrame) -> NDArray[np.float64]:
    seen = ~np.isnan(frame.values)
    column = np.where(seen.any(axis=1), seen.argmax(axis=1), seen.shape[1]) if seen.size else np.zeros(len(frame.keys))
    return np.asarray(frame.start.timestamp() + column * frame.span.total_seconds(), dtype=np.float64)


def _holdback(job: Job, window: Window) -> Window:
    """The end of a training window that models are compared on: as configured, but at most a quarter of it."""
    span = min(job.backtest_span, (window.end - window.start) / 4)
    return Window(floor_time(window.end - span, job.bucket_span), window.end)


def _backtest(job: Job, frame: SeriesFrame, trained: Trained) -> dict[str, list[float]]:
    """Losses on the held-back end of models fitted without it: row of the batch → loss, for a sample of series."""
    fitted = np.concatenate([group.rows for group in trained.fleet.groups]) if trained.fleet.groups else np.empty(0, np.intp)
    rows = np.sort(fitted)[:: max(1, len(fitted) // BACKTEST_SERIES)]
    held = _holdback(job, frame.window)
    if not len(rows) or held.buckets(job.bucket_span) < MIN_BUCKETS:
        return {"rows": [], "loss": []}
    before, after = frame.slice(Window(frame.start, held.start)).take(rows), frame.slice(held).take(rows)
    fleet = fit_fleet(before.times, before.values, sqrt=trained.fleet.sqrt[rows], **job.training.prophet)
    loss = _loss(fleet, after, trained.noise[rows, 0])
    good = ~np.isnan(loss)
    return {"rows": rows[good].tolist(), "loss": loss[good].tolist()}


def _loss(fleet: Any, frame: SeriesFrame, noise: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ANN401
    """(N,) mean absolute residual in units of noise, each clipped: anomalies do not decide which model is better."""
    mean, _ = fleet.moments(frame.times)
    errors = np.minimum(np.abs(fleet.to_space(frame.values) - mean) / noise[:, None], BACKTEST_CLIP)
    counted = (~np.isnan(errors)).sum(axis=1)
    return np.where(counted > 0, np.nansum(errors, axis=1) / np.maximum(counted, 1), np.nan)


def promote(
    client: Elasticsearch, job: Job, handle: dict[str, Any], fitted: list[dict[str, Any]], *, verdict: dict[str, Any] | None = None, run: str = "cli"
) -> dict[str, Any]:
    """Makes a snapshot of the staged fits, and puts it in force unless its backtest is worse than the current one's.

    Returns:
        `snapshot_id`, `promoted`, `reason`, `trained`, `failed`, `failures` (the first thousand), `window`.
    """
    started = datetime.now(UTC)
    parts = [read_json(part["uri"]) for part in fitted]
    window = Window.parse(handle["start"], handle["end"])
    manifest = snapshots.new_manifest(job.job_id, job.version, window.start, window.end)
    current = snapshots.choose(
        [m for m in snapshots.manifests(client, job.job_id) if m["snapshot_id"] != manifest["snapshot_id"]], job.version, window.end
    )
    outcome = _judge(client, job, handle, parts, fitted, current)
    failures = [failure for part in parts for failure in Trained.from_numbers(part["trained"]).failed]
    keys = sum(len(part["trained"]["keys"]) for part in parts)
    manifest |= {
        "state": "promoted" if outcome["promoted"] else "rejected",
        "engine": "prophet",
        "verdict": (verdict or {}).get("verdict", "pass"),
        "series": keys,
        "trained": keys - len(failures),
        "failed": len(failures),
        "description": outcome["reason"],
        "detail": {
            "valid": [{"from": iso(window.end)}] if outcome["promoted"] else [],
            "backtest": outcome["backtest"],
            "failures": failures[:MAX_LISTED],
            "notes": [*handle["notes"], *job.notes],
            "docs_per_bucket": handle["docs"] / max(1, handle["buckets"]),
        },
    }
    snapshots.write(client, manifest, [part["trained"] for part in parts if part["trained"]["keys"]])
    facts = {key: manifest[key] for key in ("job_id", "job_version", "snapshot_id", "state", "verdict")}
    state.journal(client, run, "train", started, **facts, window_start=iso(window.start), window_end=iso(window.end))
    return {
        "snapshot_id": manifest["snapshot_id"],
        "promoted": outcome["promoted"],
        "reason": outcome["reason"],
        "trained": manifest["trained"],
        "failed": manifest["failed"],
        "failures": failures[:MAX_LISTED],
        "window": window.as_dict(),
        "notes": manifest["detail"]["notes"],
    }


def _judge(
    client: Elasticsearch,
    job: Job,
    handle: dict[str, Any],
    parts: list[dict[str, Any]],
    fitted: list[dict[str, Any]],
    current: dict[str, Any] | None,
) -> dict[str, Any]:
    """Whether the new models may take over, and why."""
    if not any(part["trained"]["fleet"]["groups"] for part in parts):
        return {"promoted": False, "reason": "no series could be trained", "backtest": {}}
    if current is None:
        return {"promoted": True, "reason": "the first snapshot of this definition", "backtest": {}}
    held = _holdback(job, Window.parse(handle["start"], handle["end"]))
    fresh = Window(max(held.start, min(parse_time(current["training_end"]), held.end)), held.end)
    if fresh.buckets(job.bucket_span) < MIN_BUCKETS or fresh.start > held.start:
        return {"promoted": True, "reason": f"snapshot {current['snapshot_id']} has seen the held-back data; nothing to compare on", "backtest": {}}
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
            fresh[trained.keys[row]] = (loss, trained.noise[row, 0])
    new, old = [], []
    for chunk in snapshots.chunks(client, current):
        known = Trained.from_numbers(chunk)
        rows = [row for row, key in enumerate(known.keys) if key in fresh and row not in known.fleet.failed]
        if not rows:
            continue
        known = known.select(rows)
        losses = _loss(known.fleet, frame.take([place[key] for key in known.keys]), np.array([fresh[key][1] for key in known.keys]))
        for key, loss in zip(known.keys, losses.tolist(), strict=True):
            if not np.isnan(loss):
                new.append(fresh[key][0])
                old.append(loss)
    return new, old


def train(
    client: Elasticsearch, job: Job, *, as_of: str | datetime | None = None, run: str = "cli", progress: Progress | None = None
) -> dict[str, Any]:
    """The whole training in one process: read, gate, fit, backtest, promote.

    Returns:
        As `promote`, with the gate's `quality`.

    Raises:
        SourceIndexError, WindowError: There is nothing to train on.
        QualityStopError: The gate stops the run.
    """
    window = training_window(client, job, as_of)
    place = staging_uri(job.job_id, "train", f"{window.end:%Y%m%dT%H%M%S}-{run}")
    handle = read_series(client, job, window, uri=f"{place}/series.parquet", progress=progress)
    verdict = gate.check_series(client, job, handle, stage="train", run=run)
    fitted = list(_fit_all(job, handle, place, progress))
    return {**promote(client, job, handle, fitted, verdict=verdict, run=run), "quality": verdict}


def _fit_all(job: Job, handle: dict[str, Any], place: str, progress: Progress | None) -> Iterator[dict[str, Any]]:
    total = handle["series"]
    for number, batch in enumerate(batches(handle)):
        inner = _shifted(progress, batch["first"], total) if progress else None
        yield fit_batch(job, batch, out=f"{place}/fit-{number}.json", progress=inner)


def _shifted(progress: Progress, offset: int, total: int) -> Progress:
    return lambda what, done, _: progress(what, offset + done, total)
