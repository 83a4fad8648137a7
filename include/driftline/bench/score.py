"""`driftline bench score`: new buckets of a fleet, from reading them to their results being found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from driftline.bench.fleet import filled, timed
from driftline.bench.measure import Cost, PeakRss
from driftline.core.timespan import Window
from driftline.pipeline import gate
from driftline.pipeline import score as scoring
from driftline.pipeline.train import train

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress


def run(
    client: Elasticsearch, *, series: int, points: int, freq: str, new: int = 24, progress: Progress | None = None
) -> dict[str, Any]:
    """Trains a fleet on `points` buckets, which is not counted and has all imports done, and scores the `new` ones after them.

    Returns:
        `series`, `points`, `buckets` (scored, over all series), `seconds` of `pipeline.score.score` and of its parts
        `seconds_read`, `seconds_gate`, `seconds_score`, `seconds_write`; `cpu_seconds`, `records`, `written`, `rss_mb`.
    """
    with filled(client, series=series, points=points, more=new, freq=freq, progress=progress) as fleet:
        cut = fleet.data.end - new * fleet.job.bucket_span
        train(client, fleet.job, as_of=cut, run="bench", progress=progress)
        places = {
            "read": (scoring, "read_plan"),
            "gate": (gate, "check_series"),
            "score": (scoring, "score_batch"),
            "write": (scoring, "write"),
        }
        with timed(places) as parts, PeakRss() as memory, Cost() as cost:
            window = Window(cut, fleet.data.end)
            outcome = scoring.score(client, fleet.job, window=window, run="bench", progress=progress)
    return {
        "series": series,
        "points": points,
        "buckets": outcome["scored"] * new,
        "seconds": round(cost.wall, 3),
        **{f"seconds_{name}": round(value, 3) for name, value in parts.items()},
        "cpu_seconds": round(cost.cpu, 3),
        "records": outcome["records"],
        "written": outcome["written"],
        "rss_mb": memory.mb,
    }
