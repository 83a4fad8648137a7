"""Explain: why a bucket is an anomaly, or is none. It reads, and changes nothing in Elasticsearch."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import DataError, WindowError
from driftline.core.paths import staging_uri
from driftline.core.results import milliseconds, number, result_id
from driftline.core.ruling import reasons
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.timespan import Window, floor_time, iso, parse_time
from driftline.elastic import results, snapshots, state
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.fields import data_range
from driftline.elastic.indices import QUALITY
from driftline.models.trained import Trained
from driftline.pipeline.categories import of_snapshot
from driftline.pipeline.compared import given_series
from driftline.pipeline.feedback import own_verdicts
from driftline.pipeline.lessons import anew
from driftline.pipeline.read import read_series
from driftline.pipeline.score import usual_of_fleet
from driftline.pipeline.segment import look_back, newcomers, score_segment
from driftline.scoring.calibration import GRADES, Calibration
from driftline.scoring.events import is_damped, is_real, series_events, severity_rank, speaks_for
from driftline.scoring.explanation import MEANS, REASONS, RECURRING
from driftline.scoring.kinds import KINDS
from driftline.scoring.renormalisation import first_score
from driftline.scoring.score import severity, to_score
from driftline.scoring.settings import ALARM_SCORE, CHANGE_REST, CHANGES, EVENT_LONGEST, MIN_RECORD_SCORE
from driftline.scoring.windows import Windows

if TYPE_CHECKING:
    from datetime import datetime

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress

DAY = timedelta(days=1)
RULES = {
    "no_model": "the series has no model, or none since a marker began a new baseline",
    "learning": "the model learned from this bucket itself",
    "not_learned": "the series is being learned, and a value within what was seen is no more than minor until then",
    "custom_rule": "a rule or a calendar says that this is none",
    "feedback": "somebody said of one like it that it was nothing",
    "no_value": "there is no value to judge",
    "one_sided": "the function looks at the other side only",
    RECURRING: "the weeks that the model learned from had one as unusual again and again",
    "below_minimum": f"its score is below {MIN_RECORD_SCORE:g}, the least that is recorded",
    "below_alarm": f"its score is below {ALARM_SCORE:g}, from which on a record alarms",
    "rate_limit": "the incident had alarmed already, and this bucket is no worse",
    "change_reported": "a change of level was reported, and is being learned",
    "quality_stop": "the quality gate stopped the run",
    "not_found_then": "the stored results of the interval do not have it: the data, or the model, was another then",
}


@dataclass
class _Looked:
    """What is known of the bucket apart from its series."""

    job: Job
    frame: SeriesFrame
    manifest: dict[str, Any] | None
    window: Window
    stored: list[dict[str, Any]]
    quality: dict[str, Any] | None
    young: dict[SeriesKey, Trained] = field(default_factory=dict)


def explain(
    client: Elasticsearch,
    job: Job,
    partition: str | None,
    at: str | datetime,
    *,
    key: SeriesKey | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Why there is an anomaly, or none, in the bucket that holds a moment.

    Args:
        client: The cluster; only read.
        job: The job.
        partition: A partition or by value; None for a job without either.
        at: The moment.
        key: One series, in place of all of a partition.
        progress: Told how far the read is.

    Returns:
        `job_id`, `at`, `bucket` (start, end, documents), `thresholds`, `quality`, `snapshot`, and `series`: for each series of
        the partition `detector`, `actual`, `expected`, `evidence`, `surprise`, `score`, `record` (what is stored), `suppressed`
        (rule and reason, the decisive first) and a `conclusion`.

    Raises:
        DataError: There is no such partition or series, or the series is of a detector that compares.
        WindowError: The moment is outside of the data, or not scored yet.
    """
    if key:
        _refuse_compared(job, key)
    window, quality = _bucket(client, job, parse_time(at))
    manifest = _in_force(client, job, window.start)
    known = _known(client, manifest)
    read = Window(floor_time(window.start, DAY) - look_back(job), window.end)
    uri = staging_uri(job.job_id, "explain", f"{window.start:%Y%m%dT%H%M%S}.parquet")
    naming = of_snapshot(client, job, manifest) if job.categorises and manifest else None
    handle = read_series(client, job, read, uri=uri, keys=known, cells=(window, window), naming=naming, progress=progress)
    frame, given = SeriesFrame.read(handle["uri"]), given_series(client, job, handle["compared"], manifest, window)
    rows = _row(job, frame, key, list(given)) if key else _rows(job, frame, partition, list(given))
    given = {each: found for each, found in given.items() if (each == key if key else partition in (None, *each.values))}
    earlier = Window(window.start - CHANGE_REST - EVENT_LONGEST, window.end)
    stored = results.of_type(client, job.job_id, "record", version=job.version, window=earlier)
    looked = _Looked(job, frame.take(rows), manifest, window, stored, quality)
    told = _told(manifest, window)
    marked = anew(job, looked.frame.keys, {**window.as_dict(), **told}) if told else set()
    trained = _models(client, manifest, [key for key in looked.frame.keys if key not in marked])
    looked.young = _young(client, looked, set(known) - marked)
    return {
        "job_id": job.job_id,
        "partition": partition,
        "at": iso(parse_time(at)),
        "bucket": {**window.as_dict(), "documents": int(frame.docs[-1])},
        "thresholds": {"record": MIN_RECORD_SCORE, "alarm": ALARM_SCORE, "severity": severity(ALARM_SCORE)},
        "quality": looked.quality,
        "snapshot": told,
        "series": [
            *(_series(looked, row, looked.young.get(each) or trained.get(each)) for row, each in enumerate(looked.frame.keys)),
            *(_given(looked, each, found) for each, found in given.items()),
        ],
    }


