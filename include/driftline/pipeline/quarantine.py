"""Rows in quarantine: looked at, released into their index though a check complains, or dismissed for good."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import orjson

from driftline.core.errors import DataError, SourceIndexError
from driftline.core.source import QUARANTINE, RESERVED
from driftline.core.timespan import iso
from driftline.elastic import results
from driftline.elastic.bulk import bulk, delete_action, index_action
from driftline.elastic.client import explained, talks_to_cluster
from driftline.elastic.indices import DECISIONS
from driftline.pipeline import decisions
from driftline.pipeline.decisions import DISMISSED, RELEASED
from driftline.pipeline.scoreagain import score_again
from driftline.sources import mapping
from driftline.sources.quarantine import obstacle

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from elasticsearch import Elasticsearch

State = Literal["open", "released", "dismissed"]
Moment = Literal["added", "time"]
Doc = dict[str, Any]
EVERY = f"*{QUARANTINE}"
MOST = 1_000  # rows that are decided at once: a request of some megabytes at most
NAMES = 1_000  # sources and checks that are counted apart
DEEPEST = 10_000  # rows that can be paged through: Elasticsearch's own limit
_INDEX = re.compile(r"[^*?,:\s/\\#<>|\"]+")
_HIDDEN = ("body", "verdict")


@dataclass(frozen=True)
class Choice:
    """Which rows are looked at.

    Attributes:
        sources: Of these sources; None for all.
        check: That failed this check.
        reason: With this in their reason, in upper or lower case.
        path: With this in the file's name, in upper or lower case.
        start: From then on.
        end: Before then.
        moment: What `start` and `end` are about: when a row was put aside, or the row's own time.
        state: In quarantine, or what was decided about them.
    """

    sources: tuple[str, ...] | None = None
    check: str | None = None
    reason: str | None = None
    path: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    moment: Moment = "added"
    state: State = "open"

    def query(self) -> Doc:
        """The same in Elasticsearch's words."""
        clauses: list[Doc] = [{"exists": {"field": "fingerprint"}}]
        if self.sources is not None:
            clauses.append({"terms": {"source_id": list(self.sources)}})
        if self.check:
            clauses.append({"term": {"check": self.check}})
        for field, text in (("reason", self.reason), ("path", self.path)):
            if text:
                plain = re.sub(r"([*?\\])", r"\\\1", text)
                clauses.append({"wildcard": {field: {"value": f"*{plain}*", "case_insensitive": True}}})
        edges = {name: iso(edge) for name, edge in (("gte", self.start), ("lt", self.end)) if edge}
        if edges:
            clauses.append({"range": {self.moment: edges}})
        if self.state != "open":
            clauses.append({"term": {"verdict": self.state}})
        return {"bool": {"filter": clauses}}


@talks_to_cluster
def look(client: Elasticsearch, choice: Choice, *, size: int = 50, first: int = 0) -> Doc:
    """Some of the rows, those that were put aside last first, and how many there are by check.

    Returns:
        `total`; `checks`: check → rows; `rows`, each with `id`, `index`, `source_id`, `path`, `line`, `offset`, `check`,
        `reason`, `raw`, `time`, `added` and `state`, with `by` and `decided` where it was, and `obstacle`: why it cannot be
        released, or nothing.

    Raises:
        DataError: The page lies beyond what Elasticsearch gives.
    """
    if first + size > DEEPEST:
        raise DataError(f"only the first {DEEPEST:,} rows can be paged through", fix="Say more about which rows you mean.")
    where = _where(client, choice.state)
    order = [{name: {"order": way, "unmapped_type": kind}} for name, way, kind in (
        ("decided" if choice.state != "open" else "added", "desc", "date"), ("path", "asc", "keyword"), ("offset", "asc", "long"),
    )]  # fmt: skip
    found = client.search(
        index=where,
        query=choice.query(),
        size=size,
        from_=first,
        sort=order,
        track_total_hits=True,
        aggs={"checks": {"terms": {"field": "check", "size": NAMES}}},
        ignore_unavailable=True,
        allow_no_indices=True,
    ).body
    counted = found.get("aggregations", {}).get("checks", {}).get("buckets", [])
    return {
        "total": found["hits"]["total"]["value"],
        "checks": {each["key"]: each["doc_count"] for each in counted},
        "rows": [_told(hit["_source"], choice.state) for hit in found["hits"]["hits"]],
    }


def _told(document: Doc, state: State) -> Doc:
    shown = {key: value for key, value in document.items() if key not in _HIDDEN}
    hindered = obstacle(document) if state != RELEASED else "It is released."
    return {"id": decisions.name(document), **shown, "state": state, "obstacle": hindered}


