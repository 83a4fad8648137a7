"""Ingest: what is new in a source → parse → gate → index; bad rows to quarantine; each file once; nothing lost, nothing twice."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DriftlineError, QualityStopError
from driftline.core.paths import own_run
from driftline.elastic import state
from driftline.elastic.client import explained
from driftline.elastic.indices import LEDGER, QUALITY, TRUTH, ensure_templates
from driftline.pipeline import ingest_files, ingest_generated, ledger, rowreport
from driftline.pipeline.rowgate import RowGate
from driftline.pipeline.rowsink import RowSink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress
    from driftline.core.source import Source

Handle = dict[str, Any]
COUNTED = ("rows", "indexed", "quarantined", "pending", "bytes")


def pending(client: Elasticsearch, source: Source) -> list[Handle]:
    """What a source has that its index lacks: a handle for each file, or for some generated days.

    Files that are new, have grown, or were interrupted; a file that cannot be read has a handle too, whose turn will fail.

    Raises:
        DataError: A path does not exist.
        DefinitionError: The index holds what a generator made before it was changed.
    """
    ensure_templates(client)
    return ingest_generated.pending(client, source) if source.generator else ingest_files.survey(client, source).handles


def ingest_file(
    client: Elasticsearch, source: Source, handle: Handle, run: str, progress: Progress | None = None
) -> dict[str, Any]:
    """Takes one of the handles of `pending`. Doing it again, or after an interruption, leaves the same documents.

    Returns:
        `path`, `fingerprint`, `format`, `rows` = `indexed` + `quarantined`, `pending` (1 where the last line is half written),
        `bytes`, `seconds`, `checks`: what this run did, attempts that were interrupted included.

    Raises:
        DataError: The file cannot be read.
        QualityStopError: The gate stops; its report is written.
        WriteError: Documents were refused for a reason that is not theirs.
    """
    if handle.get("unfinished"):
        return {**_result(handle["path"], {}), "pending": 1}
    entry = _entry(client, source, handle)
    if entry is None:
        return _result(handle["path"], {})
    gate = RowGate(source)
    last: dict[str, Any] = entry.detail.get("run") or {}
    if entry.state == "done" and last.get("id") == run and not _grown(entry):
        return _result(entry.path, last, entry)
    sink = RowSink(client, source, entry, gate, run)
    try:
        read = ingest_generated.read_into if source.generator else ingest_files.read_into
        read(client, source, entry, sink, progress)
    except QualityStopError as error:
        report = rowreport.write(client, source, [_result(entry.path, sink.counts, entry)], run)
        raise QualityStopError(
            error.what, report=report["report"], report_id=report["report_id"], where=error.where, fix=error.fix
        ) from None
    _check_sums(entry)
    return _result(entry.path, sink.counts, entry)


def _entry(client: Elasticsearch, source: Source, handle: Handle) -> ledger.Entry | None:
    """The ledger's entry for a handle; a file that could not be read before gets another look."""
    if "fingerprint" in handle:
        return ledger.get(client, source.index, handle["fingerprint"])
    found = ingest_files.look_again(client, source, handle["path"])
    return ledger.get(client, source.index, found["fingerprint"]) if found else None


def _grown(entry: ledger.Entry) -> bool:
    identity = entry.detail.get("identity")
    return identity is not None and entry.detail.get("format") != "parquet" and identity["extent"] > entry.offset


def _check_sums(entry: ledger.Entry) -> None:
    """Promise 5: nothing lost."""
    if entry.rows != entry.indexed + entry.quarantined:
        raise DriftlineError(
            f"{entry.rows} rows were read, but {entry.indexed} indexed and {entry.quarantined} quarantined",
            where=entry.path,
            fix="This is an error of Driftline itself; ingest the file again.",
        )


def _result(path: str, counts: dict[str, Any], entry: ledger.Entry | None = None) -> dict[str, Any]:
    result: dict[str, Any] = {"path": path, **dict.fromkeys(COUNTED, 0), "seconds": 0.0, "checks": {}}
    result |= {name: value for name, value in counts.items() if name != "id"}
    if entry is not None:
        result |= {"fingerprint": entry.fingerprint, "pending": entry.pending, "format": entry.detail.get("format", "generated")}
    return result


def finish(client: Elasticsearch, source: Source, results: Iterable[dict[str, Any]], run: str) -> dict[str, Any]:
    """Concludes a run: the truth of a generator, the quality report, the journal, and documents that can be found.

    Returns:
        Sums of what `ingest_file` returned, `files`, `verdict` (pass or warn), `report_id`, `report` (its page), `failed` checks.
    """
    done = list(results)
    ensure_templates(client)
    summary: dict[str, Any] = {"source_id": source.source_id, "index": source.index, "run": run, "files": len(done)}
    sums: Counter[str] = Counter()
    for result in done:
        sums.update({name: result[name] for name in COUNTED})
    summary |= {name: sums[name] for name in COUNTED} | {"seconds": round(sum(result["seconds"] for result in done), 3)}
    if source.generator:
        summary["truth"] = ingest_generated.write_truth(client, source)
    report = rowreport.write(client, source, done, run)
    summary |= {name: report[name] for name in ("verdict", "report_id", "report", "failed")}
    _journal(client, source, run, summary)
    with explained(f"index {source.index}"):
        names = [source.index, source.quarantine, LEDGER, QUALITY, TRUTH]
        client.indices.refresh(index=names, ignore_unavailable=True, allow_no_indices=True)
    return summary


def _journal(client: Elasticsearch, source: Source, run: str, summary: dict[str, Any]) -> None:
    started = datetime.fromtimestamp(time.time() - summary["seconds"], UTC)
    facts = {"source_id": source.source_id, "verdict": summary["verdict"], "state": "done", "detail": summary}
    state.journal(client, run, "ingest", started, **facts)


def ingest(client: Elasticsearch, source: Source, *, run: str | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """All of it in one process; `run` is an id of its own for each call unless it is given.

    Returns:
        As `finish`, with `known`: the files that had nothing new, each with the reason.

    Raises:
        DriftlineError: The first error of a file, after all other files were taken.
    """
    ensure_templates(client)
    run = own_run(run, "ingest")
    survey = ingest_files.survey(client, source) if source.files else ingest_files.Survey(pending(client, source))
    results: list[dict[str, Any]] = []
    problems: list[DriftlineError] = []
    for handle in survey.handles:
        try:
            results.append(ingest_file(client, source, handle, run, progress))
        except DriftlineError as error:
            problems.append(error)
    summary = finish(client, source, results, run) | {"known": survey.known, "results": results}
    if problems:
        raise problems[0]
    return summary
