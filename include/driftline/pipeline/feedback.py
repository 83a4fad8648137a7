"""Feedback: what people say of records, "this was nothing" or "this was real". Said, listed, and taken back."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DataError
from driftline.core.feedback import ABOUT, WORDS, Verdict
from driftline.core.results import number, result_id
from driftline.core.timespan import iso
from driftline.elastic import feedback, results
from driftline.elastic.indices import RESULTS
from driftline.pipeline.jobs import load_job
from driftline.scoring.events import direction, key_of, probable_surprise
from driftline.scoring.feedback import deviation

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

NOTE_MOST, NAME_MOST = 2000, 200  # characters
PREFIX_LEAST = 6  # characters of an id that may stand for it
_COPIED = ("job_id", "timestamp", "detector_index", *ABOUT, "actual", "typical")


def list_feedback(client: Elasticsearch, job_id: str, *, revoked: bool = True) -> list[dict[str, Any]]:
    """What was said of a job's records, by the record's time: documents with their `_id`.

    Args:
        client: The cluster.
        job_id: The job, by id or file.
        revoked: Whether what was taken back is told, too.

    Raises:
        DefinitionError: There is no such job.
    """
    return feedback.of_job(client, load_job(job_id, client).job_id, revoked=revoked)


def give_feedback(
    client: Elasticsearch, job_id: str, record_id: str, verdict: str, *, note: str = "", by: str = ""
) -> dict[str, Any]:
    """Says of a record that it was nothing, or real. What was said of it before is replaced.

    It counts for buckets after the record's, when they are scored the next time.

    Args:
        client: The cluster.
        job_id: The job, by id or file.
        record_id: The record's `_id`, or its beginning; that of an event of a series stands for the record at its peak.
        verdict: `nothing` or `real`.
        note: Why.
        by: Who says so.

    Returns:
        The document, with its `_id`.

    Raises:
        DefinitionError: There is no such job.
        DataError: There is no such record, or the verdict is another word, or note or name are too long.
    """
    if verdict not in WORDS:
        raise DataError(f"'{verdict}' is no verdict", expected=" or ".join(WORDS))
    note, by = _plain(note, NOTE_MOST, "note"), _plain(by, NAME_MOST, "name")
    job = load_job(job_id, client)
    record = _record(client, job, record_id)
    document = {name: record[name] for name in _COPIED if name in record}
    away = deviation(record)
    document |= {
        "job_version": record["driftline"]["job_version"],
        "record_id": record["_id"],
        "verdict": verdict,
        "kind": record["driftline"].get("kind") or "",
        "direction": direction(record),
        "record_score": record["initial_record_score"],
        "surprise": number(probable_surprise(record)),
        "deviation": None if away is None else number(away),
        "note": note,
        "created_by": by,
        "created": iso(datetime.now(UTC).replace(microsecond=0)),
    }
    id_ = hashlib.sha256(record["_id"].encode()).hexdigest()[:40]
    feedback.put(client, id_, document)
    return {"_id": id_, **document}


def revoke_feedback(client: Elasticsearch, job_id: str, feedback_id: str, *, by: str = "") -> dict[str, Any]:
    """Takes back what was said of a record; it is kept for the list, and counts no more.

    Args:
        client: The cluster.
        job_id: The job, by id or file.
        feedback_id: Its `_id`, or the record's; the beginning is enough.
        by: Who takes it back.

    Returns:
        The document, with its `_id`.

    Raises:
        DefinitionError: There is no such job.
        DataError: Nothing of that id was said, or the name is too long.
    """
    by, job = _plain(by, NAME_MOST, "name"), load_job(job_id, client)
    said = feedback.of_job(client, job.job_id, revoked=False)
    names = {name: each["_id"] for each in said for name in (each["_id"], each["record_id"])}
    chosen = _chosen(feedback_id, list(names), f"job {job.job_id}", "feedback")
    document = next(each for each in said if each["_id"] == names[chosen])
    document |= {"revoked": iso(datetime.now(UTC).replace(microsecond=0)), "revoked_by": by}
    feedback.put(client, document["_id"], {name: value for name, value in document.items() if name != "_id"})
    return document


def own_verdicts(job: Job) -> dict[str, dict[str, Any]]:
    """What was said of each record itself, by the record's id; a record keeps its score."""
    return {each.record: _told(each) for each in job.known.feedback}


def with_verdicts(client: Elasticsearch, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records with what was said of each itself as `feedback`, as `own_verdicts` has it; None where nothing was said."""
    jobs = {str(each["job_id"]) for each in records}
    said = feedback.of_job(client, *jobs, revoked=False) if jobs else []
    known = {each["record_id"]: _told(Verdict.of(each["_id"], each)) for each in said}
    return [{**each, "feedback": known.get(each["_id"])} for each in records]


def _told(said: Verdict) -> dict[str, Any]:
    return {"id": said.id, "verdict": said.word, "note": said.note, "by": said.by, "created": said.created}


def _plain(text: str, most: int, what: str) -> str:
    """The text; bytes that are none, which a command line may hand over, are replaced."""
    if len(text) > most:
        raise DataError(f"the {what} has {len(text):,} characters", expected=f"at most {most:,}")
    return text.encode("utf-8", "replace").decode()


def _record(client: Elasticsearch, job: Job, id_: str) -> dict[str, Any]:
    """The record of an id, or of what an id begins with, or at the peak of an event."""
    where = f"job {job.job_id}"
    mine: list[dict[str, Any]] = [{"term": {"job_id": job.job_id}}, {"terms": {"result_type": ["record", "event"]}}]
    if not (id_.isascii() and id_.isalnum()):
        raise _unknown("record", id_, where)
    found = _by_id(client, mine, id_)
    if found is None:
        ids = (str(hit["_id"]) for hit in results.scan(client, {"bool": {"filter": mine}}, source=False))
        found = _by_id(client, mine, _chosen(id_, [each for each in ids if each.startswith(id_)], where, "record"))
    if found and found["result_type"] == "event":
        if "detector_index" not in found:
            raise DataError("that is an event of many series", where=where, fix="Say it of a record of each.")
        # an event's record has the id that results of its series and peak have
        same = job if found["driftline"]["job_version"] == job.version else None
        peak = result_id(same, "record", found["driftline"]["event"]["peak"], key=key_of(found)) if same else ""
        found = _by_id(client, mine, peak)
    if found is None:
        raise _unknown("record", id_, where)
    return found


def _by_id(client: Elasticsearch, mine: list[dict[str, Any]], id_: str) -> dict[str, Any] | None:
    query = {"bool": {"filter": [*mine, {"ids": {"values": [id_]}}]}}
    return next(({"_id": hit["_id"], **hit["_source"]} for hit in results.scan(client, query, index=f"{RESULTS}-*")), None)


def _unknown(what: str, id_: str, where: str) -> DataError:
    fix = {"record": "Its id is in: driftline anomalies JOB", "feedback": "See: driftline feedback JOB --list"}[what]
    expected = f"an id, or at least {PREFIX_LEAST} characters of its beginning"
    return DataError(f"there is no {what} '{id_}'", where=where, expected=expected, fix=fix)


def _chosen(id_: str, ids: list[str], where: str, what: str) -> str:
    """The one id that is this, or begins with it."""
    found = [each for each in dict.fromkeys(ids) if each == id_ or (len(id_) >= PREFIX_LEAST and each.startswith(id_))]
    if id_ in found:
        return id_
    if not found:
        raise _unknown(what, id_, where)
    if len(found) > 1:
        raise DataError(f"{len(found)} ids begin with '{id_}'", where=where, fix="Give more of it.")
    return found[0]
