"""Jobs for an index that nobody knows yet: what it holds, and which detectors that asks for, each with a reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.detector import Detector
from driftline.core.errors import DefinitionError, SourceIndexError
from driftline.core.job import Job
from driftline.core.timespan import Window, format_span, iso
from driftline.elastic.fields import check_fields, data_range
from driftline.elastic.query import all_documents
from driftline.elastic.survey import Held, cardinalities, documents, field_kinds, read_ranges, read_samples
from driftline.pipeline.jobs import owners, write
from driftline.pipeline.jobs import save as save_job
from driftline.pipeline.looks import HOUR, NO_KEY, cycles, span_of
from driftline.pipeline.names import CODES, COUNTERS, DURATIONS, IDS, RARE, SPLITS, SUMS, URLS, WHO, rank, slug

if TYPE_CHECKING:
    from pathlib import Path

    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress

LOOKS = 4
FIELDS = 50  # that are looked at: a fifth of a second each on some millions of documents
DATES = 10  # fields that may be the time of a document
HISTORY = timedelta(days=28)  # a training's
MODELLED, SHARE = 500, 0.5  # values of a field that gets a series of each; documents that must have it
MOSTLY = 0.9  # of the documents: fewer have a field only where several kinds of documents share an index
MEMBERS = 20  # of a population, at least: below, each has a series of its own
UNIQUE = 0.5  # values a document from which on a field names documents, rather than things
RARE_MOST = 10_000  # values among which a rare one means something
OLD = timedelta(days=1)  # whose newest document is older has ended
RISING = 0.98  # of the steps from hour to hour: a counter
MOST = {"split": 3, "measured": 4, "population": 2, "rare": 2}  # jobs of a kind: what somebody will look at
INFLUENCERS = 3
COMPARED = timedelta(minutes=15)  # Elastic's default, at which members of a population have more than a document or none


@dataclass(frozen=True)
class Surveyed:
    """What is known of an index.

    Attributes:
        probe: A job that only counts its documents.
        window: From when to when it is looked at.
        documents: In the window.
        kinds: Fields and their kinds, those that are looked at.
        held: What they hold.
        ranges: Of number fields `min`, `max`, `avg` and `std_deviation`.
        rising: Number fields that only grow.
        daily: Whether the number of documents has a daily cycle.
        weekly: Whether it has a weekly one.
        notes: What a reader should know.
    """

    probe: Job
    window: Window
    documents: int
    kinds: dict[str, str]
    held: dict[str, Held]
    ranges: dict[str, dict[str, float | None]]
    rising: set[str]
    daily: bool
    weekly: bool
    notes: list[str] = field(default_factory=list)

    def share(self, name: str) -> float:
        """The share of documents that have a field."""
        return self.held[name].documents / max(1, self.documents)

    def values(self, name: str) -> int:
        """How many values it has."""
        return self.held[name].values

    def names_things(self, name: str) -> bool:
        """Whether several documents are about one value, and documents can be split by it (`count`, say, is no split field)."""
        return self.values(name) < max(2.0, UNIQUE * self.held[name].documents) and _possible(name, "by_field_name")


@dataclass(frozen=True)
class Proposal:
    """A job that is ready to run.

    Attributes:
        job: The job.
        reason: Why it is proposed, and why so.
    """

    job: Job
    reason: str

    @property
    def definition(self) -> dict[str, Any]:
        """What differs from the defaults, as a job file has it."""
        return self.job.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)


def survey(client: Elasticsearch, index: str, *, time_field: str | None = None, progress: Progress | None = None) -> Surveyed:
    """Looks at an index: fields, how many values they have, when documents came.

    Args:
        client: The cluster.
        index: Names or patterns with commas between.
        time_field: The field of time; by default `@timestamp`, or the date that most documents have.
        progress: Told how far it is.

    Raises:
        SourceIndexError: No index matches, it has no documents, or no date.
    """
    _tell(progress, 0)
    indices = [part.strip() for part in index.split(",") if part.strip()]
    there = field_kinds(client, indices)
    kinds = {name: kind for name, kind in there.items() if _possible(name)}
    probe = _probe(indices, time_field or _time_field(client, indices, kinds))
    check_fields(client, probe)
    data = data_range(client, probe)
    newest = min(data.end, datetime.now(UTC))
    window = Window(max(data.start, newest - HISTORY), newest) if newest > data.start else data
    notes = [] if newest == data.end else [f"documents up to {iso(data.end)} are in the future, and left out"]
    if len(kinds) < len(there):
        notes.append(f"{len(there) - len(kinds)} fields have names that no job takes, with control characters")
    usable = _usable(kinds)
    chosen = usable[:FIELDS]
    if len(usable) > FIELDS:
        notes.append(f"{FIELDS} of {len(usable)} fields were looked at: those with known names, then the others by name")
    _tell(progress, 1)
    held, whole = cardinalities(client, probe, window, chosen)
    if not whole:
        notes.append("the index is large: values were counted in a part of its documents")
    _tell(progress, 2)
    numbers = [name for name in chosen if kinds[name] in ("whole", "number") and held[name].documents]
    ranges = read_ranges(client, probe, window, numbers)
    rising = {name for name in numbers if _rises(client, probe, window, name)}
    _tell(progress, 3)
    daily, weekly = cycles(client, probe, window)
    _tell(progress, LOOKS)
    (counts,) = read_samples(client, probe, all_documents(), [NO_KEY], window, seconds=HOUR, measure={})
    total = max(int(counts.docs.sum()), max((one.documents for one in held.values()), default=0))
    return Surveyed(probe, window, total, {n: kinds[n] for n in chosen}, held, ranges, rising, daily, weekly, notes)


def _tell(progress: Progress | None, done: int) -> None:
    if progress:
        progress("looks at the index", done, LOOKS)


def _probe(indices: list[str], time_field: str) -> Job:
    data = {"job_id": "survey", "detectors": [{"function": "count"}], "datafeed": {"indices": indices}, "time_field": time_field}
    return Job.parse(data, where="survey")


def _time_field(client: Elasticsearch, indices: list[str], kinds: dict[str, str]) -> str:
    usual = "@timestamp"
    dates = sorted((name for name, kind in kinds.items() if kind == "time"), key=lambda name: (name != usual, name))[:DATES]
    if not dates:
        raise SourceIndexError("no field of the index is a date", where=", ".join(indices), fix="Name one with --time-field.")
    having = {name: documents(client, indices, {"exists": {"field": name}}) for name in dates}
    return max(dates, key=lambda name: having[name])  # the first of equals: the usual one


def _possible(name: str, place: str = "field_name") -> bool:
    """Whether a detector takes the name of a field."""
    try:
        Detector.model_validate({"function": "sum" if place == "field_name" else "high_count", place: name})
    except ValueError:
        return False
    return True


def _usable(kinds: dict[str, str]) -> list[str]:
    """The fields that jobs can be about, those first that they usually are about. A text's `.keyword` stands for it."""
    usable = [name for name, kind in kinds.items() if kind in ("word", "address", "whole", "number")]
    return sorted(usable, key=lambda name: (rank(name), name.count("."), name))


