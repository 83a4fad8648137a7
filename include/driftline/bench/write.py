"""`driftline bench write`: results written as scoring writes them, against the raw client's bulk of the same documents."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import orjson
from elasticsearch import helpers

from driftline.bench.measure import Cost, PeakRss
from driftline.core.job import Job
from driftline.core.results import Maker, milliseconds, numbers
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.indices import RESULTS, ensure_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.progress import Progress
    from driftline.core.results import Document

START = datetime(1971, 1, 1, tzinfo=UTC)  # months of their own, which can be dropped afterwards
CHUNK = 5000  # documents a request of the raw client: 3 MB, where it is fastest
FIELDS = ("actual", "model_lower", "model_median", "model_upper")


def run(client: Elasticsearch, *, series: int, points: int, freq: str, progress: Progress | None = None) -> dict[str, Any]:
    """Writes a model plot for each bucket of each series, three times: by us, by `client.bulk`, by `helpers.bulk`.

    Ours makes the documents from numbers, with their ids, looks for what they replace, and sends them. The raw client is given
    them ready made, as dicts, which is not counted.

    Returns:
        `documents`, `seconds_raw` (the faster of `seconds_client` and `seconds_helper`), `seconds_write`, `write_ratio`
        (raw to ours: 1 is as fast), `docs_per_second`, `rss_mb`.
    """
    job = _job(freq)
    window = Window(START, START + points * job.bucket_span)
    values = np.random.default_rng(0).gamma(5.0, 20.0, (4, series, points))
    ensure_templates(client)
    seconds = {}
    before = _indices(client)
    try:
        _helper(client, job, values[:, : max(1, CHUNK // points)])  # so that the server is warm for all
        for done, (name, write) in enumerate((("client", _raw), ("write", None), ("helper", _helper))):
            if progress:
                progress("ways of writing", done, 3)
            if write:
                seconds[name] = write(client, job, values)
                continue
            with Cost() as cost, PeakRss() as memory:
                written = results.replace(client, job, window, _documents(job, values), types=["model_plot"]).written
            seconds[name] = cost.wall
    finally:
        for index in _indices(client) - before:
            client.indices.delete(index=index)
    raw = min(seconds["client"], seconds["helper"])
    return {
        "documents": written,
        **{f"seconds_{name}": round(value, 3) for name, value in seconds.items()},
        "seconds_raw": round(raw, 3),
        "write_ratio": round(raw / seconds["write"], 3),
        "docs_per_second": round(written / seconds["write"]),
        "rss_mb": memory.mb,
    }


def _job(freq: str) -> Job:
    detector = {"function": "mean", "field_name": "value", "partition_field_name": "key"}
    feed = {"indices": ["bench"], "on_request": True}
    training = {"window": "365d"}
    data = {"job_id": f"bench-write-{uuid4().hex[:8]}", "bucket_span": freq, "detectors": [detector], "datafeed": feed}
    return Job.parse(data | {"training": training}, where="bench")


def _documents(job: Job, values: NDArray[np.float64]) -> Iterator[Document]:
    """Model plots of `values` (4, N, T), as scoring makes them."""
    maker = Maker(job, "model_plot", {"snapshot_id": "bench", "in_sample": False, "quality": "pass"})
    first, step = milliseconds(START), job.span_seconds * 1000
    times = [first + column * step for column in range(values.shape[2])]
    for row in range(values.shape[1]):
        columns = {name: numbers(values[number, row]) for number, name in enumerate(FIELDS)}
        yield from maker.rows(SeriesKey(0, f"partition-{row:06d}", None), times, columns, model_feature="'mean value by value'")


def _indices(client: Elasticsearch) -> set[str]:
    found = client.indices.get(index=f"{RESULTS}-1971.*", expand_wildcards="all", allow_no_indices=True)
    return set(found.body)


def _ready(job: Job, values: NDArray[np.float64], index: str) -> Iterator[list[tuple[str, str, dict[str, Any]]]]:
    documents = _documents(job, values)
    while chunk := [(index, id_, orjson.loads(source)) for id_, _, source in islice(documents, CHUNK)]:
        yield chunk


def _raw(client: Elasticsearch, job: Job, values: NDArray[np.float64]) -> float:
    """Seconds of `client.bulk`."""
    index, seconds = f"{RESULTS}-1971.raw-client", 0.0
    for chunk in _ready(job, values, index):
        with Cost() as cost:
            operations = [part for index, id_, source in chunk for part in ({"index": {"_index": index, "_id": id_}}, source)]
            client.bulk(operations=operations)
        seconds += cost.wall
    return seconds + _refresh(client, index)


def _helper(client: Elasticsearch, job: Job, values: NDArray[np.float64]) -> float:
    """Seconds of `elasticsearch.helpers.bulk`."""
    index, seconds = f"{RESULTS}-1971.raw-helper", 0.0
    for chunk in _ready(job, values, index):
        actions = [{"_index": index, "_id": id_, "_source": source} for index, id_, source in chunk]
        with Cost() as cost:
            helpers.bulk(client, actions, chunk_size=CHUNK, stats_only=True)
        seconds += cost.wall
    return seconds + _refresh(client, index)


def _refresh(client: Elasticsearch, index: str) -> float:
    with Cost() as cost:
        client.indices.refresh(index=index)
    return cost.wall