def _bucket(client: Elasticsearch, job: Job, moment: datetime) -> tuple[Window, dict[str, Any] | None]:
    """The bucket, which must be within the data and scored, or kept from it by the gate; and the gate's verdict."""
    where = f"job {job.job_id}, {iso(moment)}"
    data = data_range(client, job)
    start = floor_time(moment, job.bucket_span)
    window = Window(start, start + job.bucket_span)
    if window.end <= data.start or data.end <= window.start:
        raise WindowError("there is no data at that time", where=where, expected=f"a time within {data}")
    until = state.scored_until(client, job)
    quality = _quality(client, job, window)
    stopped = quality is not None and quality["verdict"] == "stop"
    if not stopped and (until is None or until < window.end):
        far = f"up to {iso(until)}" if until else "at no time"
        fix = f"driftline score {job.job_id} --start {iso(window.start)} --end {iso(window.end)}"
        raise WindowError(f"that time is not scored yet: the job is scored {far}", where=where, fix=f"Run: {fix}")
    return window, quality


def _in_force(client: Elasticsearch, job: Job, moment: datetime) -> dict[str, Any] | None:
    """The snapshot that scores a bucket, as the plan of a scoring run chooses it; None if there is none."""
    found = [each for each in snapshots.manifests(client, job.job_id) if each["job_version"] == job.version]
    usable = [each for each in found if each["detail"]["valid"]]
    chosen = snapshots.choose(usable, job.version, moment)
    return chosen or min(usable, key=lambda each: parse_time(each["training_end"]), default=None)


def _known(client: Elasticsearch, manifest: dict[str, Any] | None) -> list[SeriesKey]:
    """All series of a snapshot, those that have no model too."""
    if manifest is None:
        return []
    parts = snapshots.chunks(client, manifest, fields=["keys"])
    return list({SeriesKey(*key): None for chunk in parts for key in chunk["keys"]})


def _refuse_compared(job: Job, key: SeriesKey) -> None:
    detector = job.detectors[key.detector_index]
    if detector.kind not in ("series", "given"):
        raise DataError(
            "a detector that compares is not explained bucket by bucket",
            where=f"job {job.job_id}, {detector.description}",
            fix="Each of its anomalies says what it was compared with.",
        )


