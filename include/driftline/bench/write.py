"""`driftline bench write`: results written as scoring writes them, against the raw client's bulk of the same documents."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import orjson
from elasticsearch import helpers

from driftline.bench.measure import Cost, PeakRss
from driftline.core.errors import WriteError
from driftline.core.job import Job
from driftline.core.results import Maker, milliseconds, numbers
from driftline.core.series import SeriesKey
from driftline.core.timespan import Window
from driftline.elastic import results
from driftline.elastic.bulk import AT_ONCE
from driftline.elastic.indices import RESULTS, ensure_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from numpy.typing import NDArray

    from driftline.core.progress import Progress
    from driftline.core.results import Document

START = datetime(1971, 1, 1, tzinfo=UTC)  # months of their own, which can be dropped afterwards
CHUNK = 5000  # documents a request of the raw client: 3 MB, where it is fastest
READY = 20 * CHUNK  # documents for several requests at once
ROUNDS = 4
FIELDS = ("actual", "model_lower", "model_median", "model_upper")


def run(client: Elasticsearch, *, series: int, points: int, freq: str, progress: Progress | None = None) -> dict[str, Any]:
    """Writes a model plot for each bucket of each series: by us, and by the raw client in three ways.

    Ours makes the documents from numbers, with their ids, looks for what they replace, and sends them. The raw client is given
    them ready made, as dicts, which is not counted.

    Returns:
        `documents`, `seconds_write`, `seconds_client` (`client.bulk`), `seconds_helper` (`helpers.bulk`), `seconds_parallel`
        (`helpers.parallel_bulk` with as many requests at once as ours), `seconds_raw` (the fastest of these three),
        `write_ratio` (raw to ours: 1 is as fast), `docs_per_second`, `rss_mb`.
    """
    values = np.random.default_rng(0).gamma(5.0, 20.0, (4, series, points))
    ways = {"client": _raw, "helper": _helper, "parallel": _parallel, "write": _ours}
    seconds = dict.fromkeys(ways, 0.0)
    ensure_templates(client)
    before = _indices(client)
    try:
        _helper(client, _job(freq), values[:, : max(1, CHUNK // points)])  # so that the server is warm for all
        with PeakRss() as memory:
            # in turn, and each at another place in each round: the machine is not equally fast all the time
            for number, part in enumerate(np.array_split(values, min(ROUNDS, series), axis=1)):
                for name in np.roll(list(ways), number).tolist():
                    seconds[name] += ways[name](client, _job(freq), part)
                if progress:
                    progress("rounds of writing", number + 1, ROUNDS)
    finally:
        for index in _indices(client) - before:
            client.indices.delete(index=index)
    raw = min(value for name, value in seconds.items() if name != "write")
    return {
        "documents": series * points,
        **{f"seconds_{name}": round(value, 3) for name, value in seconds.items()},
        "seconds_raw": round(raw, 3),
        "write_ratio": round(raw / seconds["write"], 3),
        "docs_per_second": round(series * points / seconds["write"]),
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


def _ours(client: Elasticsearch, job: Job, values: NDArray[np.float64]) -> float:
    """Seconds of `results.replace`, from numbers to what can be searched.

    Raises:
        WriteError: Not every document was written.
    """
    window = Window(START, START + values.shape[2] * job.bucket_span)
    with Cost() as cost:
        written = results.replace(client, job, window, _documents(job, values), types=["model_plot"]).written
    if written != values.shape[1] * values.shape[2]:
        raise WriteError(f"{written} documents were written", failed=values[0].size - written, total=values[0].size, sample=[])
    return cost.wall


def _indices(client: Elasticsearch) -> set[str]:
    found = client.indices.get(index=f"{RESULTS}-1971.*", expand_wildcards="all", allow_no_indices=True)
    return set(found.body)


def _ready(
    job: Job, values: NDArray[np.float64], index: str, size: int = CHUNK
) -> Iterator[list[tuple[str, str, dict[str, Any]]]]:
    """The documents as dicts, so many at a time: all of them would not fit into memory."""
    documents = _documents(job, values)
    while chunk := [(index, id_, orjson.loads(source)) for id_, _, source in islice(documents, size)]:
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


def _parallel(client: Elasticsearch, job: Job, values: NDArray[np.float64]) -> float:
    """Seconds of `elasticsearch.helpers.parallel_bulk`."""
    index, seconds = f"{RESULTS}-1971.raw-parallel", 0.0
    for chunk in _ready(job, values, index, READY):
        actions = [{"_index": index, "_id": id_, "_source": source} for index, id_, source in chunk]
        with Cost() as cost:
            deque(helpers.parallel_bulk(client, actions, thread_count=AT_ONCE, chunk_size=CHUNK), maxlen=0)
        seconds += cost.wall
    return seconds + _refresh(client, index)


def _refresh(client: Elasticsearch, index: str) -> float:
    with Cost() as cost:
        client.indices.refresh(index=index)
    return cost.wall
