"""Training and scoring of signatures, from arrays in place of a cluster."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest

from driftline.bench.behaviours import make, moment
from driftline.core.errors import DefinitionError, WindowError
from driftline.core.series import SeriesFrame, SeriesKey
from driftline.core.signature import Signatures
from driftline.core.timespan import Window, iso
from driftline.elastic import fields, results, snapshots
from driftline.elastic.state import Scored
from driftline.pipeline import signature_read, signatures
from driftline.pipeline.signature_view import profile

if TYPE_CHECKING:
    from driftline.core.job import Job

HOUR, DAYS, TRAINED = timedelta(hours=1), 28, 21
WEEK = Window(moment(DAYS - 1), moment(DAYS))


class Desk:
    """What entities do, and what was learned and found of that."""

    def __init__(self, entities: int) -> None:
        self.fleet = make(3, entities, planted=0)
        self.names = self.fleet.names()
        self.counts = np.concatenate([self.fleet.day(day) for day in range(DAYS)], axis=1).astype(float)
        self.learned: list[tuple[dict, list[dict]]] = []
        self.found: list[dict] = []
        self.checked: list[Job] = []
        self.scored: Scored | None = None
        self.replaced: Window | None = None

    def read(self, client, job, window, **options):
        first, last = (round((edge - moment(0)) / HOUR) for edge in (window.start, window.end))
        part = self.counts[:, first:last].copy()
        there = np.flatnonzero(part.any(axis=1))
        keys = [SeriesKey(0, self.names[row], None) for row in there.tolist()]
        return SeriesFrame(window.start, job.bucket_span, keys, part[there], None)

    def write(self, client, manifest, chunks):
        self.learned.insert(0, (manifest, [orjson.loads(chunk) for chunk in chunks]))

    def replace(self, client, job, window, documents, **options):
        self.replaced, self.found = window, [orjson.loads(text) for _, _, text in documents]
        return SimpleNamespace(written=len(self.found), deleted=0)

    def of_type(self, client, job_id, kind, **options):
        return [each for each in self.found if each["result_type"] == kind]

    def records(self):
        return {each["partition_field_value"]: each for each in self.found if each["result_type"] == "record"}


@pytest.fixture
def desk(monkeypatch):
    made = Desk(60)
    monkeypatch.setattr(signature_read, "read_stored", made.read)
    monkeypatch.setattr(fields, "check_fields", lambda _, job: made.checked.append(job))
    monkeypatch.setattr(signatures, "data_range", lambda *_: Window(moment(0), moment(DAYS)))
    monkeypatch.setattr(snapshots, "write", made.write)
    monkeypatch.setattr(snapshots, "manifests", lambda *_: [manifest for manifest, _ in made.learned])
    monkeypatch.setattr(snapshots, "chunks", lambda _, wanted: next(c for m, c in made.learned if m is wanted))
    monkeypatch.setattr(results, "replace", made.replace)
    monkeypatch.setattr(results, "of_type", made.of_type)
    monkeypatch.setattr(results, "scan", lambda *_: [])
    monkeypatch.setattr(signatures.state, "progress", lambda *_: made.scored)
    monkeypatch.setattr(signatures.state, "advance", lambda *_: None)
    monkeypatch.setattr(signatures.state, "journal", lambda *_, **__: None)
    return made


def of(**options):
    given = {"signature_id": "callers", "indices": "x", "term": "account", "window": "21d", "interval": "24h", **options}
    return Signatures.parse(given, where="test")


def test_who_was_learned_is_read_however_small_it_has_become_among_many(desk):
    busiest = np.argsort(-desk.counts[:, : TRAINED * 24].sum(axis=1))
    desk.counts[busiest[30:], TRAINED * 24 :] *= 20  # those that were left out are the largest now
    callers = of(max_terms=30)
    assert signatures.train(None, callers, as_of=moment(TRAINED))["entities"] == 30
    told = signatures.score(None, callers, WEEK)
    assert (told["entities"], told["new"], desk.records()) == (30, 0, {})
    assert told["notes"][0].startswith("30 entities beyond max_terms=30 are left out (none of them was learned): ")


def test_who_began_within_the_last_span_is_new_until_its_weeks_are_known(desk):
    desk.counts[:20, : (TRAINED - 3) * 24] = 0
    trained = signatures.train(None, of(), as_of=moment(TRAINED))
    assert trained["entities"] == 40
    assert trained["notes"] == [f"20 entities are too new to be learned: {', '.join(desk.names[:10])} …"]
    told = signatures.score(None, of(), WEEK)
    assert (told["entities"], told["new"], desk.records()) == (40, 20, {})
    assert signatures.train(None, of(), as_of=moment(DAYS))["entities"] == 60


def test_an_entity_is_shown_as_it_was_scored_among_all_also_where_documents_are_of_several(desk):
    desk.counts[:, TRAINED * 24 :] *= 2  # all do twice as much, which is nobody's own
    desk.counts[7, TRAINED * 24 :] *= 4
    callers = of(threshold=0)
    signatures.train(None, callers, as_of=moment(TRAINED))
    signatures.score(None, callers, WEEK)
    for row in (3, 7):
        record, shown = desk.records()[desk.names[row]], profile(None, callers, desk.names[row], until=WEEK.end)
        assert shown["actual"] == desk.counts[row, TRAINED * 24 :].sum()
        assert ([shown["actual"]], [shown["typical"]]) == (record["actual"], record["typical"])
        assert (shown["score"], shown["sentence"]) == (record["record_score"], record["driftline"]["sentence"])
    desk.found.clear()  # nobody has scored then: what is usual for the entity is all that is known
    assert profile(None, callers, desk.names[3], until=WEEK.end)["typical"] < shown["actual"]


def test_what_is_not_over_is_not_shown(desk):
    signatures.train(None, of(), as_of=moment(TRAINED))
    with pytest.raises(WindowError, match="is not complete yet"):
        profile(None, of(), desk.names[0], until="now+2h")


def test_a_run_by_the_clock_scores_what_was_left_out_before(desk):
    gap = Window(moment(10), moment(13))
    desk.scored = Scored(Window(moment(1), moment(14)), {}, None, gap)
    planned = Window(moment(14), moment(15))
    assert signatures.due(None, of(), planned=planned) == Window(gap.start, planned.end)


def test_what_was_left_out_before_anything_could_be_learned_is_dropped(desk, monkeypatch):
    signatures.train(None, of(), as_of=moment(TRAINED))
    desk.scored = Scored(Window(moment(-9), moment(TRAINED + 2)), {}, None, Window(moment(-8), moment(TRAINED + 1)))
    advanced = []
    monkeypatch.setattr(signatures.state, "advance", lambda _, __, window: advanced.append(window))
    due = signatures.due(None, of(), planned=Window(moment(TRAINED + 2), moment(TRAINED + 3)))
    told = signatures.score(None, of(), due)
    first = moment(TRAINED - 1)
    assert (told["scored"], told["start"], told["end"]) == (4, iso(first), iso(due.end))
    assert told["notes"] == [f"nothing is scored from {iso(moment(-8))} to {iso(first)}: nothing was learned by then"]
    assert desk.replaced == Window(first, due.end), "what another model found before that stays"
    assert advanced == [due], "the next run does not try again"


def test_a_longer_interval_leaves_out_nothing_since_the_last_of_the_shorter_ones(desk):
    desk.scored = Scored(Window(moment(1), moment(10) + 9 * HOUR), {}, None)
    assert signatures.due(None, of(), planned=Window(moment(10), moment(11))) == Window(moment(10), moment(11))
    assert signatures.due(None, of(), planned=Window(moment(11), moment(12))) == Window(moment(10), moment(12))


@pytest.mark.parametrize("interval", ["0", "0h", "90m"])
def test_an_interval_of_nothing_or_of_parts_of_hours_is_refused(interval):
    with pytest.raises(DefinitionError, match="must be a multiple of the resolution 1h"):
        signatures.interval_of(of(), interval)


def test_a_feature_whose_field_has_no_values_is_named_and_not_compared(desk):
    callers = of(features=[{"name": "duration", "metric": "avg", "field": "seconds"}])
    trained = signatures.train(None, callers, as_of=moment(TRAINED))
    assert trained["notes"] == ["feature 'duration' is not compared: no document has the field 'seconds'"]
    assert signatures.score(None, callers, WEEK)["records"] == 0


def test_a_training_looks_whether_the_field_of_the_mix_is_there(desk):
    signatures.training_window(None, of(mix="destination"), moment(TRAINED))
    assert [job.detectors[0].by_field_name for job in desk.checked] == [None, "destination"]
