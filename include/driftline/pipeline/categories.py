"""Categories: those that a training learns from a window's messages, and those of a snapshot; shapes become their numbers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from driftline.core.categorization import MLCATEGORY, categorises, field_names
from driftline.core.results import Maker, milliseconds
from driftline.core.shapes import OTHER, pattern, terms
from driftline.core.timespan import Window, parse_time
from driftline.elastic import results, snapshots
from driftline.elastic.client import talks_to_cluster
from driftline.elastic.fields import has_words
from driftline.elastic.indices import RESULTS
from driftline.elastic.messages import EXAMPLES, SHAPES_MOST, Sample
from driftline.elastic.query import SPLITS, messages
from driftline.elastic.read import Cells, SplitKey
from driftline.pipeline.files import read_lines, write_lines
from driftline.pipeline.store import stored_shapes
from driftline.scoring.categories import OTHER_NAME, Categories, Category, learn
from driftline.scoring.sentence import messages_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job
    from driftline.core.progress import Progress
    from driftline.core.series import SeriesKey
    from driftline.elastic.messages import Kind
    from driftline.elastic.query import Split

CHUNK = 1000  # categories in one document of a snapshot, with up to four examples each
EVER = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC))


@dataclass
class Naming:
    """Which category each shape is of.

    Attributes:
        job: Whose.
        categories: What is known.
        beyond: Shapes of a training beyond the limit of those that are told apart.
        overflow: Whether there were such: then nobody can say of what is not known that it is new.
        names: What `recast` came across: (group and) number as text → template.
    """

    job: Job
    categories: Categories
    beyond: set[Kind] = field(default_factory=set)
    overflow: bool = False
    names: dict[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """What a reader should know."""
        if self.beyond:
            named = ", ".join(f"'{shape[:60]}'" for _, shape in sorted(self.beyond)[:5])
            return [
                f"{len(self.beyond)} kinds of messages beyond {SHAPES_MOST:,} are together {MLCATEGORY} {OTHER_NAME}: {named} …"
            ]
        if OTHER_NAME in self.names:
            return [f"kinds of messages beyond {SHAPES_MOST:,} are together {MLCATEGORY} {OTHER_NAME}"]
        return []

    def name(self, kind: Kind) -> str:
        """The value of `mlcategory`."""
        other = kind[1] and (kind in self.beyond or (self.overflow and self.categories.find(kind) is None))
        name = OTHER_NAME if other else self.categories.name(kind)
        if name not in self.names:
            self.names[name] = OTHER if name == OTHER_NAME else self.categories.template(kind)
        return name

    def recast(self, cells: Cells, split: Split) -> Cells:
        """Cells of shapes as cells of categories."""
        if split.category is None:
            return cells
        keys = [self._key(cells.keys[row], split.category) for row in range(len(cells.keys))]
        used = sorted({keys[row] for row in np.unique(cells.row).tolist()})
        place = {key: row for row, key in enumerate(used)}
        rows = np.array([place.get(key, -1) for key in keys], dtype=np.int64)[cells.row]
        first = int(cells.bucket.min(initial=0))
        width = int(cells.bucket.max(initial=0)) - first + 1
        both, inverse = np.unique(rows * width + (cells.bucket - first), return_inverse=True)
        values = {
            name: _together(metric, cells.values[name], inverse, len(both))
            for name, (metric, _) in zip(split.names, split.measures, strict=True)
        }
        docs = np.bincount(inverse, cells.docs, len(both)).astype(np.int64)
        return Cells(used, (both // width).astype(np.int32), both % width + first, docs, values, cells.intervals)

    def _key(self, key: SplitKey, place: int) -> SplitKey:
        group = key[0] if self.job.per_partition_categorization.enabled else ""
        parts = [*key]
        parts[place] = self.name((group, key[place]))
        return parts[0], parts[1], parts[2]

    def write(self, uri: str) -> str:
        """Stages what the numbers that were come across stand for, and returns where."""
        write_lines(uri, [self.names])
        return uri


def _together(
    metric: str, values: np.ndarray[Any, np.dtype[np.float64]], inverse: np.ndarray[Any, Any], count: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What several shapes measure as what their category does."""
    out = np.full(count, np.nan)
    if metric == "min":
        np.fmin.at(out, inverse, values)
    elif metric == "max":
        np.fmax.at(out, inverse, values)
    else:
        known = ~np.isnan(values)
        total = np.bincount(inverse[known], values[known], count)
        out = np.where(np.bincount(inverse[known], minlength=count) > 0, total, np.nan)
    return out


