"""Analyses of documents, from an index to an index: classes, numbers and outliers found, models kept, new documents predicted."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.cli import main
from driftline.core.analysis import Analysis
from driftline.core.errors import DataError, DefinitionError, DriftlineError, QualityStopError, SnapshotError, SourceIndexError
from driftline.core.source import Source
from driftline.core.timespan import iso
from driftline.elastic import trained
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import JOBS, QUALITY
from driftline.pipeline import analyze, documents, jobs, predicted, trainedmodels
from driftline.pipeline.evaluation import evaluate
from driftline.pipeline.infer import infer
from driftline.pipeline.ingest import ingest
from driftline.pipeline.tag import Tagger

START = datetime(2026, 3, 1, tzinfo=UTC)
_KEYWORD = {"type": "keyword"}
_NAMES = ("tag", "path", "empty", "same", "many")
MAPPING = {
    "properties": {
        "@timestamp": {"type": "date"}, "client": {"type": "ip"}, "size": {"type": "long"}, "cost": {"type": "double"},
        "said": {"type": "text", "fields": {"keyword": _KEYWORD}}, **dict.fromkeys(_NAMES, _KEYWORD),
    }
}  # fmt: skip
QUICK = {"max_optimization_rounds_per_hyperparameter": 0}


def document(number: int, random: np.random.Generator) -> dict:
    attack = random.random() < 0.3
    sure = random.random() < 0.9  # some look like the others
    size = int(random.lognormal(8 if attack == sure else 5, 1))
    return {
        "@timestamp": iso(START + timedelta(minutes=number)), "tag": "attack" if attack else "normal", "size": size,
        "path": str(random.choice(["/login", "/admin"] if attack else ["/", "/login", "/shop"])),
        "client": f"10.0.{random.integers(4)}.{random.integers(200)}", "said": "hostile <script>" if attack else "hello there",
        "same": "x", "cost": 2.0 * np.log(size) + random.normal() * 0.3, "many": f"v{number}", "nested": {"deep": number % 7},
    }  # fmt: skip


def fill(client, index: str, documents: list[dict], first: int = 0) -> None:
    if not client.indices.exists(index=index):
        client.indices.create(index=index, mappings=MAPPING)
    bulk(client, (index_action(index, f"d{first + place}", each) for place, each in enumerate(documents)))
    client.indices.refresh(index=index)


@pytest.fixture(scope="module")
def requests(client, module_prefix):
    """A labelled index; a tenth has no label."""
    random = np.random.default_rng(4)
    made = [document(number, random) for number in range(1500)]
    for each in made[::10]:
        del each["tag"]
    index = f"{module_prefix}requests"
    fill(client, index, made)
    return index


def analysis_of(prefix: str, index: str, analysis: dict, **more) -> Analysis:
    name = more.pop("name", f"{prefix}cls")
    made = {"analytics_id": name, "source": {"index": index}, "dest": {"index": f"{name}-out"}, "analysis": analysis, **more}
    return Analysis.parse(made, where="test")


def classification(**more) -> dict:
    return {"classification": {"dependent_variable": "tag", **QUICK, **more}}


@pytest.fixture(scope="module")
def classified(client, module_prefix, requests):
    """The labelled index, analysed."""
    excluded = {"analyzed_fields": {"excludes": ["many"]}}
    analysis = analysis_of(module_prefix, requests, classification(num_top_feature_importance_values=2), **excluded)
    return analysis, analyze.run(client, analysis)


def every(client, index: str) -> list[dict]:
    return [hit["_source"] for hit in client.search(index=index, size=5000)["hits"]["hits"]]


def test_every_document_is_written_with_its_class_and_what_mattered(client, classified) -> None:
    analysis, outcome = classified
    found = every(client, analysis.dest.index)
    assert outcome["written"] == outcome["documents"] == len(found) == 1500
    one = next(each for each in found if each["ml"]["tag_prediction"] == "attack")
    assert one["nested"] == {"deep": one["nested"]["deep"]}
    assert one["ml"]["prediction_probability"] == one["ml"]["top_classes"][0]["class_probability"]
    assert len(one["ml"]["feature_importance"]) == 2
    learned = [each for each in found if each["ml"]["is_training"]]
    assert len(learned) == outcome["trained"]["learned"] == pytest.approx(0.8 * 1350, abs=50)
    assert all("tag" in each for each in learned)
    unlabelled = [each for each in found if "tag" not in each]
    assert len(unlabelled) == 150
    assert all("driftline" not in each["ml"] for each in unlabelled)


def test_the_measures_are_those_of_the_documents_that_were_held_back(client, classified) -> None:
    analysis, outcome = classified
    held = [each for each in every(client, analysis.dest.index) if "tag" in each and not each["ml"]["is_training"]]
    right = np.mean([each["ml"]["tag_prediction"] == each["tag"] for each in held])
    assert outcome["evaluation"]["documents"] == len(held)
    assert outcome["evaluation"]["accuracy"]["value"] == pytest.approx(right, abs=1e-5)
    assert right > 0.95  # `said` gives it away
    again = evaluate(
        client, [analysis.dest.index], "classification", "tag", "ml.tag_prediction", query={"term": {"ml.is_training": False}}
    )
    assert again["accuracy"]["value"] == outcome["evaluation"]["accuracy"]["value"]
    assert all(each["ml"]["driftline"]["correct"] == (each["ml"]["tag_prediction"] == each["tag"]) for each in held)


def test_the_report_tells_what_gives_the_answer_away_and_what_says_nothing(client, classified) -> None:
    _, outcome = classified
    failed = "\n".join(outcome["quality"]["failed"])
    assert outcome["quality"]["verdict"] == "warn"
    assert "leakage: said.keyword tell the label alone" in failed
    assert "constant: same never differ" in failed
    assert "empty" in failed
    assert client.get(index=QUALITY, id=outcome["quality"]["report_id"])["_source"]["stage"] == "analyze"


def test_running_it_again_replaces_what_it_wrote_and_keeps_what_is_better(client, module_prefix, requests, classified) -> None:
    analysis, first = classified
    second = analyze.run(client, analysis)
    found = every(client, analysis.dest.index)
    assert len(found) == 1500
    assert {each["ml"]["model_id"] for each in found} == {second["model_id"]} != {first["model_id"]}
    assert "is not worse than" in second["reason"]
    assert second["evaluation"] == first["evaluation"]  # the same documents, the same seed
    kept = trained.list_(client, analysis.analytics_id)
    assert trained.in_force(kept)["model_id"] == second["model_id"]
    assert len(kept) == 2


def test_a_model_that_is_worse_does_not_take_over(client, prefix) -> None:
    random = np.random.default_rng(8)
    index = f"{prefix}drifting"
    made = [
        {key: value for key, value in document(n, random).items() if key in {"@timestamp", "tag", "size"}} for n in range(600)
    ]
    fill(client, index, made)
    analysis = analysis_of(prefix, index, classification())
    first = analyze.run(client, analysis)
    for each in made:  # the labels of what is learned from are shuffled, those of what is held back are not
        each["tag"] = each["tag"] if _held(client, analysis, each) else str(random.choice(["attack", "normal"]))
    fill(client, index, made)
    second = analyze.run(client, analysis)
    assert not second["promoted"]
    assert "stays in force" in second["reason"]
    assert trained.in_force(trained.list_(client, analysis.analytics_id))["model_id"] == first["model_id"]


def _held(client, analysis: Analysis, document: dict) -> bool:
    held = _held.__dict__.setdefault("known", {}).setdefault(
        analysis.dest.index, {each["@timestamp"] for each in every(client, analysis.dest.index) if not each["ml"]["is_training"]}
    )
    return document["@timestamp"] in held


def test_numbers_are_predicted(client, module_prefix, requests) -> None:
    kind = {"regression": {"dependent_variable": "cost", **QUICK}}
    analysis = analysis_of(module_prefix, requests, kind, name=f"{module_prefix}reg")
    outcome = analyze.run(client, analysis)
    assert outcome["evaluation"]["r_squared"]["value"] > 0.9
    one = next(each for each in every(client, analysis.dest.index) if not each["ml"]["is_training"])
    assert one["ml"]["driftline"]["error"] == pytest.approx(one["ml"]["cost_prediction"] - one["cost"], abs=1e-3)


def test_new_documents_are_predicted_once_and_by_the_model_in_force(client, prefix, requests, classified) -> None:
    former, _ = classified
    new = f"{prefix}new"
    random = np.random.default_rng(9)
    made = [document(number, random) for number in range(300)]
    truth = [each.pop("tag") for each in made]
    fill(client, new, made)
    wanted = {"index": new, "dest": f"{prefix}tagged"}
    analysis = Analysis.parse({**former.as_dict(), "inference": wanted}, where="test")
    outcome = infer(client, analysis, start=START, end=START + timedelta(minutes=200))
    assert outcome["documents"] == outcome["written"] == 200
    rest = infer(client, analysis)  # goes on an hour before the end of the last
    assert rest["documents"] == 160
    found = {each["@timestamp"]: each["ml"]["tag_prediction"] for each in every(client, wanted["dest"])}
    assert np.mean([found[each["@timestamp"]] == label for each, label in zip(made, truth, strict=True)]) > 0.95
    assert infer(client, analysis)["documents"] == 0  # it ended now, and the data is old
    again = infer(client, analysis, start=START, end=START + timedelta(minutes=200))
    assert again["predicted"] == outcome["predicted"]
    assert client.count(index=wanted["dest"])["count"] == 300


def test_new_documents_of_a_pattern_are_written_once_whatever_indices_it_stands_for(client, prefix, classified) -> None:
    former, _ = classified
    random = np.random.default_rng(9)
    made = [document(number, random) for number in range(60)]
    wanted = {"index": f"{prefix}new-*", "dest": f"{prefix}tagged"}
    analysis = Analysis.parse({**former.as_dict(), "inference": wanted}, where="test")
    fill(client, f"{prefix}new-1", made)
    assert [infer(client, analysis, start=START)["written"] for _ in range(2)] == [60, 60]
    assert client.count(index=wanted["dest"])["count"] == 60
    fill(client, f"{prefix}new-2", made)  # with the same ids
    assert infer(client, analysis, start=START)["written"] == 120
    assert client.count(index=wanted["dest"])["count"] == 120


def test_new_documents_that_are_unlike_what_was_learned_are_told(client, prefix, classified) -> None:
    former, _ = classified
    random = np.random.default_rng(9)
    made = [{**document(number, random), "size": 10**9, "path": "/new", "client": "2001:db8::1"} for number in range(250)]
    fill(client, f"{prefix}strange", made)
    wanted = {"index": f"{prefix}strange", "dest": f"{prefix}tagged"}
    outcome = infer(client, Analysis.parse({**former.as_dict(), "inference": wanted}, where="test"), start=START)
    assert outcome["quality"]["verdict"] == "warn"
    assert any("unlike what the model learned from" in each for each in outcome["quality"]["failed"])


def test_what_the_mapping_makes_of_values_is_read_of_any_number_of_fields(client, prefix) -> None:
    kinds = {
        "whole": "long", "tiny": "byte", "real": "double", "half": "half_float", "yes": "boolean",
        "day": "date", "nanos": "date_nanos", "name": "keyword", "where": "ip", "deep.below": "keyword", "said": "text",
    }  # fmt: skip
    wide = {**kinds, **{f"f{n}": "long" for n in range(120)}}
    properties = {**{name: {"type": kind} for name, kind in wide.items()}, "name": {"type": "keyword", "ignore_above": 5}}
    client.indices.create(index=f"{prefix}wide", mappings={"properties": properties})
    made = [
        {
            "whole": ["7", 3], "tiny": 5.9, "real": "2.5", "half": 0.1, "yes": "true", "day": "2026-03-01",
            "nanos": "2026-03-01T00:00:00.5Z", "name": ["z", "a"], "where": "2001:DB8::1",
            "deep": [{"below": "x"}, {"below": "y"}], "said": "hello there", **{f"f{n}": n for n in range(120)},
        },
        {"name": "too long", "yes": False, "day": 1_772_323_200_000, "deep.below": "z", "whole": None},
    ]  # fmt: skip
    bulk(client, (index_action(f"{prefix}wide", f"d{place}", each) for place, each in enumerate(made)))
    client.indices.refresh(index=f"{prefix}wide")
    first, second = (documents.found(client, f"{prefix}wide", f"d{n}", wide, where="t").to_pylist()[0] for n in (0, 1))
    assert {name: first[name] for name in [*kinds, "f119"]} == {
        "whole": 7, "tiny": 5, "real": 2.5, "half": pytest.approx(0.1, rel=1e-3), "yes": 1, "day": 1_772_323_200_000,
        "nanos": 1_772_323_200_500, "name": "z", "where": "2001:db8::1", "deep.below": "x", "said": "hello there",
        "f119": 119,
    }  # fmt: skip
    told = {name: value for name, value in second.items() if value is not None and name not in documents.OWN}
    assert told == {"yes": 0, "day": 1_772_323_200_000, "deep.below": "z"}


def test_an_index_of_more_fields_than_doc_values_may_be_asked_for_is_analysed(client, prefix) -> None:
    random = np.random.default_rng(1)
    index = f"{prefix}wide"
    client.indices.create(
        index=index, mappings={"properties": {"@timestamp": {"type": "date"}, **{f"f{n}": {"type": "long"} for n in range(120)}}}
    )
    made = [{"@timestamp": iso(START), **{f"f{n}": int(random.integers(100)) for n in range(120)}} for _ in range(60)]
    fill(client, index, made)
    kind = {"regression": {"dependent_variable": "f0", **QUICK, "max_trees": 2}}
    analysis = analysis_of(prefix, index, kind, inference={"dest": f"{prefix}wide-new"})
    assert analyze.run(client, analysis)["written"] == 60
    assert infer(client, analysis)["written"] == 60
    assert predicted.explanation(client, analysis, "d0")["features"]
    strange = analysis_of(prefix, index, {"outlier_detection": {"method": "distance_knn"}}, name=f"{prefix}strange")
    analyze.run(client, strange)
    assert len(predicted.sample(client, strange, predicted.Wanted())["columns"]) == 121


def test_outliers_are_what_was_planted(client, prefix) -> None:
    random = np.random.default_rng(1)
    made = [{"a": float(a), "b": float(b), "kind": "x"} for a, b in random.normal(size=(600, 2))]
    made += [{"a": 9.0 + n, "b": 0.1, "kind": "x"} for n in range(6)]
    made = [{**each, "planted": place >= 600} for place, each in enumerate(made)]
    index = f"{prefix}points"
    client.indices.create(
        index=index, mappings={"properties": {"a": {"type": "double"}, "b": {"type": "double"}, "kind": {"type": "keyword"}}}
    )
    fill(client, index, made)
    more = {"name": f"{prefix}out", "analyzed_fields": {"excludes": ["planted"]}}
    analysis = analysis_of(prefix, index, {"outlier_detection": {}}, **more)
    outcome = analyze.run(client, analysis)
    found = sorted(every(client, analysis.dest.index), key=lambda each: -each["ml"]["outlier_score"])
    assert {each["a"] for each in found[:6]} == {9.0 + n for n in range(6)}
    assert found[0]["ml"]["feature_influence"][0]["feature_name"] == "a"
    assert outcome["evaluation"]["documents"] == 606
    known = evaluate(client, [analysis.dest.index], "outlier_detection", "planted", "ml.outlier_score")
    assert known["auc_roc"]["value"] == 1
    assert known["recall"]["0.75"] == 1
    assert not outcome["promoted"]


def test_models_travel_as_files_and_come_into_force_when_somebody_says_so(client, prefix, classified) -> None:
    analysis, _ = classified
    current = trained.in_force(trained.list_(client, analysis.analytics_id))
    data = trainedmodels.exported(client, current["model_id"])
    with pytest.raises(DefinitionError, match="there is a model"):
        trainedmodels.imported(client, data)
    ask = [
        {"path": "/admin", "size": 50_000, "said": {"keyword": "hostile <script>"}},
        {"path": "/shop", "said": {"keyword": "hello there"}},
    ]
    before = trainedmodels.apply(client, current["model_id"], ask, explained=True)
    assert [each["tag_prediction"] for each in before] == ["attack", "normal"]
    assert before[0]["feature_importance"][0]["feature_name"] == "said.keyword"
    trainedmodels.put_in_force(client, next(each["model_id"] for each in trained.list_(client, analysis.analytics_id)))
    trained.delete(client, analysis.analytics_id, [current["model_id"]])
    other = trainedmodels.imported(client, data, analytics_id=f"{prefix}elsewhere")
    assert trained.in_force([other]) is None
    assert trainedmodels.apply(client, current["model_id"], ask, explained=True) == before
    trainedmodels.put_in_force(client, current["model_id"])
    with pytest.raises(DriftlineError, match="is in force"):
        trainedmodels.delete(client, current["model_id"])
    trained.delete(client, f"{prefix}elsewhere")
    with pytest.raises(SnapshotError, match="there is no trained model"):
        trainedmodels.apply(client, current["model_id"], ask)


def test_a_model_is_asked_whose_definition_would_be_refused_today(client, prefix, classified) -> None:
    analysis, _ = classified
    description = trained.in_force(trained.list_(client, analysis.analytics_id))
    definition = trained.definition(client, description)
    covered = {**analysis.as_dict(), "analytics_id": f"{prefix}old", "source": {"index": [f"{analysis.dest.index}*"]}}
    older = {**description, "model_id": f"{prefix}old-1", "analytics_id": f"{prefix}old"}
    trained.write(client, {**older, "detail": {**description["detail"], "analysis": covered}}, definition)
    (answer,) = trainedmodels.apply(client, older["model_id"], [{"path": "/admin", "size": 50_000}])
    assert answer["tag_prediction"] == "attack"
    data = trainedmodels.exported(client, older["model_id"])
    trained.delete(client, f"{prefix}old")
    assert trainedmodels.imported(client, data)["model_id"] == older["model_id"]
    trained.delete(client, f"{prefix}old")


def test_an_analysis_that_was_stored_before_a_rule_came_is_there_and_its_run_says_what_is_wrong(client, prefix, requests) -> None:
    made = analysis_of(prefix, requests, classification())
    jobs.save_analysis(client, made)
    covered = {**made.as_dict(), "source": {"index": [f"{prefix}*", requests]}}
    client.update(index=JOBS, id=f"analytics:{made.analytics_id}", doc={"definition": covered}, refresh=True)
    try:
        assert made.analytics_id in [each.analytics_id for each in jobs.list_analyses(client)]
        found = jobs.load_analysis(made.analytics_id, client)
        fill(client, made.dest.index, [{"size": 1}])
        with pytest.raises(SourceIndexError, match="which is read from"):
            analyze.run(client, found)
        with pytest.raises(DefinitionError, match="results go into an index of their own"):
            Analysis.parse(found.as_dict(), where="t")
    finally:
        jobs.delete_analysis(client, made.analytics_id)


@pytest.mark.parametrize("data", [b"", b"nothing", b"\x1f\x8b\x08\x00broken"])
def test_files_that_are_no_models_are_refused(client, data: bytes) -> None:
    with pytest.raises(DataError, match="no exported model"):
        trainedmodels.imported(client, data)


BAD = {
    "a label that is not there": (classification(dependent_variable="tagg"), SourceIndexError, "Did you mean 'tag'"),
    "a text as label": (classification(dependent_variable="said"), SourceIndexError, "Use 'said.keyword'"),
    "a name as a number": ({"regression": {"dependent_variable": "tag"}}, SourceIndexError, "expected a number"),
    "a label that nobody has": (classification(dependent_variable="empty"), QualityStopError, "0 documents with a label"),
    "one class only": (classification(dependent_variable="same"), QualityStopError, "There are 1 classes"),
    "ten thousand classes": (classification(dependent_variable="many"), QualityStopError, "1,500 classes; 2 to 100 are expected"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_learned_is_explained_and_nothing_is_written(client, prefix, requests, name: str) -> None:
    kind, error, told = BAD[name]
    analysis = analysis_of(prefix, requests, kind)
    with pytest.raises(error, match=told):
        analyze.run(client, analysis)
    assert not client.indices.exists(index=analysis.dest.index)
    assert trained.list_(client, analysis.analytics_id) == []


def test_fields_that_have_nothing_are_refused(client, prefix, requests) -> None:
    analysis = analysis_of(prefix, requests, classification(), analyzed_fields={"includes": ["empty", "same"]})
    with pytest.raises(QualityStopError, match="0 fields that can be learned from"):
        analyze.run(client, analysis)
    assert not client.indices.exists(index=analysis.dest.index)


def test_a_destination_that_is_the_source_or_somebody_elses_is_refused(client, prefix, requests) -> None:
    client.indices.put_alias(index=requests, name=f"{prefix}alias")
    same = Analysis.parse(
        {**analysis_of(prefix, requests, classification()).as_dict(), "dest": {"index": f"{prefix}alias"}}, where="t"
    )
    with pytest.raises(SourceIndexError, match="which is read from"):
        analyze.run(client, same)
    client.indices.delete_alias(index=requests, name=f"{prefix}alias")
    fill(client, f"{prefix}theirs", [{"size": 1}])
    theirs = Analysis.parse({**same.as_dict(), "dest": {"index": f"{prefix}theirs"}}, where="t")
    with pytest.raises(SourceIndexError, match="holds 1 documents that this analysis did not write"):
        analyze.run(client, theirs)
    assert every(client, f"{prefix}theirs") == [{"size": 1}]


def test_an_index_without_documents_or_that_is_not_there_is_told(client, prefix) -> None:
    with pytest.raises(SourceIndexError, match="the index does not exist"):
        analyze.run(client, analysis_of(prefix, f"{prefix}nowhere", classification()))
    client.indices.create(index=f"{prefix}hollow", mappings=MAPPING)
    with pytest.raises(DataError, match="no document matches"):
        analyze.run(client, analysis_of(prefix, f"{prefix}hollow", classification()))


def tell(capsys, *arguments: str):
    before = sys.argv
    sys.argv = ["driftline", *arguments, "--json"]
    with pytest.raises(SystemExit) as ended:
        main()
    sys.argv = before
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_the_commands_save_run_list_and_delete(client, prefix, requests, tmp_path, capsys) -> None:
    kept = analysis_of(prefix, requests, classification(), name=f"{prefix}cli".replace("_", "-"))
    file = tmp_path / "a.json"
    file.write_text(json.dumps(kept.as_dict()))
    assert tell(capsys, "analytics", "validate", str(file))[1]["label"] == "keyword"
    assert tell(capsys, "analytics", "save", str(file))[1] == {"saved": kept.analytics_id}
    code, outcome = tell(capsys, "analytics", "run", kept.analytics_id)
    assert not code
    assert outcome["written"] == 1500
    listed = {each["id"]: each for each in tell(capsys, "analytics", "list")[1]}
    assert listed[kept.analytics_id]["origin"] == "index"
    assert [each["model_id"] for each in tell(capsys, "models", "list", kept.analytics_id)[1]] == [outcome["model_id"]]
    assert tell(capsys, "models", "describe", outcome["model_id"])[1]["detail"]["classes"] == ["normal", "attack"]
    assert tell(capsys, "models", "export", outcome["model_id"], str(tmp_path / "m.gz"))[1]["bytes"] > 1000
    assert tell(capsys, "analytics", "results", kept.analytics_id)[1]["evaluation"] == outcome["evaluation"]
    assert tell(capsys, "analytics", "delete", kept.analytics_id)[1]["models"] == 1
    assert tell(capsys, "models", "import", str(tmp_path / "m.gz"))[1]["origin"] == "imported"
    trained.delete(client, kept.analytics_id)
    code, error = tell(capsys, "analytics", "run", kept.analytics_id)
    assert code == 2
    assert "there is no analytics" in error["what"]


def test_an_id_is_not_given_twice(client, prefix, requests) -> None:
    made = analysis_of(prefix, requests, classification(), name="demo-endpoints")
    with pytest.raises(DefinitionError, match="taken"):
        jobs.save_analysis(client, made)


def test_rows_are_indexed_with_what_the_model_says(client, prefix, classified, tmp_path, monkeypatch) -> None:
    analysis, _ = classified
    jobs.save_analysis(client, analysis)
    random = np.random.default_rng(12)
    made = [document(number, random) for number in range(200)]
    file = tmp_path / "rows.ndjson"
    file.write_text("".join(json.dumps({key: value for key, value in each.items() if key != "tag"}) + "\n" for each in made))
    source = Source.parse(
        {
            "source_id": f"{prefix}rows",
            "index": f"{prefix}rows",
            "files": {"paths": str(file), "final": True},
            "predict": analysis.analytics_id,
        },
        where="test",
    )
    ingest(client, source)
    client.indices.refresh(index=source.index)
    found = {each["@timestamp"]: each["ml"] for each in every(client, source.index)}
    assert len(found) == 200
    assert all(each["tag_prediction"] in {"attack", "normal"} for each in found.values())
    assert not any(each["is_training"] for each in found.values())
    jobs.delete_analysis(client, analysis.analytics_id)
    with pytest.raises(DefinitionError, match="there is no analytics"):
        Tagger(client, analysis.analytics_id)