def _rises(client: Elasticsearch, probe: Job, window: Window, name: str) -> bool:
    """Whether a number only grows, as counters since the start of something do: its hourly means tell of age, not of change."""
    newest = Window(max(window.start, window.end - timedelta(days=2)), window.end)
    measure = {"avg": {"field": name}}
    (sample,) = read_samples(client, probe, all_documents(), [NO_KEY], newest, seconds=HOUR, measure=measure)
    known = sample.value[~np.isnan(sample.value)] if sample.value is not None else np.empty(0)
    return len(known) > 12 and float((np.diff(known) > 0).mean()) >= RISING


def suggest(
    client: Elasticsearch, index: str, *, time_field: str | None = None, progress: Progress | None = None
) -> tuple[Surveyed, list[Proposal]]:
    """Jobs for an index, those that find most first.

    Raises:
        SourceIndexError: No index matches, it has no documents, or no date.
    """
    seen = survey(client, index, time_field=time_field, progress=progress)
    found: list[Proposal] = []
    wanted = [*_counts(seen), *_measured(seen), *_populations(seen), *_rarities(seen)]
    for number, (detector, name, reason) in enumerate(wanted):
        if progress:
            progress("tries jobs", number + 1, len(wanted))
        made = _job(client, seen, detector, _free(name, found), reason)
        if made is not None:
            found.append(made)
    return seen, found