def of_snapshot(client: Elasticsearch, job: Job, manifest: dict[str, Any]) -> Naming:
    """The categories that a snapshot knows."""
    known = _known(client, manifest)
    return Naming(job, Categories(known), overflow=bool(manifest["detail"].get("categories", {}).get("overflow")))


def in_force(client: Elasticsearch, job: Job, moment: datetime) -> Naming:
    """The categories of the snapshot that is in force at a point in data time, or else of the newest; none if there is none."""
    found = [each for each in snapshots.manifests(client, job.job_id) if each["job_version"] == job.version]
    chosen = snapshots.choose(found, job.version, moment) or next(iter(found), None)
    return of_snapshot(client, job, chosen) if chosen else Naming(job, Categories([]))


@talks_to_cluster
def category_clauses(client: Elasticsearch, job: Job, key: SeriesKey) -> list[dict[str, Any]]:
    """Query clauses for the documents of a series' category, none where it has none: those with the words of its template."""
    detector = job.detectors[key.detector_index]
    if not categorises(detector):
        return []
    split = SPLITS[field_names(detector).index(MLCATEGORY)]
    number = key[1:][SPLITS.index(split)] or ""
    clauses = [{"term": {"job_id": job.job_id}}, {"term": {"driftline.job_version": job.version}}]
    of_record = {"bool": {"filter": [{"term": {f"{split}_field_name": MLCATEGORY}}, {"term": {f"{split}_field_value": number}}]}}
    query = {"bool": {"filter": clauses, "should": [{"term": {"mlcategory": number}}, of_record], "minimum_should_match": 1}}
    asked: dict[str, Any] = {"ignore_unavailable": True, "allow_no_indices": True, "source_includes": ["driftline.template"]}
    hits = client.search(index=f"{RESULTS}-*", query=query, size=10, **asked)["hits"]["hits"]
    template = next((hit["_source"]["driftline"]["template"] for hit in hits if "driftline" in hit["_source"]), "")
    return [messages(job, template, words=has_words(client, job))]


def _known(client: Elasticsearch, manifest: dict[str, Any], *, told: bool = False) -> list[Category]:
    """A snapshot's categories; `told` with examples."""
    out: list[Category] = []
    for chunk in snapshots.category_chunks(client, manifest, None if told else ["categories"]):
        about = chunk.get("told") or [(0, 0, ())] * len(chunk["categories"])
        for (number, group, template), (matches, longest, examples) in zip(chunk["categories"], about, strict=True):
            out.append(Category(number, group, template, matches, longest, tuple(examples)))
    return out


def learn_categories(client: Elasticsearch, job: Job, window: Window, *, progress: Progress | None = None) -> Naming:
    """Puts the shapes of a training window together, going on from the snapshot before it."""
    shapes, samples = stored_shapes(client, job, window, progress=progress)
    ranked = sorted(shapes, key=lambda kind: (-shapes[kind], kind))
    beyond = set(ranked[SHAPES_MOST:])
    others = [m for m in snapshots.manifests(client, job.job_id) if m["job_version"] == job.version]
    others = [m for m in others if parse_time(m["training_end"]) != window.end]
    earlier = [m for m in others if parse_time(m["training_end"]) < window.end]
    before = _known(client, earlier[0], told=True) if earlier else []  # the newest is first
    taken: dict[Kind, int] = {}
    for manifest in others:
        taken |= {(each.group, each.template): each.number for each in _known(client, manifest)}
    free = 1 + max([0, *taken.values(), *(m["detail"].get("categories", {}).get("last", 0) for m in others)])
    kept = {kind: docs for kind, docs in shapes.items() if kind not in beyond}
    known = learn(kept, before, taken, free)
    lost = sum(each.matches for each in known) < sum(docs for kind, docs in kept.items() if kind[1] and kind[1] != OTHER)
    return Naming(job, Categories(_told(known, before, kept, samples)), beyond, overflow=bool(beyond) or lost)


