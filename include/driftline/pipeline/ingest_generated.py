"""Generated days of a source: handles for ranges of days, their rows, and the truth about them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DefinitionError
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import TRUTH
from driftline.elastic.results import delete
from driftline.generator.registry import open_source
from driftline.pipeline import ledger, target
from driftline.sources.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress
    from driftline.core.source import Source
    from driftline.generator.base import Chunk, Generated
    from driftline.pipeline.rowsink import RowSink

ROWS_A_TASK = 120_000  # a few seconds of work: more than a mapped task costs, and enough tasks for all workers
MAX_TASKS = 500
ROWS_A_BATCH = 20_000


@lru_cache(2)
def _open(kind: str, seed: int, start: Any, days: float, options: str, where: str) -> Generated:  # noqa: ANN401 - a datetime
    import orjson

    return open_source(kind, seed, start, days, orjson.loads(options), where=where)


def generated(source: Source) -> Generated:
    """The source's generator."""
    import orjson

    made = source.generator
    assert made is not None
    options = orjson.dumps(made.options, option=orjson.OPT_SORT_KEYS).decode()
    return _open(made.kind, made.seed, made.start, made.days, options, f"source {source.source_id}")


def pending(client: Elasticsearch, source: Source) -> list[dict[str, Any]]:
    """Ranges of days that are not in the index yet.

    Raises:
        DefinitionError: The index holds what the source generated before it was changed: the two must not be mixed.
    """
    made = generated(source)
    entries = {entry.fingerprint: entry for entry in ledger.load(client, source.index)}
    for entry in entries.values():
        if entry.rows and entry.source_id == source.source_id and entry.detail.get("digest") not in {None, made.digest}:
            raise DefinitionError(
                f"index {source.index} holds what the source generated before its definition was changed",
                where=f"source {source.source_id}",
                fix=f"Delete the index {source.index}, or name another.",
            )
    days = max(1, round(ROWS_A_TASK * made.day_count / max(1, made.documents_estimate)), -(-made.day_count // MAX_TASKS))
    handles = []
    for first, last in made.ranges(days):
        name = f"{made.digest}-{first:04d}-{last:04d}"
        entry = entries.get(name) or ledger.Entry(name, source.source_id, source.index, f"days {first + 1} to {last}")
        if entry.state != "done":
            entry.detail |= {"digest": made.digest, "first": first, "last": last}
            ledger.put(client, entry)
            handles.append({"path": entry.path, "fingerprint": name, "first_day": first, "last_day": last})
    return handles


def read_into(client: Elasticsearch, source: Source, entry: ledger.Entry, sink: RowSink, progress: Progress | None) -> None:
    """Generates a range of days into the index."""
    made = generated(source)
    first, last = entry.detail["first"], entry.detail["last"]
    target.prepare(client, source, {"dynamic": False, "properties": made.properties})
    entry.detail["birth"] = ledger.birth(client, source.index)
    estimate = round(made.documents_estimate * (last - first) / made.day_count)
    sink.take(_batches(made, first, last, entry.offset), progress, total=estimate)
    sink.finish(0)


def _batches(made: Generated, first: int, last: int, done: int) -> Iterator[Rows]:
    """The rows that are not done yet, several chunks at a time: the gate costs much the same for few rows as for many."""
    waiting: list[Chunk] = []
    begin = end = 0
    for chunk in made.chunks(first, last):
        end += len(chunk)
        if end <= done or not len(chunk):
            begin = end
            continue
        waiting.append(chunk)
        if end - begin >= ROWS_A_BATCH:
            yield _rows(made, waiting, begin)
            begin, waiting = end, []
    if waiting:
        yield _rows(made, waiting, begin)


def _rows(made: Generated, chunks: list[Chunk], begin: int) -> Rows:
    bodies = [body for chunk in chunks for body in chunk.encoded()]
    numbers = list(range(begin, begin + len(bodies)))
    measures = [chunk.measures() for chunk in chunks]
    return Rows(
        offsets=numbers,
        lines=[number + 1 for number in numbers],
        times=[time for chunk in chunks for time in chunk.times()],
        bodies=bodies,
        raws=bodies,
        ids=[id_ for chunk in chunks for id_ in chunk.ids(made.digest)],
        columns={name: [value for columns in measures for value in columns[name]] for name in measures[0]},
        end=begin + len(bodies),
        end_line=begin + len(bodies) + 1,
    )


def write_truth(client: Elasticsearch, source: Source) -> int:
    """Writes what was injected, in place of what the source said before. Returns how many facts."""
    facts = generated(source).truth()
    delete(client, TRUTH, {"term": {"source_id": source.source_id}})
    bulk(client, (index_action(TRUTH, fact["truth_id"], fact | {"source_id": source.source_id}) for fact in facts))
    return len(facts)
