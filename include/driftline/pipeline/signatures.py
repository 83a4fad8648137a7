"""Signatures: train on weeks, score spans against them, and which interval a run is about."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import orjson

from driftline.core.errors import DefinitionError, SnapshotError, WindowError
from driftline.core.signature import REFERENCES
from driftline.core.timespan import Window, ceil_time, floor_time, format_span, iso, parse_span, parse_time
from driftline.elastic import results, snapshots, state
from driftline.elastic.fields import check_signatures, data_range
from driftline.pipeline.signature_read import read, top_values, training_spans
from driftline.pipeline.signature_results import TYPES, documents
from driftline.pipeline.window import resolve
from driftline.signatures.model import Learned, chunks, from_chunks, learn
from driftline.signatures.score import score as compare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress
    from driftline.core.results import Document
    from driftline.core.signature import Signatures
    from driftline.elastic.snapshots import Manifest

Model = Literal["as_of", "latest"]
AT_ONCE = 60_000_000  # values that are in memory at once: 480 MB
LEAST_SPANS = 20  # of all entities together: fewer do not tell what is usual
Step = tuple[datetime, "Manifest", bool]  # the end of a short-term span, what it is compared with, whether that learned from it


def training_window(
    client: Elasticsearch, signatures: Signatures, as_of: str | datetime | None = None, start: str | datetime | None = None
) -> Window:
    """What a training as of a point in data time reads; by default the newest data that is complete.

    Raises:
        SourceIndexError: There is no data, or an index or field is missing.
        WindowError: It is too short.
    """
    check_signatures(client, signatures)
    data, grid = data_range(client, signatures.reading), signatures.resolution
    due = datetime.now(UTC) - signatures.query_delay
    newest = ceil_time(data.end, grid)
    end = floor_time(min(parse_time(as_of) if as_of is not None else newest, due), grid)
    begin = floor_time(parse_time(start) if start is not None else end - signatures.window, grid)
    first = max(begin, floor_time(data.start, grid))
    if end - first < REFERENCES * signatures.span:
        raise WindowError(
            f"the history from {iso(first)} to {iso(max(first, end))} is too short to learn from",
            where=f"signatures {signatures.signature_id}",
            expected=f"at least {REFERENCES} spans of {format_span(signatures.span)}",
            fix="Train as of a later time, wait for more data, or use a shorter span.",
        )
    return Window(first, end)


def train(
    client: Elasticsearch,
    signatures: Signatures,
    *,
    as_of: str | datetime | None = None,
    start: str | datetime | None = None,
    limit: int | None = None,
    run: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Learns the long-term signatures, and puts them in force.

    Args:
        client: The cluster.
        signatures: What to learn.
        as_of: Learn from what came before; by default all that is complete.
        start: Learn from what came from then on; by default as `window` says.
        limit: So many random profiles are grouped; by default as the definition says.
        run: Who asks, for the journal.
        progress: Told how far it is.

    Returns:
        `snapshot_id`, `entities`, `groups` (how many entities each has), `window`, `notes`.

    Raises:
        WindowError: The history is too short, or of too few entities.
        SourceIndexError: An index or field is missing.
    """
    began = datetime.now(UTC)
    window = training_window(client, signatures, as_of, start)
    values = top_values(client, signatures, window)
    spans, rest = training_spans(signatures, window)
    # who began within the last span would be expected to do as little as on the days when it was not there
    known = window.end - signatures.span
    found = read(client, signatures, window, values, spans=[*spans, rest], before=known, progress=progress)
    if len(found.names) * len(spans) < LEAST_SPANS:
        raise WindowError(
            f"{len(found.names)} entities have documents in {window}, which is too few to tell what is usual",
            where=f"signatures {signatures.signature_id}, term {signatures.term}",
            expected=f"at least {-(-LEAST_SPANS // len(spans))} with {len(spans)} spans of {format_span(signatures.span)}",
        )
    learned = learn(found.names, found.sums(signatures, spans), found.sums(signatures, [rest]), limit=limit or signatures.limit)
    learned.facts["mix"] = values
    found.notes += [
        f"feature '{feature.name}' is not compared: no document has the field '{feature.field}'"
        for feature, (_, values_of) in zip(signatures.measured, found.measured, strict=True)
        if np.isnan(values_of).all()
    ]
    manifest = _manifest(signatures, window, learned, found.notes, limit or signatures.limit)
    snapshots.write(client, manifest, (orjson.dumps(chunk) for chunk in chunks(learned)))
    _note(client, signatures, "train", run, began, window, snapshot_id=manifest["snapshot_id"])
    return {
        "snapshot_id": manifest["snapshot_id"],
        "entities": len(found.names),
        "groups": learned.facts["sizes"],
        "window": window.as_dict(),
        "notes": found.notes,
    }