def _row(job: Job, frame: SeriesFrame, key: SeriesKey, others: list[SeriesKey]) -> list[int]:
    """The row of one series; none where it is one of the `others`, which have no model."""
    if key not in (*frame.keys, *others):
        where = f"job {job.job_id}, {job.detectors[key.detector_index].description}"
        raise DataError(f"there is no series '{key.label()}'", where=where, fix="Choose one that is there at that time.")
    return [row for row, each in enumerate(frame.keys) if each == key]


def _rows(job: Job, frame: SeriesFrame, partition: str | None, others: list[SeriesKey]) -> list[int]:
    """The series of a partition; `others` are those that have no model."""
    rows = [row for row, key in enumerate(frame.keys) if partition is None or partition in (key.partition_value, key.by_value)]
    keys = [*frame.keys, *others]
    names = sorted({value for key in keys for value in (key.partition_value, key.by_value) if value is not None})
    where = f"job {job.job_id}"
    if partition is None and names:
        raise DataError("the job has partitions; it must be said which", where=where, expected="--partition, such as " + names[0])
    if partition is not None and partition not in names:
        near = difflib.get_close_matches(partition or "", names, n=1, cutoff=0.3)
        fix = f"Did you mean '{near[0]}'?" if near else "See them: driftline anomalies, or the snapshot's failures."
        raise DataError(f"there is no partition '{partition}'", where=where, fix=fix)
    return rows


def _models(client: Elasticsearch, manifest: dict[str, Any] | None, keys: list[SeriesKey]) -> dict[SeriesKey, Trained]:
    """The models of these series, one each, as far as there are any."""
    found: dict[SeriesKey, Trained] = {}
    for chunk in snapshots.chunks(client, manifest, keys=keys) if manifest else ():
        wanted = [row for row in chunk["fitted"] if SeriesKey(*chunk["keys"][row]) in keys]
        if wanted:
            trained = Trained.from_numbers(chunk)
            found |= {trained.keys[row]: trained.select([row]) for row in wanted}
    return found


def _young(client: Elasticsearch, looked: _Looked, known: set[SeriesKey]) -> dict[SeriesKey, Trained]:
    """Models of series that the snapshot does not know, or not since a marker, as scoring fits them."""
    if looked.manifest is None or not set(looked.frame.keys) - known:
        return {}
    segment = {**looked.manifest, **looked.window.as_dict(), "day": iso(floor_time(looked.window.start, DAY))}
    usual = usual_of_fleet(client, looked.job, looked.manifest, segment)
    made = newcomers(looked.job, looked.frame, known, usual, segment)
    return {} if made is None else {key: made.select([row]) for row, key in enumerate(made.keys)}


@talks_to_cluster
def _quality(client: Elasticsearch, job: Job, window: Window) -> dict[str, Any] | None:
    """The gate's verdict over the run that scored the bucket: of several reports the one that was made last."""
    clauses: list[dict[str, Any]] = [
        {"term": {"job_id": job.job_id}},
        {"term": {"stage": "score"}},
        {"range": {"start": {"lte": iso(window.start)}}},
        {"range": {"end": {"gte": iso(window.end)}}},
    ]
    latest = [{"created": {"order": "desc", "unmapped_type": "date"}}]
    found = client.search(index=QUALITY, query={"bool": {"filter": clauses}}, sort=latest, size=1, ignore_unavailable=True)
    hits = found["hits"]["hits"]
    names = ("verdict", "failed_checks", "report_id", "run", "start", "end")
    return {name: hits[0]["_source"].get(name) for name in names} if hits else None


def _told(manifest: dict[str, Any] | None, window: Window) -> dict[str, Any] | None:
    if manifest is None:
        return None
    names = ("snapshot_id", "training_start", "training_end")
    return {name: manifest[name] for name in names} | {"in_sample": window.start < parse_time(manifest["training_end"])}


def _series(looked: _Looked, row: int, trained: Trained | None) -> dict[str, Any]:
    """All that is to be said of one series."""
    key, actual = looked.frame.keys[row], _number(looked.frame.values[row, -1])
    if trained is None:
        nothing: dict[str, Any] = {"actual": actual, "expected": None, "evidence": {}, "surprise": None, "score": None}
        return _told_of(looked, key, nothing, ("no_model", _reason(looked.manifest, key)))
    judged = _judged(looked, row, trained)
    # what a rule hides has a value all the same; a series that was silent all the time is 0 where its function says so
    return _told_of(looked, key, judged if actual is None else {**judged, "actual": actual}, None)