@talks_to_cluster
def kept(client: Elasticsearch, state: State = "open") -> list[Doc]:
    """How many rows in that state each source has for each index: `source_id`, `index`, `rows`."""
    by_index = {"terms": {"field": "index", "size": NAMES}}
    found = client.search(
        index=_where(client, state),
        query=Choice(state=state).query(),
        size=0,
        aggs={"sources": {"terms": {"field": "source_id", "size": NAMES}, "aggs": {"indices": by_index}}},
        ignore_unavailable=True,
        allow_no_indices=True,
    ).body
    return [
        {"source_id": source["key"], "index": index["key"], "rows": index["doc_count"]}
        for source in found.get("aggregations", {}).get("sources", {}).get("buckets", [])
        for index in source["indices"]["buckets"]
    ]


def select(client: Elasticsearch, choice: Choice) -> Iterator[tuple[str, str]]:
    """All rows of a choice: index and name of each."""
    for hit in results.scan(client, choice.query(), index=_where(client, choice.state)):
        yield hit["_source"]["index"], decisions.name(hit["_source"])


def locate(client: Elasticsearch, source_id: str, names: Sequence[str]) -> dict[str, str]:
    """In which index rows of a source belong, by their names, whether they are in quarantine or decided."""
    mine = {"term": {"source_id": source_id}}
    found: dict[str, str] = {}
    for where, ids in ((DECISIONS, None), (_where(client, "open"), list(names))):
        clauses = [mine, {"ids": {"values": ids}} if ids is not None else {"terms": {"fingerprint": _files(names)}}]
        for hit in results.scan(client, {"bool": {"filter": clauses}}, index=where):
            found[decisions.name(hit["_source"])] = hit["_source"]["index"]
    return {name: found[name] for name in names if name in found}


def _files(names: Sequence[str]) -> list[str]:
    return sorted({name.rpartition("-")[0] for name in names})


def release(client: Elasticsearch, source_id: str, index: str, names: Sequence[str], *, by: str = "") -> Doc:
    """Indexes rows as they are, though a check complains. Doing it again changes nothing.

    A row leaves quarantine only when the index has taken it; what was dismissed can still be released.

    Args:
        client: The cluster.
        source_id: The source that they are of.
        index: The index where they belong.
        names: Their names, `MOST` at most.
        by: Who says so.

    Returns:
        `released` and `refused`: how many; `rows`: `id`, `outcome` (released or refused) and `reason` of each;
        `score_again`: what was scored without them (see `scoreagain.score_again`).

    Raises:
        DataError: There are too many names.
        SourceIndexError: There is no such index.
    """
    _check(client, index, names)
    rows = _rows(client, source_id, index, names)
    refused, ready, done = _sorted(client, index, names, rows)
    unfit: list[Doc] = []
    bulk(client, (index_action(index, rows[name]["document_id"], rows[name]["body"].encode()) for name in ready), unfit=unfit)
    why = {answer["_id"]: answer.get("error") or {} for answer in unfit}
    for name in [name for name in ready if rows[name]["document_id"] in why]:
        error = why[rows[name]["document_id"]]
        cause = (error.get("caused_by") or {}).get("reason") or ""
        refused[name] = f"The index refuses it: {error.get('reason')} {cause}".strip()
    taken = [name for name in ready if name not in refused]
    _decide(client, index, [rows[name] for name in taken], RELEASED, by)
    with explained(f"index {index}"):
        client.indices.refresh(index=index)
    times = [rows[name]["time"] for name in taken if rows[name].get("time") is not None]
    return {**_outcome(RELEASED, names, refused, done), "score_again": score_again(client, index, times)}


def dismiss(client: Elasticsearch, source_id: str, index: str, names: Sequence[str], *, by: str = "") -> Doc:
    """Puts rows out of sight: they are never indexed, nor put aside again. They stay where `state: dismissed` finds them.

    Args:
        client: The cluster.
        source_id: The source that they are of.
        index: The index where they would belong.
        names: Their names, `MOST` at most.
        by: Who says so.

    Returns:
        `dismissed` and `refused`: how many; `rows`: `id`, `outcome` (dismissed or refused) and `reason` of each.

    Raises:
        DataError: There are too many names.
    """
    _check(client, index, names, there=False)
    rows = _rows(client, source_id, index, names)
    refused = {name: _UNKNOWN for name in names if name not in rows}
    refused |= {name: "It is released." for name, row in rows.items() if row.get("verdict") == RELEASED}
    done = [name for name, row in rows.items() if row.get("verdict") == DISMISSED]
    _decide(client, index, [row for name, row in rows.items() if name not in refused and name not in done], DISMISSED, by)
    return _outcome(DISMISSED, names, refused, done)