def _manifest(signatures: Signatures, window: Window, learned: Learned, notes: list[str], limit: int | None) -> Manifest:
    detail = {
        "valid": [{"from": iso(window.end)}],
        "groups": learned.facts["sizes"],
        "limit": limit,
        "mix": learned.facts["mix"],
        "notes": notes,
    }
    return {
        **snapshots.new_manifest(signatures.signature_id, signatures.version, window.start, window.end),
        "state": "promoted",
        "engine": "signatures",
        "description": "",
        "series": len(learned.names),
        "trained": len(learned.names),
        "failed": 0,
        "detail": detail,
    }


def load(client: Elasticsearch, manifest: Manifest) -> Learned:
    """What a snapshot holds.

    Raises:
        SnapshotError: A part of it is missing.
    """
    return from_chunks(snapshots.chunks(client, manifest))


def interval_of(signatures: Signatures, given: str | int | timedelta | None) -> timedelta:
    """How often to score: as asked, or as the definition says.

    Raises:
        WindowError, DefinitionError: It is no span, or does not hold whole buckets.
    """
    interval = parse_span(given) if given else signatures.interval
    try:
        signatures.whole("interval", interval)
    except ValueError as error:
        raise DefinitionError(str(error), where=f"signatures {signatures.signature_id}, interval") from None
    return interval


def due(
    client: Elasticsearch,
    signatures: Signatures,
    *,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    interval: str | timedelta | None = None,
    planned: Window | None = None,
    run_after: datetime | None = None,
) -> Window:
    """The interval to score, in whole intervals: as given, or a run's data interval, or what is new or was left out before.

    Raises:
        WindowError: The end lies before the start.
    """
    clock = signatures.clock(interval_of(signatures, interval))
    scored = None if start or end else state.progress(client, signatures)
    until = floor_time(scored.gap.start if scored.gap else scored.window.end, clock.bucket_span) if scored else None
    if planned is not None and not (start or end):
        delay = signatures.query_delay
        planned = Window(planned.start + delay, planned.end + delay)
    return resolve(clock, start=start, end=end, interval=planned, run_after=run_after, scored_until=until)


