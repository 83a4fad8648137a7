"""A look at a job's data before anything is trained: history, series, density, cycles, and what a user should know of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.errors import SourceIndexError, WindowError
from driftline.core.timespan import Window, format_span, iso
from driftline.elastic.fields import data_range
from driftline.elastic.query import DOCS, all_documents, splits
from driftline.elastic.survey import Group, Groups, Held, cardinalities, read_groups, read_samples
from driftline.pipeline import spans
from driftline.pipeline.train import training_window

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.elastic.query import Split
    from driftline.elastic.survey import Sample

LOOKED_AT = timedelta(days=7)  # of the newest data, for a span: all days of a week
CYCLES = timedelta(days=28)  # for cycles: two weeks show one, four are sure of it
SAMPLED = 20  # series that are looked at: enough to tell half of them from a quarter
HOUR, STEPS = 3600, 4
NO_KEY: Group = (None, None, None)
SKEW = timedelta(minutes=5)  # clocks differ; what is further ahead is a time zone or a mistake
UNIQUE, UNIQUE_FROM = 0.9, 100  # an influencer with so many values a document, in so many documents, never explains two of them
EMPTY = 0.5  # of the buckets of the series in the middle
_MEANS = {name: "avg" for name in ("mean", "median", "varp", "std_deviation")} | {
    "min": "min", "max": "max", "sum": "sum", "non_null_sum": "sum",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        window: The history that a training would read.
        documents: In it.
        held: Of each split field and influencer what it holds.
        splits: The ways in which detectors split documents, and the combinations that there are.
        choice: The bucket span that suits.
        daily: Whether the number of documents has a daily cycle.
        weekly: Whether it has a weekly one.
    """

    window: Window
    documents: int
    held: dict[str, Held]
    splits: list[tuple[Split, Groups]]
    choice: spans.Choice
    daily: bool
    weekly: bool

    def series(self, job: Job) -> int:
        """How many series need a model of each."""
        of = ((split, groups) for split, groups in self.splits if job.detectors[split.detectors[0]].kind == "series")
        return sum(groups.total * len(split.detectors) for split, groups in of)


def look(client: Elasticsearch, job: Job, *, progress: Progress | None = None) -> Look:
    """Looks at a job's data.

    Raises:
        SourceIndexError: An index or a field is missing, or there is no document.
        WindowError: The history is too short for a model.
    """
    window = training_window(client, job)
    aggregated = job.datafeed.aggregations is not None  # what its fields are called is no field of a document
    _tell(progress, 1)
    names = {name for split in splits(job) for name in split.fields if name} | set(job.influencers)
    held = {} if aggregated else cardinalities(client, job, window, sorted(names))[0]
    _tell(progress, 2)
    found = [] if aggregated else [(split, read_groups(client, job, split, window)) for split in splits(job)]
    everything = read_groups(client, job, all_documents(), window)
    _tell(progress, 3)
    daily, weekly = cycles(client, job, window)
    series = sum(groups.total * len(split.detectors) for split, groups in found)
    samples = [sample for split, groups in found for sample in _samples(client, job, split, groups, window)]
    choice = spans.choose(samples, series=max(1, series), window=job.training.window, daily=daily)
    _tell(progress, STEPS)
    return Look(window, int(everything.docs.sum()), held, found, choice, daily, weekly)


def span_of(client: Elasticsearch, job: Job, window: Window, *, daily: bool) -> spans.Choice:
    """The bucket span that suits a job's series in a window."""
    found = [(split, read_groups(client, job, split, window)) for split in splits(job)]
    samples = [sample for split, groups in found for sample in _samples(client, job, split, groups, window)]
    series = sum(groups.total * len(split.detectors) for split, groups in found)
    return spans.choose(samples, series=max(1, series), window=job.training.window, daily=daily)


def _tell(progress: Progress | None, done: int) -> None:
    if progress:
        progress("looks at the data", done, STEPS)


def cycles(client: Elasticsearch, job: Job, window: Window) -> tuple[bool, bool]:
    """Whether the number of a window's documents has a daily, and a weekly, cycle."""
    newest = Window(max(window.start, window.end - CYCLES), window.end)
    (counts,) = read_samples(client, job, all_documents(), [NO_KEY], newest, seconds=HOUR, measure={})
    return spans.seasons(counts.docs)


