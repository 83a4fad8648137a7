"""Rows into their index and bad ones into quarantine, batch by batch, with the ledger behind it: nothing lost, nothing twice."""

from __future__ import annotations

import copy
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from driftline.core.errors import QualityStopError, WriteError
from driftline.core.timespan import iso
from driftline.elastic.bulk import bulk, delete_action, index_action
from driftline.elastic.client import explained
from driftline.elastic.results import delete
from driftline.pipeline import decisions, ledger, target
from driftline.pipeline.rowgate import UNFIT, add, no_counts, note_unread, set_apart
from driftline.pipeline.tag import Tagger
from driftline.sources import mapping, quarantine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch

    from driftline.core.progress import Progress
    from driftline.core.source import Source
    from driftline.pipeline.ledger import Entry
    from driftline.pipeline.rowgate import Counts, RowGate
    from driftline.sources.rows import BadRow, Rows

SMALL = 2_000  # rows: less is not worth two requests


class RowSink:
    """Takes the rows of one file (or one range of generated days).

    Args:
        client: The cluster.
        source: Where the rows belong.
        entry: The ledger's entry; it is kept up to date.
        gate: Tells good rows from bad.
        run: The run's id: what an interrupted attempt of the same run did counts as its own.
    """

    def __init__(self, client: Elasticsearch, source: Source, entry: Entry, gate: RowGate, run: str) -> None:
        self._client, self._source, self._entry, self._gate = client, source, entry, gate
        # rows that an interrupted attempt wrote may be judged otherwise this time
        self._again = entry.state != "new"
        last: dict[str, Any] = entry.detail.get("run") or {}
        fresh: dict[str, Any] = {"id": run, "seconds": 0.0, "checks": no_counts(), **dict.fromkeys(ledger.COUNTS, 0)}
        self.counts = last if last.get("id") == run and entry.state in {"running", "stopped"} else fresh
        entry.detail["run"] = self.counts
        self._tagged = Tagger(client, source.predict) if source.predict else None
        self._quarantine_ready = False
        self._started = time.monotonic()
        self._before = float(self.counts["seconds"])

    def take(self, batches: Iterator[Rows], progress: Progress | None = None, *, total: int = 0) -> None:
        """Writes all rows.

        Raises:
            QualityStopError: The gate stops; rows before the batch that made it do so are written.
            WriteError: Documents were refused for a reason that is not theirs.
        """
        name = self._entry.path.rpartition("/")[2] or self._entry.path
        self._forget()
        judged = self._judged()
        # one thread sends while the next batch is parsed and judged: the answer of Elasticsearch takes as long as both
        with ThreadPoolExecutor(1) as pool:
            sending: Future[None] | None = None
            for rows in batches:
                found = self._gate.judge(rows)
                if sending:
                    sending.result()
                add(judged, found)
                if reason := self._gate.stops(judged):
                    self._stop(reason, judged)
                sending = pool.submit(self._write, rows, found)
                if progress:
                    progress(name, min(rows.end, total) if total else rows.end, total or rows.end)
            if sending:
                sending.result()

    def finish(self, pending: int) -> None:
        """Concludes the file.

        Raises:
            QualityStopError: Too many rows were refused by the index itself, which nobody knew before.
        """
        judged = self._judged()
        if reason := self._gate.stops(judged):
            self._stop(reason, judged)
        self._entry.pending = pending
        self._save("done")

    def _judged(self) -> Counts:
        """What is known of the whole file: the ratio of bad rows must not depend on how much it grew this time."""
        counts: Counts = copy.deepcopy(self.counts["checks"])
        counts["rows"] += self._entry.rows - self.counts["rows"]
        counts["bad"] += self._entry.quarantined - self.counts["quarantined"]
        return counts

    def _forget(self) -> None:
        """Takes out of quarantine what is read again from here: perhaps from a time when the index was another."""
        mine = [{"term": {"fingerprint": self._entry.fingerprint}}, {"range": {"offset": {"gte": self._entry.offset}}}]
        delete(self._client, self._source.quarantine, {"bool": {"filter": mine}})

    def _write(self, rows: Rows, found: Counts) -> None:
        bad = self._without_released(rows)
        index, ids = self._source.index, rows.ids or [self._name(offset) for offset in rows.offsets]
        actions = _actions(index, ids, self._tagged(rows.bodies) if self._tagged else rows.bodies)
        if self._again and not rows.ids:
            actions += [delete_action(index, self._name(row.offset)) for row in bad]
        unfit: list[dict[str, Any]] = []
        written = self._send(actions, unfit)
        if written + len(unfit) != len(actions):
            raise WriteError(
                f"{len(actions)} documents were sent, but {written + len(unfit)} answered for",
                failed=len(actions) - written - len(unfit), total=len(actions), sample=[], where=f"index {index}",
            )  # fmt: skip
        if unfit:
            refused = _refused(rows, ids, unfit)
            found["rows"] -= len(refused)
            note_unread(found, refused)
            bad += refused
        self._put_aside(bad)
        read = len(rows) + len(rows.bad)
        add(self.counts["checks"], found)
        self._count(read, len(rows) - len(unfit), len(bad), rows)

    def _name(self, offset: int) -> str:
        return quarantine.name_of(self._entry.fingerprint, offset)

    def _verdicts(self, bad: list[BadRow]) -> dict[str, str]:
        names = [self._name(row.offset) for row in bad]
        return decisions.verdicts(self._client, self._source.index, names) if names else {}

    def _without_released(self, rows: Rows) -> list[BadRow]:
        """The bad rows but for those that somebody released when they were read before: these are among the good ones again."""
        verdicts, bad = self._verdicts(rows.bad), rows.bad
        rows.bad = []
        for row in bad:
            if row.time is None or verdicts.get(self._name(row.offset)) != decisions.RELEASED:
                rows.bad.append(row)
                continue
            rows.add(row.offset, row.line, row.time, row.body, row.raw)
            if row.id:
                rows.ids.append(row.id)
        return list(rows.bad)

    def _send(self, actions: list[bytes], unfit: list[dict[str, Any]]) -> int:
        """Writes in two parts at once: one request keeps one thread of Elasticsearch busy. Returns how many were accepted."""
        middle = len(actions) // 2
        parts = [actions[:middle], actions[middle:]] if middle > SMALL else [actions]
        with ThreadPoolExecutor(len(parts)) as pool:
            outcomes = list(pool.map(lambda part: bulk(self._client, part, unfit=unfit), parts))
        return sum(outcome.total for outcome in outcomes)

    def _put_aside(self, bad: list[BadRow]) -> None:
        verdicts = self._verdicts(bad)
        bad = [row for row in bad if verdicts.get(self._name(row.offset)) != decisions.DISMISSED]
        if not bad:
            return
        source, fingerprint, now = self._source, self._entry.fingerprint, iso(datetime.now(UTC))
        if not self._quarantine_ready:
            target.ensure(
                self._client, source.quarantine, {"number_of_shards": 1, "auto_expand_replicas": "0-1"},
                {"dynamic": False, "properties": mapping.QUARANTINE},
            )  # fmt: skip
            self._quarantine_ready = True
        documents = (
            (self._name(row.offset), quarantine.document(source, row, path=self._entry.path, fingerprint=fingerprint, added=now))
            for row in bad
        )
        bulk(self._client, (index_action(source.quarantine, name, document) for name, document in documents))

    def _count(self, read: int, indexed: int, quarantined: int, rows: Rows) -> None:
        entry, counts = self._entry, self.counts
        size = max(0, rows.end - entry.offset)
        for name, value in (("rows", read), ("indexed", indexed), ("quarantined", quarantined), ("bytes", size)):
            counts[name] += value
        entry.rows, entry.indexed, entry.quarantined = entry.rows + read, entry.indexed + indexed, entry.quarantined + quarantined
        entry.offset, entry.line = rows.end, rows.end_line
        self._save("running")

    def _save(self, state: ledger.State) -> None:
        self._entry.state = state
        self.counts["seconds"] = round(self._before + time.monotonic() - self._started, 3)
        ledger.put(self._client, self._entry)

    def _stop(self, reason: str, judged: Counts) -> None:
        self._save("stopped")
        self.counts = self.counts | {"checks": judged}
        with explained(f"index {self._source.index}"):
            self._client.indices.refresh(index=self._source.index, ignore_unavailable=True)
        raise QualityStopError(
            reason,
            report="",
            where=self._entry.path,
            fix="See the reasons above; correct the format, the time zone or the limits under 'quality' of the source.",
        )


def _actions(index: str, ids: list[str], bodies: list[bytes]) -> list[bytes]:
    head = orjson.dumps({"index": {"_index": index, "_id": ""}})[:-4]
    return [b"%b%b}}\n%b\n" % (head, orjson.dumps(id_), body) for id_, body in zip(ids, bodies, strict=True)]


def _refused(rows: Rows, ids: list[str], unfit: list[dict[str, Any]]) -> list[BadRow]:
    """Rows that Elasticsearch itself finds unfit: a text where the index has a number, an object where it has a word."""
    place = {id_: number for number, id_ in enumerate(ids)}
    found = []
    for answer in unfit:
        number, error = place[answer["_id"]], answer.get("error") or {}
        cause = (error.get("caused_by") or {}).get("reason") or ""
        reason = f"the index refuses it: {error.get('reason')} {cause}".strip()
        found.append(set_apart(rows, number, reason, UNFIT))
    return found