_UNKNOWN = "There is no such row of this source."


def _check(client: Elasticsearch, index: str, names: Sequence[str], *, there: bool = True) -> None:
    if len(names) > MOST:
        raise DataError(f"{len(names):,} rows are too many at once", expected=f"at most {MOST:,}")
    unusable = not _INDEX.fullmatch(index) or index.startswith((RESERVED, ".", "-", "_")) or index.endswith(QUARANTINE)
    with explained(f"index {index}"):
        if unusable or (there and not client.indices.exists(index=index)):
            raise SourceIndexError(f"there is no index '{index}' that takes rows", fix="Ingest its files again.")


def _rows(client: Elasticsearch, source_id: str, index: str, names: Sequence[str]) -> dict[str, Doc]:
    """The rows of these names, where they are the source's: from quarantine, else what was decided about them."""
    open_ = decisions.fetch(client, index + QUARANTINE, {name: name for name in names})
    found = {**decisions.load(client, index, names), **open_}
    # where they go is said by the address, which the user's rights were held against, not by what a document claims
    return {
        name: {**found[name], "index": index}
        for name in dict.fromkeys(names)
        if name in found and found[name].get("source_id") == source_id and decisions.name(found[name]) == name
    }


def _sorted(
    client: Elasticsearch, index: str, names: Sequence[str], rows: dict[str, Doc]
) -> tuple[dict[str, str], list[str], list[str]]:
    """Which rows cannot be released, each with the reason; which can; which are already."""
    refused = {name: _UNKNOWN for name in names if name not in rows}
    done = [name for name, row in rows.items() if row.get("verdict") == RELEASED]
    refused |= {name: why for name, row in rows.items() if name not in done and (why := obstacle(row))}
    ready = [name for name in rows if name not in done and name not in refused]
    # a row with an id of its own would replace another of that id, which may be newer
    own = {name: rows[name]["document_id"] for name in ready if rows[name]["document_id"] != decisions.name(rows[name])}
    there = decisions.fetch(client, index, {id_: id_ for id_ in own.values()})
    seen: set[str] = set()
    for name, id_ in own.items():
        if id_ in there and there[id_] != orjson.loads(rows[name]["body"]):
            refused[name] = f"The index has another row with its id '{id_[:100]}', which it would replace."
        elif id_ in seen:
            refused[name] = f"Another row with its id '{id_[:100]}' is released with it."
        seen.add(id_)
    return refused, [name for name in ready if name not in refused], done


def _decide(client: Elasticsearch, index: str, rows: list[Doc], verdict: str, by: str) -> None:
    """Keeps what was decided, and only then takes the rows out of quarantine."""
    if not rows:
        return
    now = iso(datetime.now(UTC))
    decisions.put(client, ({**row, "verdict": verdict, "by": by, "decided": now} for row in rows))
    where = index + QUARANTINE
    bulk(client, (delete_action(where, decisions.name(row)) for row in rows))
    with explained(f"index {where}"):
        client.indices.refresh(index=[where, DECISIONS], ignore_unavailable=True)


def _outcome(verdict: str, names: Sequence[str], refused: dict[str, str], done: list[str]) -> Doc:
    rows = []
    for name in dict.fromkeys(names):
        reason = refused.get(name) or (f"It was {verdict} before." if name in done else "")
        rows.append({"id": name, "outcome": "refused" if name in refused else verdict, "reason": reason})
    return {verdict: sum(row["outcome"] == verdict for row in rows), "refused": len(refused), "rows": rows}


def _where(client: Elasticsearch, state: State) -> str:
    """Which indices hold rows in that state. Indices of others whose names end the same way are left out."""
    if state != "open":
        return DECISIONS
    with explained(f"index {EVERY}"):
        found = client.indices.get_mapping(index=EVERY, ignore_unavailable=True, allow_no_indices=True).body
    foreign = [name for name, body in found.items() if not _ours(body["mappings"].get("properties", {}))]
    return ",".join([EVERY, *(f"-{name}" for name in foreign)])


def _ours(properties: Doc) -> bool:
    wanted = ("source_id", "index", "fingerprint", "document_id", "check", "reason", "path")
    return all(properties.get(name, {}).get("type") == mapping.KEYWORD["type"] for name in wanted)