def score(
    client: Elasticsearch,
    signatures: Signatures,
    window: Window,
    *,
    interval: str | int | timedelta | None = None,
    threshold: float | None = None,
    model: Model = "as_of",
    run: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores all entities at each interval of a window, and replaces what was found there at that interval before.

    Where the window begins before anything could be learned, it is scored from the first interval on that can be, and counts as
    done: the next run would fare no better.

    Args:
        client: The cluster.
        signatures: What to score.
        window: In whole intervals; a short-term span ends with each.
        interval: How often, if not as the definition says: a day makes a quick scan.
        threshold: From which score on an anomaly is written, if not as the definition says.
        model: as_of: what was learned before the short-term span began. latest: the newest, for all.
        run: Who asks, for the journal.
        progress: Told how far it is.

    Returns:
        `start`, `end`, `interval`, `scored` (times), `entities`, `new` (not known then), `records`, `anomalous` (entities),
        `written`, `deleted`, `notes`.

    Raises:
        SnapshotError, WindowError: There is nothing to compare with, and too little to learn from.
    """
    began, every = datetime.now(UTC), interval_of(signatures, interval)
    least = signatures.threshold if threshold is None else threshold
    ends = [window.start + number * every for number in range(1, 1 + window.buckets(every))]
    steps = _steps(client, signatures, ends, model, run=run, progress=progress)
    scored = Window(steps[0][0] - every, window.end) if steps else window
    told: dict[str, Any] = {"records": 0, "entities": 0, "new": 0, "anomalous": set(), "notes": []}
    if scored != window:
        told["notes"] += [f"nothing is scored from {iso(window.start)} to {iso(scored.start)}: nothing was learned by then"]

    def made() -> Iterator[Document]:
        for block in _blocks(signatures, steps):
            yield from _scored(client, signatures, block, every, least, told, progress)

    within = [{"term": {"bucket_span": int(every.total_seconds())}}]
    done = results.replace(client, signatures, scored, made(), types=TYPES, within=within)
    if every == signatures.interval:
        state.advance(client, signatures, window)
    _note(client, signatures, "score", run, began, scored, records=told["records"])
    return {
        **scored.as_dict(),
        "interval": format_span(every),
        "threshold": least,
        "scored": len(steps),
        "entities": told["entities"],
        "new": told["new"],
        "records": told["records"],
        "anomalous": len(told["anomalous"]),
        "in_sample": any(inside for *_, inside in steps),
        "written": done.written,
        "deleted": done.deleted,
        "notes": told["notes"],
    }


def _steps(
    client: Elasticsearch,
    signatures: Signatures,
    ends: list[datetime],
    model: Model,
    *,
    run: str | None,
    progress: Progress | None,
) -> list[Step]:
    """With what each short-term span is compared, from the first on for which there is something.

    What has never learned anything does so first, as of the first span's start.
    """
    if not ends:
        return []
    found, problem = snapshots.manifests(client, signatures.signature_id), ""
    if _chosen(found, signatures, ends[0], model) is None:
        for as_of in (ends[0] - signatures.span, ends[0]):
            try:
                train(client, signatures, as_of=as_of, run=run, progress=progress)
                break
            except WindowError as error:
                problem = error.what
        found = snapshots.manifests(client, signatures.signature_id)
    out: list[Step] = []
    for end in ends:
        manifest = _chosen(found, signatures, end, model)
        if manifest is None:
            continue
        begin = end - signatures.span
        inside = parse_time(manifest["training_start"]) < end and begin < parse_time(manifest["training_end"])
        out.append((end, manifest, inside))
    if not out:
        raise SnapshotError(
            f"nothing was learned before {iso(ends[-1])}: {problem}",
            where=f"signatures {signatures.signature_id}",
            fix="Train first (driftline signatures train), and score what came later, or score by the model 'latest'.",
        )
    return out


def _chosen(found: list[Manifest], signatures: Signatures, end: datetime, model: Model) -> Manifest | None:
    """What has learned before the span that ends there began; else what has learned before it ended."""
    version = signatures.version
    if model == "latest":
        return snapshots.in_force(found, version)
    return snapshots.choose(found, version, end - signatures.span) or snapshots.choose(found, version, end)


def _blocks(signatures: Signatures, steps: list[Step]) -> Iterator[list[Step]]:
    """Steps that are read together: of one snapshot, and not more than fits in memory."""
    for _, group in groupby(steps, key=lambda step: str(step[1]["snapshot_id"])):
        block: list[Step] = []
        for step in group:
            entities = max(1, int(step[1]["series"])) * (1 + len(signatures.measured))
            if block and entities * ((step[0] - block[0][0] + signatures.span) / signatures.resolution) > AT_ONCE:
                yield block
                block = []
            block.append(step)
        yield block


def _scored(
    client: Elasticsearch,
    signatures: Signatures,
    block: list[Step],
    every: timedelta,
    least: float,
    told: dict[str, Any],
    progress: Progress | None,
) -> Iterator[Document]:
    manifest = block[0][1]
    learned = load(client, manifest)
    window = Window(block[0][0] - signatures.span, block[-1][0])
    found = read(client, signatures, window, learned.facts["mix"], learned=learned.names, progress=progress)
    place = {name: row for row, name in enumerate(found.names)}
    rows = np.array([place.get(name, -1) for name in learned.names], dtype=np.intp)
    told["notes"] = list(dict.fromkeys([*told["notes"], *found.notes]))
    told["entities"] = max(told["entities"], len(rows))
    told["new"] = max(told["new"], len(place.keys() - set(learned.names)))
    for number, (end, _, inside) in enumerate(block):
        short = found.sums(signatures, [Window(end - signatures.span, end)]).take(rows)
        scored = compare(learned, short)
        hits = np.flatnonzero(scored.score >= least)
        told["records"] += len(hits)
        told["anomalous"] |= {learned.names[row] for row in hits.tolist()}
        yield from documents(signatures, manifest, learned, short, scored, hits, end - every, every, in_sample=inside)
        if progress:
            progress(f"times scored from {iso(block[0][0])} on", number + 1, len(block))


def _note(
    client: Elasticsearch,
    signatures: Signatures,
    kind: str,
    run: str | None,
    began: datetime,
    window: Window,
    **facts: Any,  # noqa: ANN401
) -> None:
    edges = {"window_start": iso(window.start), "window_end": iso(window.end)}
    about = {"job_id": signatures.signature_id, "job_version": signatures.version, "state": "done", **edges}
    detail = {name: facts.pop(name) for name in ("records",) if name in facts}
    state.journal(client, run or f"by hand {uuid.uuid4().hex[:12]}", kind, began, **about, **facts, detail=detail)
