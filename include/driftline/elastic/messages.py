"""Reads messages: documents, page by page, each counted as the shape of its message; `core.shapes` says what that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from driftline.core.categorization import MLCATEGORY
from driftline.core.errors import DefinitionError
from driftline.core.shapes import OTHER, shape
from driftline.elastic.aggregated import counted
from driftline.elastic.client import explained
from driftline.elastic.documents import pages
from driftline.elastic.query import SPLITS, filtered, searched, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.timespan import Window
    from driftline.elastic.aggregated import Columns
    from driftline.elastic.query import Split

# Of real logs a few hundred are known.
SHAPES_MOST = 10_000  # that are kept apart, of an interval that is read and of all that a job reads at once
READ_MOST = 10_000  # characters of a message that filters look at
EXAMPLES = 4  # of a category: Elastic's default
EXAMPLE_MOST = 1000  # characters of one: Elastic's limit

Kind = tuple[str, str]  # the partition where each has categories of its own, or ""; and the shape


class Sample(NamedTuple):
    """What is told of the messages of a kind: the length of the longest, and some of them."""

    longest: int
    examples: tuple[str, ...]

    def with_more(self, other: Sample) -> Sample:
        """Both together."""
        examples = dict.fromkeys((*self.examples, *other.examples))
        return Sample(max(self.longest, other.longest), tuple(examples)[:EXAMPLES])


def joined(parts: Sequence[Mapping[Kind, Sample]]) -> dict[Kind, Sample]:
    """The samples of several readings."""
    out: dict[Kind, Sample] = {}
    for part in parts:
        for kind, sample in part.items():
            out[kind] = out[kind].with_more(sample) if kind in out else sample
    return out


def read_messages(client: Elasticsearch, job: Job, split: Split, window: Window, wide: int) -> tuple[Columns, dict[Kind, Sample]]:
    """The buckets of a split that has categories, with shapes in their place, and what is told of these.

    Args:
        client: The cluster.
        job: What to read.
        split: One with `category`.
        window: From when to when.
        wide: Buckets of an interval in which `SHAPES_MOST` shapes are kept apart at most, however much is read at once.

    Raises:
        DefinitionError: A filter is not what RE2 takes.
        SourceIndexError, ClusterError, ClusterDownError: As `explained` tells.
    """
    read = _Read(job, split)
    with explained(f"job {job.job_id}, datafeed"):
        for hits in pages(client, job.datafeed.indices, _body(client, job, split, window), where=f"job {job.job_id}"):
            read.add(hits)
    return read.columns(window, wide), read.samples


@dataclass
class _Read:
    """What was read so far, a list for each column."""

    job: Job
    split: Split
    time: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    rows: dict[str, list[Any]] = field(default_factory=dict)
    samples: dict[Kind, Sample] = field(default_factory=dict)

    def add(self, hits: list[dict[str, Any]]) -> None:
        """Takes a page of documents."""
        job = self.job
        source = str(job.categorization_field_name)
        found = [hit.get("fields", {}) for hit in hits]
        said = [
            fields[source] if source in fields else hit.get("ignored_field_values", {}).get(source)
            for hit, fields in zip(hits, found, strict=True)
        ]
        messages = [None if not each else str(each[0])[:READ_MOST] for each in said]
        shapes = [None if each is None else shape(each) for each in without_filtered(job, messages)]
        self.time += [int(float(fields[job.time_field][0])) for fields in found]
        for name in _wanted(job, self.split):
            self.rows.setdefault(name, []).extend([_single(fields.get(name)) for fields in found])
        self.names += [each or "" for each in shapes]
        groups = self.rows[_group_field(job, self.split)][-len(hits) :] if job.per_partition_categorization.enabled else None
        self._sample(messages, shapes, groups)

    def _sample(self, messages: list[str | None], shapes: list[str | None], groups: list[Any] | None) -> None:
        longest: dict[Kind, int] = {}
        known = self.samples
        for place, (message, name) in enumerate(zip(messages, shapes, strict=True)):
            if message is None or name is None:
                continue
            group = "" if groups is None else text(_first(groups[place]))
            kind = (group, name)
            if len(message) > longest.get(kind, -1):
                longest[kind] = len(message)
                if kind not in known:
                    known[kind] = Sample(0, (message[:EXAMPLE_MOST],))
        for kind, length in longest.items():
            known[kind] = known[kind]._replace(longest=max(known[kind].longest, length))

    def columns(self, window: Window, wide: int) -> Columns:
        """Counted."""
        job, split = self.job, self.split
        table = pd.DataFrame({"bucket": np.array(self.time, dtype=np.int64) // (job.span_seconds * 1000)})
        rows = {name: pd.Series(column, dtype=object) for name, column in self.rows.items()}
        for name, source in zip(SPLITS, split.fields, strict=True):
            if source == MLCATEGORY:
                table[name] = pd.Series(self.names, dtype=object)
            else:
                table[name] = rows[source] if source else ""
        table["weight"] = 1.0  # where documents stand for several, their number is measured as a sum
        for name, source in zip(SPLITS, split.fields, strict=True):
            if source and source != MLCATEGORY:
                table = _exploded(table, name, split.use_null)
        category = SPLITS[split.category or 0]
        if not split.use_null:
            table = table[table[category] != ""]
        table = table.dropna()
        table[category] = _bounded(table, category, wide)
        kept = set(table[category])
        self.samples = {kind: sample for kind, sample in self.samples.items() if kind[1] in kept}
        values = {name: rows[source].map(_first) for name, (_, source) in zip(split.names, split.measures, strict=True)}
        return counted(split, table, values)


def _wanted(job: Job, split: Split) -> list[str]:
    """The fields besides the message and the time."""
    fields = [*split.fields, *(source for _, source in split.measures)]
    return sorted({each for each in fields if each and each != MLCATEGORY})


def _group_field(job: Job, split: Split) -> str:
    return str(split.fields[0])


def _single(values: list[Any] | None) -> Any:  # noqa: ANN401 - any JSON
    """A document's value, as a list only if there are several: a million lists would keep the garbage collector busy."""
    return values[0] if values and len(values) == 1 else values