def _given(looked: _Looked, key: SeriesKey, judged: dict[str, Any]) -> dict[str, Any]:
    """The same of a series whose metric is judged given another."""
    rule = None
    if judged["actual"] is not None and judged["expected"] is None:
        rule = ("no_model", _reason(looked.manifest, key))
    return _told_of(looked, key, judged, rule)


def _told_of(looked: _Looked, key: SeriesKey, judged: dict[str, Any], rule: tuple[str, str] | None) -> dict[str, Any]:
    """What is stored of a series, what was computed, the rules that keep it from alarming, and a conclusion."""
    own = [record for record in looked.stored if _of(record) == key]
    now = milliseconds(looked.window.start)
    record = next((each for each in own if each["timestamp"] == now), None)
    before = [each for each in own if each["timestamp"] < now]
    detector = looked.job.detectors[key.detector_index]
    found: dict[str, Any] = {"detector": detector.description, **key._asdict(), "record": record, "suppressed": []} | judged
    found["feedback"] = own_verdicts(looked.job).get(result_id(looked.job, "record", now, key=key))
    typical = (found["expected"] or {}).get("typical")
    told = reasons(looked.job, key, looked.window.start.timestamp(), found["actual"], typical)
    custom = [("custom_rule", "; ".join(told))] if told else _suppressing(looked, found, record, before) if rule is None else []
    rules = custom if rule is None else [rule]
    found["suppressed"] = [{"rule": name, "why": RULES[name] + (f": {detail}" if detail else "")} for name, detail in rules]
    return found | {"conclusion": _conclusion(found)}


def _judged(looked: _Looked, row: int, trained: Trained) -> dict[str, Any]:
    """Actual and expected, evidence and score, computed as scoring does."""
    manifest = looked.manifest or {}
    segment = {**looked.window.as_dict(), **{name: manifest[name] for name in ("training_start", "training_end")}}
    new = looked.frame.keys[row] in looked.young
    scored = score_segment(looked.job, looked.frame.take([row]), trained, segment, new=new)
    found, z, windows = scored.found, float(scored.found.z[0, -1]), Windows.of(looked.job.bucket_span)
    lower, typical, upper = (_number(bound[0, -1]) for bound in scored.bounds)
    return {
        "actual": _number(scored.values[0, -1]),
        "expected": {"lower": lower, "typical": typical, "upper": upper},
        "deviations": _number(z),
        "kind": KINDS[int(scored.kind[0, -1])],
        "evidence": {
            name: {"surprise": _number(found.evidence[name][0, -1]), "means": told}
            for name, told in MEANS.items()
            if name in found.evidence and getattr(windows, name, True)  # none of a mean that buckets so long do not have
        },
        "surprise": _number(found.surprise[0, -1]),
        "score": float(scored.scores[0, -1]),
        "damped": REASONS[int(found.damped[0, -1])],
        "recurring": {"times": int(found.times[0, -1]), "surprise": float(found.alone[0, -1])},
        "predictability": GRADES[int(Calibration.from_numbers(trained.usual).grade[0])],
    }


def _suppressing(
    looked: _Looked, found: dict[str, Any], record: dict[str, Any] | None, before: list[dict[str, Any]]
) -> list[tuple[str, str]]:
    """The rules that keep the bucket from alarming, each with a detail, the decisive first."""
    if (looked.quality or {}).get("verdict") == "stop":
        return [("quality_stop", ", ".join((looked.quality or {}).get("failed_checks") or []))]
    if found["actual"] is None:
        return [("no_value", "")]
    score = first_score(record) if record else found["score"]
    rules: list[tuple[str, str]] = []
    if score < MIN_RECORD_SCORE:
        other_side = found["damped"] == "one_sided"
        rules.append(_recurring(looked.job, found, MIN_RECORD_SCORE) or ("one_sided" if other_side else "below_minimum", ""))
    elif record is None:
        rules.append(("not_found_then", ""))
    elif is_damped(record):
        rules.append(("feedback", f"{record['driftline']['feedback']['said']}; it would score {found['score']:.0f}"))
    elif score < ALARM_SCORE:
        learning = found.get("damped") == "learning"
        rules.append(
            _recurring(looked.job, record["driftline"], ALARM_SCORE) or ("not_learned" if learning else "below_alarm", "")
        )
    elif not is_real(record):
        rules += _after(looked.job, record, before)
    if (_told(looked.manifest, looked.window) or {}).get("in_sample"):
        rules.append(("learning", ""))
    return rules


