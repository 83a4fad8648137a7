"""Definitions of analyses: what they say, what they refuse, and Elastic's own taken over."""

from __future__ import annotations

import pytest

from driftline.core.analysis import Analysis
from driftline.core.errors import DefinitionError, SourceIndexError
from driftline.interop.elastic_analytics import to_analysis
from driftline.pipeline import documents

BASE = {
    "analytics_id": "web", "source": {"index": "requests"}, "dest": {"index": "requests-out"},
    "analysis": {"classification": {"dependent_variable": "tag"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"dest": {"index": "requests"}}, "results go into an index of their own"),
        ({"source": {"index": "requests*"}}, r"'requests-out' is read from \(by 'requests\*'\)"),
        ({"inference": {"dest": "new-tagged", "index": ["other", "new-*"]}}, "'new-tagged' is read from"),
        ({"analysis": {}}, "one of classification, regression and outlier_detection"),
        (
            {"analysis": {"classification": {"dependent_variable": "tag", "training_percent": 0}}},
            "0 leaves nothing to learn from",
        ),
        (
            {"analysis": {"classification": {"dependent_variable": "tag", "training_percent": 100}}},
            "100 leaves nothing to evaluate",
        ),
        ({"analysis": {"classification": {}}}, "dependent_variable: required"),
        ({"analysis": {"classification": {"dependent_variable": "_id"}}}, "no field of documents"),
        (
            {"analysis": {"classification": {"dependent_variable": "tag", "prediction_field_name": "model_id"}}},
            "'model_id' is written beside the prediction",
        ),
        ({"analysis": {"classification": {"dependent_variable": "tag", "etta": 1}}}, "did you mean 'eta'"),
        ({"analysis": {"outlier_detection": {}}, "inference": {"dest": "new"}}, "outlier detection makes no model"),
        ({"inference": {"dest": "requests-out"}}, "predictions go elsewhere"),
        ({"inference": {"dest": "requests", "index": "new"}}, "read from"),
        ({"dest": {"index": "driftline-x"}}, "keeps for itself"),
    ],
)
def test_mistakes_are_explained(changed: dict, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        Analysis.parse({**BASE, **changed}, where="web.yaml")


def test_a_destination_that_a_pattern_leaves_out_is_not_read_from() -> None:
    made = Analysis.parse({**BASE, "source": {"index": ["requests*", "-requests-out*"]}}, where="t")
    assert made.dest.index == "requests-out"


@pytest.mark.parametrize(
    "changed",
    [
        {"source": {"index": "requests*"}},
        {"analysis": {"classification": {"dependent_variable": "tag", "prediction_field_name": "model_id"}}},
    ],
)
def test_what_was_stored_before_a_rule_came_can_be_read(changed: dict) -> None:
    assert Analysis.parse({**BASE, **changed}, where="t", stored=True).analytics_id == "web"
    with pytest.raises(DefinitionError, match="predictions go elsewhere"):  # a rule that was always there
        Analysis.parse({**BASE, **changed, "inference": {"dest": "requests-out"}}, where="t", stored=True)


def test_only_what_is_learned_makes_a_new_version() -> None:
    made = Analysis.parse(BASE, where="t")
    same = Analysis.parse({**BASE, "description": "x", "schedule": "0 1 * * *", "inference": {"dest": "new"}}, where="t")
    other = Analysis.parse(
        {**BASE, "analysis": {"classification": {"dependent_variable": "tag", "training_percent": 70}}}, where="t"
    )
    assert made.version == same.version != other.version


def test_an_analysis_with_inference_is_trained_weekly_unless_it_says_otherwise() -> None:
    assert Analysis.parse(BASE, where="t").retrain == "none"
    assert Analysis.parse({**BASE, "inference": {"dest": "new"}}, where="t").retrain == "0 3 * * 0"
    assert Analysis.parse({**BASE, "inference": {"dest": "new"}, "schedule": "none"}, where="t").retrain == "none"


def test_fields_are_chosen_by_name_and_pattern() -> None:
    made = Analysis.parse({**BASE, "analyzed_fields": {"includes": ["http.*", "size"], "excludes": ["http.secret"]}}, where="t")
    assert made.wanted(["http.a", "http.secret", "other", "size"]) == ["http.a", "size"]
    with pytest.raises(SourceIndexError, match="no field 'size'"):
        made.wanted(["http.a", "http.secret"])


def test_elastics_analysis_is_taken_over() -> None:
    config = {
        "data_frame_analytics": [
            {
                "id": "Web.Tags", "create_time": 1, "version": "8.1.0", "model_memory_limit": "1gb",
                "source": {"index": ["requests"], "query": {"match_all": {}}}, "dest": {"index": "out", "results_field": "ml"},
                "analysis": {"classification": {"dependent_variable": "tag", "training_percent": 100, "alpha": 1, "lambda": 2}},
                "analyzed_fields": {"includes": [], "excludes": ["id"]},
            }
        ]
    }  # fmt: skip
    analysis, notes = to_analysis(config)
    told = analysis.analysis.classification
    assert analysis.analytics_id == "web-tags"
    assert told.lambda_ == 2
    assert told.training_percent == 80
    assert told.class_assignment_objective == "maximize_minimum_recall"
    assert analysis.analyzed_fields.excludes == ["id"]
    assert [each.split(":")[0] for each in notes] == [
        "its id is 'web-tags' here", "create_time, model_memory_limit, version", "alpha", "training_percent",
    ]  # fmt: skip


def test_a_seed_of_elastics_may_be_any_long() -> None:
    config = {**BASE, "analysis": {"classification": {"dependent_variable": "tag", "randomize_seed": -2744578391624501234}}}
    config["id"] = config.pop("analytics_id")
    analysis, notes = to_analysis(config)
    assert analysis.seed == -2744578391624501234 % 2**31
    assert "instead of -2744578391624501234" in notes[0]


FIELDS = {"size": "long", "said": "text", "said.keyword": "keyword", "tag": "text", "tag.keyword": "keyword"}


@pytest.mark.parametrize(
    ("fields", "usable"),
    [
        pytest.param({}, ["size", "said.keyword"], id="a text is the same as its keyword"),
        pytest.param({"includes": ["said", "size"]}, ["size", "said"], id="a text that is asked for"),
        pytest.param({"excludes": ["said.keyword"]}, ["size"], id="a keyword that is excluded, and so its text"),
        pytest.param({"includes": ["tag.keyword", "size"]}, ["size"], id="what is predicted is among them, as Elastic has it"),
        pytest.param({"excludes": ["tag"]}, ["size", "said.keyword"], id="the other reading of what is predicted"),
    ],
)
def test_fields_that_are_named_are_those_of_the_index(monkeypatch, fields: dict, usable: list[str]) -> None:
    monkeypatch.setattr(documents, "field_types", lambda *_, **__: dict(FIELDS))
    kind = {"classification": {"dependent_variable": "tag.keyword"}}
    made = Analysis.parse({**BASE, "dest": {"index": "o"}, "analysis": kind, "analyzed_fields": fields}, where="t")
    assert list(documents.usable(None, made)[0]) == usable


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"id": "a", "analysis": {"clustering": {}}}, "none of Elastic's"),
        (
            {"id": "a", "source": {"index": "x", "runtime_mappings": {}}, "analysis": {"outlier_detection": {}}},
            "runtime_mappings",
        ),
        ({"id": "a", "detectors": []}, "unknown: detectors"),
        ({"data_frame_analytics": []}, "0 jobs at once"),
        ({"data_frame_analytics": ["x"]}, "data_frame_analytics: a mapping was expected, not str"),
        ({"id": "a", "analysis": {"classification": "x"}}, "classification: a mapping was expected, not str"),
        ({"id": "a", "analysis": {"classification": {"training_percent": [1]}}}, "training_percent"),
    ],
)
def test_what_cannot_be_taken_over_is_said(config: dict, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        to_analysis(config)