def _first(values: Any) -> Any:  # noqa: ANN401 - any JSON
    """The first of a document's values."""
    return values[0] if isinstance(values, list) else values


def _exploded(table: pd.DataFrame, name: str, use_null: bool) -> pd.DataFrame:
    """A document with several values is counted with each."""
    if any(isinstance(values, list) for values in table[name]):
        table = table.explode(name)
    codes, values = pd.factorize(table[name])  # a value that is not there has the code -1, the last of what follows
    texts = np.array([*(text(value) for value in values), "" if use_null else None], dtype=object)
    table[name] = pd.Series(texts[codes], index=table.index, dtype=object)
    return table


def _bounded(table: pd.DataFrame, category: str, wide: int) -> pd.Series[Any]:
    """The shapes, but those beyond the limit of an interval as one: which, depends on that interval alone."""
    interval = table["bucket"] // wide
    if table[category].nunique() <= SHAPES_MOST:
        return table[category]
    counts = table.groupby([interval, table[category]], sort=True)["weight"].sum().rename("n").reset_index()
    counts = counts.sort_values(["bucket", "n", category], ascending=[True, False, True], kind="stable")
    counts = counts[counts.groupby("bucket").cumcount() >= SHAPES_MOST]
    beyond = pd.MultiIndex.from_frame(counts[["bucket", category]])
    inside = pd.MultiIndex.from_arrays([interval, table[category]]).isin(beyond)
    return table[category].mask(inside, OTHER)


def without_filtered(job: Job, messages: list[str | None]) -> list[str | None]:
    """Messages without what the job's filters match, in their order. RE2 takes no longer for hostile ones.

    Raises:
        DefinitionError: A filter is none that RE2 takes.
    """
    if not job.categorization_filters:
        return messages
    column = pa.array(messages, pa.string())
    for number, pattern in enumerate(job.categorization_filters):
        try:
            column = pc.replace_substring_regex(column, pattern, "")
        except pa.ArrowInvalid as error:
            where = f"job {job.job_id}, categorization_filters.{number}"
            raise DefinitionError(str(error), where=where, expected="a regular expression as RE2 takes it") from None
    out: list[str | None] = column.to_pylist()
    return out


def _body(client: Elasticsearch, job: Job, split: Split, window: Window) -> dict[str, Any]:
    """The search for one page."""
    caps = client.field_caps(index=job.datafeed.indices, fields=job.time_field, **searched(job, {})).body["fields"]
    dates = {"date", "date_nanos"} >= set(caps.get(job.time_field, {})) - {"unmapped"}
    time = {"field": job.time_field, **({"format": "epoch_millis"} if dates else {})}
    wanted, scripts = _wanted(job, split), job.datafeed.script_fields
    body = {
        "query": filtered(job, window),
        "_source": False,
        "fields": [] if job.categorization_field_name in scripts else [job.categorization_field_name],
        "docvalue_fields": [time, *(name for name in wanted if name not in scripts)],
    }
    used = {name: scripts[name] for name in scripts if name in (*wanted, job.categorization_field_name)}
    return searched(job, body | ({"script_fields": used} if used else {}))