def _recurring(job: Job, said: dict[str, Any], needed: float) -> tuple[str, str] | None:
    """The rule, if it is what came before that kept a score below what was needed."""
    if said.get("damped") != RECURRING or to_score(said["recurring"]["surprise"], job.bucket_span) < needed:
        return None
    return RECURRING, f"{said['recurring']['times']} times"


def _after(job: Job, record: dict[str, Any], before: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What an earlier alarm of the same series makes of an alarm."""
    alarming = [
        each
        for event in series_events(job, [*before, record])
        if record in event.records or speaks_for(event.document, record)
        for each in event.records
        if each is not record and first_score(each) >= ALARM_SCORE
    ]
    louder = [each for each in alarming if severity_rank(first_score(each)) >= severity_rank(first_score(record))]
    if not louder:
        return []
    first = louder[0]
    moment = iso(parse_time(first["timestamp"] / 1000))
    rule = "change_reported" if first["driftline"].get("kind") in CHANGES else "rate_limit"
    return [(rule, f"it scored {first_score(first):.0f} at {moment}")]


def _conclusion(found: dict[str, Any]) -> str:
    """One plain sentence."""
    decisive = found["suppressed"][0]["why"] if found["suppressed"] else ""
    rules = [each["rule"] for each in found["suppressed"]]
    if rules and rules[0] in {"no_model", "no_value", "quality_stop", "custom_rule"}:
        return f"No anomaly: {decisive}."
    facts, within = _facts(found)
    quiet = rules[:1] == [RECURRING] and not found["record"]
    if quiet or (rules and rules[0] in {"one_sided", "below_minimum", "not_found_then"}):
        return f"No anomaly: {facts}, but {decisive}." if not within else f"No anomaly: {facts}; {decisive}."
    score, shown = first_score(found["record"]), found["record"]["record_score"]
    since = f" It is shown with {shown:.0f} since the like came again." if round(shown) != round(score) else ""
    if rules and rules[0] != "learning":
        return f"An anomaly with a score of {score:.0f}, but no alarm: {facts}; {decisive}.{since}"
    also = f" ({decisive})" if decisive else ""
    if is_real(found["record"]):
        also = f" ({found['record']['driftline']['feedback']['said']})"
    return f"An anomaly that alarms: {facts}, which scores {score:.0f} ({severity(score)}){also}.{since}"


def _facts(found: dict[str, Any]) -> tuple[str, bool]:
    """What happened and what was expected, and whether that goes together."""
    if "sentence" in found:
        return found["sentence"], found["score"] < MIN_RECORD_SCORE
    actual, expected = found["actual"], found["expected"]
    within = expected["lower"] <= actual <= expected["upper"]
    band = f"{expected['lower']:g} to {expected['upper']:g}"
    return f"{actual:g} lies {'within' if within else 'outside'} the {band} that were expected", within


def _reason(manifest: dict[str, Any] | None, key: SeriesKey) -> str:
    if manifest is None:
        return "the job has no snapshot"
    for failure in manifest["detail"].get("failures", []):
        if SeriesKey(*(failure[name] for name in SeriesKey._fields)) == key:
            return str(failure["reason"])
    return f"too little of it is known yet; the snapshot learned up to {manifest['training_end']}"


def _of(record: dict[str, Any]) -> SeriesKey:
    return SeriesKey(record["detector_index"], record.get("partition_field_value"), record.get("by_field_value"))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else number(value)
