"""New documents: which are new, and how they are read, written and told of."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.analytics.features import NUMBERS, Column, Encoder
from driftline.analytics.model import Model
from driftline.core.analysis import Analysis
from driftline.core.errors import DataError, DefinitionError, NoModelError, SnapshotError, SourceIndexError
from driftline.elastic import trained
from driftline.pipeline import destination, evaluated, evaluation, infer, predicted, promotion, trainedmodels

ANALYSIS = {
    "analytics_id": "web", "source": {"index": "requests"}, "dest": {"index": "out"},
    "analysis": {"classification": {"dependent_variable": "tag"}}, "inference": {"dest": "tagged", "index": "new"},
}  # fmt: skip


@pytest.fixture
def at(monkeypatch):
    """Predicts at a time, in a cluster whose index has no document: gives the interval."""
    marks: dict[str, datetime] = {}

    def reach(client, kind, name, until):
        marks[name] = max(marks.get(name, until), until)

    monkeypatch.setattr(infer.state, "reached", lambda client, kind, name: marks.get(name))
    monkeypatch.setattr(infer.state, "reach", reach)
    monkeypatch.setattr(infer.state, "journal", lambda *_, **__: None)
    monkeypatch.setattr(infer.promotion, "asked", lambda *_: {"model_id": "m"})
    monkeypatch.setattr(infer.promotion, "load", lambda *_: None)
    monkeypatch.setattr(infer, "field_types", lambda *_, **__: {"@timestamp": "date"})
    monkeypatch.setattr(infer.destination, "check", lambda *_: None)
    monkeypatch.setattr(infer, "count", lambda *_, **__: 0)

    def run(now: str, *, time_field: str = "@timestamp", **asked: str) -> tuple[str, str]:
        moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
        monkeypatch.setattr(infer, "datetime", type("Clock", (datetime,), {"now": classmethod(lambda *_: moment)}))
        wanted = {**ANALYSIS["inference"], "time_field": time_field}
        told = infer.infer(None, Analysis.parse({**ANALYSIS, "inference": wanted}, where="t"), **asked)
        return told["start"], told["end"]

    return run


def test_what_nobody_predicted_is_still_new_after_a_later_interval_was_asked_for(at) -> None:
    at("2026-01-05T00:00")
    at("2026-01-08T12:00", start="2026-01-08T00:00Z")
    assert at("2026-01-08T13:00") == ("2026-01-04T23:00:00Z", "2026-01-08T13:00:00Z")


def test_an_end_that_is_yet_to_come_leaves_what_comes_until_then_new(at) -> None:
    at("2026-01-09T00:00", end="2026-02-01T00:00Z")
    assert at("2026-01-09T01:00") == ("2026-01-08T23:00:00Z", "2026-01-09T01:00:00Z")


def test_a_time_field_that_the_index_has_not_is_told(at) -> None:
    with pytest.raises(SourceIndexError, match="no field '@timestmap' in the index"):
        at("2026-01-05T00:00", time_field="@timestmap")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"analysis_type": "regression", "dependent_variable": "tag"}, "is a regression of 'tag'; expected a classification"),
        ({"analysis_type": "classification", "dependent_variable": "size"}, "of 'size'; expected a classification of 'tag'"),
    ],
)
def test_a_model_that_predicts_something_else_is_not_asked(monkeypatch, model: dict, told: str) -> None:
    analysis, description = Analysis.parse(ANALYSIS, where="t"), {"model_id": "m", "analytics_id": "web", **model}
    monkeypatch.setattr(trained, "list_", lambda *_: [{**description, "in_force_since": "2026-01-01T00:00:00Z"}])
    with pytest.raises(SnapshotError, match=told):
        promotion.asked(None, analysis)
    monkeypatch.setattr(trained, "describe", lambda *_: description)
    monkeypatch.setattr(trainedmodels, "list_analyses", lambda *_: [analysis])
    with pytest.raises(SnapshotError, match=told):
        trainedmodels.put_in_force(None, "m")


def test_an_analysis_that_was_not_run_yet_has_no_model(monkeypatch) -> None:
    monkeypatch.setattr(trained, "list_", lambda *_: [])
    with pytest.raises(NoModelError, match="has no model yet"):
        promotion.asked(None, Analysis.parse(ANALYSIS, where="t"))


def written(folder, read: list[str], *origins: str) -> list[str]:
    """The ids under which documents `a`, `b` … of indices are written."""
    one, other = str(folder / "documents.parquet"), str(folder / "results.parquet")
    empty = pa.array([b"{}"] * len(origins), pa.binary())
    pq.write_table(pa.table({"_id": list("abc"[: len(origins)]), "_index": list(origins), "_source": empty}), one)
    pq.write_table(pa.table({"result": empty}), other)
    return [
        orjson.loads(each.splitlines()[0])["index"]["_id"] for each in destination._actions("ml", "out", read, one, other, None)
    ]


def test_a_document_is_written_under_the_same_id_whatever_others_are_read_with_it(tmp_path) -> None:
    today, both = written(tmp_path, ["web-*"], "web-1", "web-1"), written(tmp_path, ["web-*"], "web-1", "web-1", "web-2")
    assert today == both[:2] != ["a", "b"]
    assert written(tmp_path, ["web-1", "web-2"], "web-1") == today[:1]
    assert written(tmp_path, ["web-1"], "web-1", "web-1") == ["a", "b"]


TYPES = {"tags": "keyword", "n": "long", "ok": "boolean", "at": "date", "o.k": "keyword"}


@pytest.mark.parametrize(
    ("document", "read"),
    [
        pytest.param({"tags": [None, "web", "api"]}, {"tags": "web"}, id="the first of several values"),
        pytest.param({"o": [{"j": 1}, {"k": ["x"]}, {"k": "y"}]}, {"o.k": "x"}, id="the first of several objects"),
        pytest.param({"ok": "true", "n": "7"}, {"ok": 1, "n": 7}, id="texts that the index takes for values"),
        pytest.param({"ok": "false"}, {"ok": 0}, id="false as a text"),
        pytest.param({"ok": [], "tags": [None]}, {}, id="nothing"),
    ],
)
def test_documents_that_are_sent_are_read_as_the_index_would(document: dict, read: dict) -> None:
    told = infer.table_of(model_of(TYPES), [document]).to_pylist()[0]
    assert {name: value for name, value in told.items() if value is not None} == read


@pytest.mark.parametrize(
    ("document", "told"),
    [
        pytest.param({"n": 10**400}, "docs.0.n: 1000", id="a number beyond all"),
        pytest.param({"n": "nan"}, "'nan' is no long; expected a number", id="a number that is none"),
        pytest.param({"tags": {"a": 1}}, "is no keyword; expected a text", id="an object as a text"),
        pytest.param({"at": {"a": 1}}, "is no date; expected a time", id="an object as a time"),
        pytest.param(["text"], r"docs.0: \['text'\] is no document", id="a list"),
        pytest.param("text", "is no document; expected an object", id="a text"),
    ],
)
def test_documents_that_are_sent_and_cannot_be_read_are_told(document: object, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        infer.table_of(model_of(TYPES), [document])
    if isinstance(document, dict):  # a row that is ingested is kept without what cannot be read
        assert not any(infer.table_of(model_of(TYPES), [document], strict=False).to_pylist()[0].values())


def model_of(types: dict[str, str]) -> Model:
    columns = [Column(name, name, "number" if kind in NUMBERS else "category") for name, kind in types.items()]
    return Model(Encoder(columns, types), None, [])


@pytest.mark.parametrize(("kind", "field"), [("regression", "tag"), ("outlier_detection", "ml.tag_prediction")])
def test_names_are_not_evaluated_as_numbers(monkeypatch, kind: str, field: str) -> None:
    monkeypatch.setattr(evaluation, "field_types", lambda *_, **__: {"tag": "keyword", "ml.tag_prediction": "keyword"})
    with pytest.raises(SourceIndexError, match=f"'{field}' is of type keyword; expected a number"):
        evaluation.evaluate(None, ["out"], kind, "tag", "ml.tag_prediction")


def test_what_was_held_back_is_found_though_the_label_has_points_in_its_name(monkeypatch) -> None:
    asked = []

    def pages(client, index, body, **_):
        asked.append(body["query"]["bool"]["filter"][1]["bool"]["should"])
        return iter([])

    types = {"event.outcome": "keyword", "ml.event.outcome_prediction": "keyword"}
    monkeypatch.setattr(evaluation, "field_types", lambda *_, **__: types)
    monkeypatch.setattr(evaluation, "pages", pages)
    with pytest.raises(DataError, match="no document has both"):
        evaluation.evaluate(None, ["out"], "classification", *types, held_back=True)
    assert {"term": {"ml.is_training": False}} in asked[0]


def test_points_of_a_sample_are_of_the_documents_that_are_named(monkeypatch) -> None:
    hits = [
        {"_id": "new", "fields": {"ml.y_prediction": [5.0]}},
        {"_id": "known", "fields": {"ml.y_prediction": [7.0], "y": [8.0]}},
    ]
    monkeypatch.setattr(predicted, "_hits", lambda *_, **__: hits)
    analysis = {**ANALYSIS, "analysis": {"regression": {"dependent_variable": "y"}}}
    told = predicted.sample(None, Analysis.parse(analysis, where="t"), predicted.Wanted())
    assert told == {"ids": ["known"], "predicted": [7.0], "actual": [8.0]}


def test_the_least_that_a_column_did_need_not_be_nothing() -> None:
    assert evaluated._spread(np.array([0.2, 0.5])) == {"mean_magnitude": 0.35, "min": 0.2, "max": 0.5}
