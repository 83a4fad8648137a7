"""Draws the picture of the README from the results of `make demo`: python docs/picture.py (while the services are up)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from driftline.core.timespan import Window, parse_time
from driftline.elastic import results, snapshots
from driftline.elastic.client import connect
from driftline.elastic.read import read_frame
from driftline.models.trained import Trained
from driftline.pipeline.forecast import BOUND
from driftline.pipeline.jobs import load_job

mpl.use("Agg")
from matplotlib import pyplot as plt

SHOWN = (("demo-endpoints", "/api/v1/search"), ("demo-endpoints", "/checkout"), ("demo-hosts", "web-03"))
WEEK = Window.parse("2026-03-23", "2026-03-30")


def draw(axis: plt.Axes, job_id: str, partition: str) -> None:
    """One series of the scored week: what was counted, what was expected, and the records."""
    client = connect()
    job = load_job(job_id, client)
    frame = read_frame(client, job, WEEK)
    manifest = snapshots.choose(snapshots.manifests(client, job_id), job.version, WEEK.start)
    trained = Trained.concatenate([Trained.from_numbers(chunk) for chunk in snapshots.chunks(client, manifest)])
    row = next(n for n, key in enumerate(trained.keys) if key.partition_value == partition)
    mine = trained.select([row])
    mean, trend = mine.fleet.moments(frame.times)
    half = BOUND * np.sqrt(trend**2 + mine.noise[:, :1] ** 2)
    lower, typical, upper = (mine.fleet.to_units(part)[0] for part in (mean - half, mean, mean + half))
    actual = frame.values[next(n for n, key in enumerate(frame.keys) if key.partition_value == partition)]
    axis.fill_between(frame.times, lower, upper, color="#4b83c4", alpha=0.25, lw=0, label="expected, 95 %")
    axis.plot(frame.times, typical, color="#4b83c4", lw=1, label="typical")
    axis.plot(frame.times, actual, color="#1c2430", lw=1, label="actual")
    records = [
        r for r in results.top_records(client, job_id, version=job.version, limit=1000) if r["partition_field_value"] == partition
    ]
    for least, color, size in ((75, "#e7664c", 60), (50, "#f5a35c", 40)):
        hits = [r for r in records if least <= r["record_score"] < (101 if least == 75 else 75)]
        times = [np.datetime64(parse_time(r["timestamp"] / 1000).replace(tzinfo=None)) for r in hits]
        axis.scatter(times, [r["actual"][0] for r in hits], color=color, s=size, zorder=3, label=f"score ≥ {least}")
    axis.set_title(f"{job_id} · {partition}", loc="left", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_ylim(bottom=0)


figure, axes = plt.subplots(len(SHOWN), 1, figsize=(11, 6.4), sharex=True, layout="constrained")
for axis, (job_id, partition) in zip(axes, SHOWN, strict=True):
    draw(axis, job_id, partition)
axes[0].legend(ncols=5, frameon=False, fontsize=9, loc="upper right")
figure.savefig(Path(__file__).parent / "images" / "anomalies.png", dpi=110)