Wanted = tuple[dict[str, Any], str, str]


def _counts(seen: Surveyed) -> list[Wanted]:
    wanted: list[Wanted] = [({"function": "count"}, "documents", "how many documents come is the first sign of most incidents")]
    for name in _splitting(seen)[: MOST["split"]]:
        reason = f"{name} has {seen.values(name)} values: what changes for one of them is not seen in the whole"
        wanted.append(({"function": "count", "partition_field_name": name}, f"count-by-{name}", reason))
    return wanted


def _splitting(seen: Surveyed) -> list[str]:
    """Fields whose values get a series each, the best known first."""

    def splits(name: str) -> bool:
        code = seen.kinds[name] == "word" or (seen.kinds[name] == "whole" and rank(name, CODES) == 0)
        some = 2 <= seen.values(name) <= MODELLED and seen.share(name) >= SHARE
        return code and some and seen.names_things(name) and not _is(name, IDS)

    return sorted(filter(splits, seen.kinds), key=lambda name: (rank(name, SPLITS), seen.values(name)))


def _measured(seen: Surveyed) -> list[Wanted]:
    """Sums of what adds up, means of the rest; each for the hosts, or whatever has few values, where there are such."""
    wanted: list[Wanted] = []
    by = next((name for name in _splitting(seen) if rank(name, CODES) > 0), None)
    names = [name for name, kind in seen.kinds.items() if kind in ("whole", "number") and _varies(seen, name)]
    for name in sorted(names, key=lambda name: (not _is(name, SUMS), not _is(name, DURATIONS), rank(name), name)):
        if _is(name, CODES) or _is(name, IDS) or name in seen.rising or _is(name, COUNTERS):
            continue
        adds = _is(name, SUMS) and not _is(name, DURATIONS)
        why = f"{name} adds up" if adds else f"{name} is a measurement"
        split = {"partition_field_name": by} if by and seen.kinds[by] == "word" else {}
        function = "sum" if adds else "mean"
        said = f"{why}; {by} has {seen.values(by)} values" if split and by else why
        wanted.append(({"function": function, "field_name": name, **split}, f"{function}-of-{name}", said))
    return wanted[: MOST["measured"]]


def _varies(seen: Surveyed, name: str) -> bool:
    return bool(seen.ranges.get(name, {}).get("std_deviation")) and seen.held[name].documents > 0


def _populations(seen: Surveyed) -> list[Wanted]:
    """Who does much more than others, by addresses and users."""

    def members(name: str) -> bool:
        kind = seen.kinds[name] == "address" or (seen.kinds[name] == "word" and _is(name, WHO))
        return kind and seen.values(name) >= MEMBERS and seen.share(name) >= SHARE and seen.names_things(name)

    wanted: list[Wanted] = []
    url = next((name for name in sorted(seen.kinds, key=rank) if _is(name, URLS) and seen.kinds[name] == "word"), None)
    for name in sorted(filter(members, seen.kinds), key=lambda name: (rank(name, WHO), name))[: MOST["population"]]:
        many = f"{name} has {seen.values(name)} values: who does much more than the others stands out by comparison"
        wanted.append(({"function": "high_count", "over_field_name": name}, f"busy-{name}", many))
        if (
            url
            and url != name
            and seen.share(url) >= SHARE
            and seen.values(url) > 2
            and not any("url" in each[1] for each in wanted)
        ):
            detector = {"function": "high_distinct_count", "field_name": url, "over_field_name": name}
            wanted.append((detector, f"different-url-by-{name}", f"who asks for many different {url} looks for something"))
    return wanted


def _rarities(seen: Surveyed) -> list[Wanted]:
    """Values of processes, URLs, agents and the like that come up for the first time, or nearly."""

    def lists(name: str) -> bool:
        some = 5 <= seen.values(name) <= RARE_MOST and seen.names_things(name)
        return seen.kinds[name] == "word" and _is(name, RARE) and some and seen.share(name) > 0

    chosen = sorted(filter(lists, seen.kinds), key=lambda name: (rank(name, RARE), name))[: MOST["rare"]]
    return [
        (
            {"function": "rare", "by_field_name": name},
            f"rare-{name}",
            f"of the {seen.values(name)} values of {name} one that was never there may be the one that matters",
        )
        for name in chosen
    ]