def _told(known: list[Category], before: list[Category], shapes: dict[Kind, int], samples: dict[Kind, Sample]) -> list[Category]:
    """With examples: of the most frequent shapes, and then those that there were."""
    finder = Categories(known)
    found: dict[int, Sample] = defaultdict(lambda: Sample(0, ()))
    for kind in sorted(shapes, key=lambda kind: (-shapes[kind], kind)):
        category = finder.find(kind)
        if category and kind in samples:
            found[category.number] = found[category.number].with_more(samples[kind])
    for category in before:
        found[category.number] = found[category.number].with_more(Sample(category.longest, category.examples))
    return [replace(each, longest=found[each.number].longest, examples=found[each.number].examples[:EXAMPLES]) for each in known]


def stage(naming: Naming, uri: str) -> str:
    """Stages what was learned as chunks of a snapshot, after a line for its manifest."""
    known = naming.categories.known
    parts = [known[first : first + CHUNK] for first in range(0, len(known), CHUNK)]
    head = {"overflow": naming.overflow, "count": len(known), "last": max((c.number for c in known), default=0)}
    chunks = (
        {
            "categories": [[c.number, c.group, c.template] for c in part],
            "told": [[c.matches, c.longest, c.examples] for c in part],
        }
        for part in parts
    )
    write_lines(uri, [{**head, "chunks": len(parts)}, *chunks])
    return uri


def staged(handle: dict[str, Any]) -> tuple[dict[str, Any], Iterator[bytes]]:
    """What was staged with a training's series: the line for the manifest, and the chunks."""
    if "categories" not in handle:
        return {}, iter(())
    lines = read_lines(handle["categories"])
    return orjson.loads(next(lines)), lines


def define(client: Elasticsearch, job: Job, manifest: dict[str, Any]) -> None:
    """Writes the definitions of a snapshot's categories in place of those that there were, unless a newer one is in force."""
    newest = max((m["training_end"] for m in snapshots.manifests(client, job.job_id) if _in_force(m, job)), default="")
    if not job.categorises or manifest["training_end"] < newest:
        return
    lineage = {name: manifest[name] for name in ("snapshot_id", "training_start", "training_end")}
    time = milliseconds(parse_time(manifest["training_end"]))
    documents = []
    for category in _known(client, manifest, told=True):
        maker = Maker(job, "category_definition", lineage, extra=(str(category.number),))
        document = maker.document(time) | _definition(job, category)
        document["driftline"]["template"] = category.template
        documents.append((maker.id(time), time, orjson.dumps(document)))
    results.replace(client, job, EVER, documents, types=["category_definition"])


def _in_force(manifest: dict[str, Any], job: Job) -> bool:
    return manifest["job_version"] == job.version and bool(manifest["detail"]["valid"])


def _definition(job: Job, category: Category) -> dict[str, Any]:
    """Elastic's fields of a category."""
    out: dict[str, Any] = {
        "category_id": category.number,
        "terms": terms(category.template),
        "regex": pattern(category.template),
        "max_matching_length": category.longest,
        "examples": sorted(category.examples),
        "num_matches": category.matches,
        "mlcategory": str(category.number),
    }
    if job.per_partition_categorization.enabled:
        name = next(each.partition_field_name for each in job.detectors if MLCATEGORY in field_names(each))
        out |= {"partition_field_name": name, "partition_field_value": category.group}
    return out


def read_names(uri: str | None) -> dict[str, str]:
    """What was staged by `Naming.write`."""
    return orjson.loads(next(read_lines(uri))) if uri else {}


def tell(records: list[tuple[str, dict[str, Any]]], names: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Adds to records of categories what these are."""
    for _, record in records if names else ():
        for split in ("partition", "by", "over"):
            if record.get(f"{split}_field_name") == MLCATEGORY:
                template = names.get(record[f"{split}_field_value"], "")
                record["driftline"]["template"] = template
                record["driftline"]["sentence"] += messages_of(template)
    return records