def _samples(client: Elasticsearch, job: Job, split: Split, groups: Groups, window: Window) -> list[Sample]:
    """Some of a split's series, minute by minute; of detectors that compare, and of fields by script, all documents instead."""
    newest = Window(max(window.start, window.end - LOOKED_AT), window.end)
    whole = job.detectors[split.detectors[0]].kind != "series" or any(name in job.datafeed.script_fields for name in split.fields)
    chosen, by = ([NO_KEY], all_documents()) if whole else (_spread(groups, job.training.min_buckets), split)
    return read_samples(client, job, by, chosen, newest, seconds=spans.STEP, measure={} if whole else _measure(job, split))


def _spread(groups: Groups, least: int) -> list[Group]:
    """Series from the largest to the smallest of those that are large enough for a model, evenly."""
    order = [int(place) for place in np.argsort(-groups.docs, kind="stable") if groups.docs[place] >= least]
    places = np.linspace(0, len(order) - 1, min(SAMPLED, len(order))).round().astype(int)
    return [groups.keys[order[place]] for place in np.unique(places)]


def _measure(job: Job, split: Split) -> dict[str, Any]:
    """What is looked at besides documents: the first that has a mean or a sum."""
    if job.summary_count_field_name not in (None, DOCS):
        return {"sum": {"field": job.summary_count_field_name}}
    for metric, field in split.measures:
        if metric in _MEANS and field not in job.datafeed.script_fields:
            return {_MEANS[metric]: {"field": field}}
    return {}


def advice(client: Elasticsearch, job: Job) -> list[str]:
    """What a user should know of a job whose definition and fields are right; nothing is an error.

    Raises:
        ClusterError, ClusterDownError: As `explained` tells.
    """
    try:
        newest = data_range(client, job).end
    except SourceIndexError as error:
        return [f"no history: {error.what}"]
    notes = []
    if newest > datetime.now(UTC) + SKEW:
        notes.append(
            f"{job.time_field} reaches {iso(newest)}, which is in the future: such documents wait until then. Look at the "
            "time zone of what writes them"
        )
    try:
        seen = look(client, job)
    except (SourceIndexError, WindowError) as error:
        return [*notes, f"too little history: {error.what}"]
    return [*notes, *advice_of(job, seen)]


def advice_of(job: Job, seen: Look) -> list[str]:
    """The same of what was seen already, but for the future."""
    return [*_of_history(job, seen), *_of_span(job, seen), *_of_series(job, seen), *_of_influencers(job, seen)]


def _of_history(job: Job, seen: Look) -> list[str]:
    length = seen.window.end - seen.window.start
    if length >= min(job.training.min_history, job.training.window):
        return []
    days = length / timedelta(days=1)
    return [
        f"the history is {days:.1f} days long, and training.min_history is {format_span(job.training.min_history)}: until then "
        "scores are of models that have seen the same data (in_sample)"
    ]


def _of_span(job: Job, seen: Look) -> list[str]:
    mine, better = seen.choice.of(job.bucket_span), seen.choice.span
    if mine is None or better is None or better <= job.bucket_span or mine.buckets >= EMPTY:
        return []
    return [
        f"bucket_span {format_span(job.bucket_span)} is short for this data: of a series in the middle {1 - mine.buckets:.0%} of "
        f"the buckets are empty; {format_span(better)} suits ({seen.choice.reason})"
    ]


def _of_series(job: Job, seen: Look) -> list[str]:
    notes, limit = [], job.training.max_partitions
    for split, groups in seen.splits:
        fields = " × ".join(name for name in split.fields if name)
        kinds = {job.detectors[number].kind for number in split.detectors}
        if kinds == {"series"} and groups.total > limit:
            about = "" if groups.complete else "at least "
            notes.append(
                f"{fields} has {about}{groups.total:,} values, more than training.max_partitions ({limit:,}): the smallest are "
                "left out. Split by a field with fewer values, or compare its values as a population (over_field_name)"
            )
        sparse = int((groups.docs < job.training.min_buckets).sum())
        if kinds == {"series"} and fields and sparse > len(groups.docs) / 2:
            notes.append(
                f"{sparse:,} of {len(groups.docs):,} values of {fields} have fewer documents than training.min_buckets "
                f"({job.training.min_buckets}): they get no model"
            )
    return notes


def _of_influencers(job: Job, seen: Look) -> list[str]:
    notes = []
    for name in job.influencers:
        held = seen.held.get(name)
        if held and held.documents >= UNIQUE_FROM and held.values >= UNIQUE * held.documents:
            notes.append(f"influencer {name} has another value in nearly every document: it will never explain an anomaly")
    return notes