def _is(name: str, words: tuple[str, ...]) -> bool:
    return rank(name, words) < len(words)


def _job(client: Elasticsearch, seen: Surveyed, detector: dict[str, Any], name: str, reason: str) -> Proposal | None:
    """The job, with a bucket span of what it would see; None where the checks before a run would refuse it."""
    feed: dict[str, Any] = {"indices": seen.probe.datafeed.indices}
    if seen.window.end < datetime.now(UTC) - OLD:
        feed["historical"] = True
    measured = detector.get("field_name") or detector.get("by_field_name")
    if measured and seen.share(measured) < MOSTLY:  # documents of another kind are none of its business
        feed["query"] = {"bool": {"filter": [{"exists": {"field": measured}}]}}
    data = {
        "job_id": name,
        "description": f"Suggested: {reason}"[:200],
        "detectors": [detector],
        "influencers": _influencers(seen, detector),
        "datafeed": feed,
        "time_field": seen.probe.time_field,
    }
    job = Job.parse(data, where=f"suggestion {name}")
    try:
        check_fields(client, job)
    except SourceIndexError:
        return None  # another kind of field than its name and type said
    choice = span_of(client, job, seen.window, daily=seen.daily)
    span, why = choice.span or job.bucket_span, choice.reason
    if job.detectors[0].kind != "series" and span < COMPARED:
        span, why = COMPARED, "shorter buckets hold too little of each of those that are compared"
    said = f"{reason}; bucket span {format_span(span)}: {why}"
    return Proposal(Job.parse({**data, "bucket_span": format_span(span)}, where=f"suggestion {name}"), said)


def _influencers(seen: Surveyed, detector: dict[str, Any]) -> list[str]:
    """The split fields, and who or what may be to blame."""
    split = [value for key, value in detector.items() if key.endswith("_field_name") and key != "field_name"]
    others = [
        name
        for name, kind in sorted(seen.kinds.items(), key=lambda item: (rank(item[0], WHO), rank(item[0]), item[0]))
        if kind in ("word", "address") and (_is(name, WHO) or _is(name, SPLITS))
        and seen.values(name) > 1 and seen.names_things(name) and seen.share(name) >= SHARE and not _is(name, IDS)
    ]  # fmt: skip
    return list(dict.fromkeys([*split, *others]))[:INFLUENCERS]


def _free(name: str, found: list[Proposal]) -> str:
    """An id that no other proposal has, of whatever a field is called."""
    taken, wanted = {one.job.job_id for one in found}, slug(re.sub(r"\.keyword$", "", name))
    return next(each for number in range(1, 1000) if (each := wanted if number == 1 else f"{wanted}-{number}") not in taken)


def named(proposals: list[Proposal], prefix: str) -> list[Proposal]:
    """The same with ids that begin with a prefix, such as the index's name.

    Raises:
        DefinitionError: The ids would be none.
    """
    return [
        Proposal(Job.parse({**one.definition, "job_id": f"{prefix}{one.job.job_id}"}, where="--prefix"), one.reason)
        for one in proposals
    ]


def keep(client: Elasticsearch, proposals: list[Proposal], *, save: bool, folder: Path | None) -> list[str]:
    """Stores the jobs, or writes their files, or both; those whose id, or file, is taken are left as they are.

    Returns:
        What became of each, in words.
    """
    done = []
    taken = owners(client) if save else {}
    for one in proposals:
        name = one.job.job_id
        if save and name in taken:
            done.append(f"{name}: the id is taken by {taken[name]}; choose a --prefix")
        elif save:
            save_job(client, one.job)
            done.append(f"{name}: saved")
        if folder is not None:
            try:
                done.append(f"{name}: written to {write(folder, name, one.definition, comment=one.reason)}")
            except DefinitionError as error:
                done.append(f"{name}: {error}")
    return done
