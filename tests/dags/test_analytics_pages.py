"""Analyses of documents in the REST API and in a real browser: made by the wizard, run, looked at, and new documents tagged."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from dag_definitions import airflow_knows
from dag_explored import HOSTILE, accessible, watched

from driftline.core.analysis import Analysis
from driftline.elastic import trained
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline import analyze
from driftline.pipeline.infer import infer
from driftline.pipeline.jobs import delete_analysis, load_analysis, save_analysis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Page

KEYWORD = {"type": "keyword"}
FIELDS = {
    "@timestamp": {"type": "date"},
    "url": KEYWORD,
    "tag": KEYWORD,
    "bytes": {"type": "long"},
    "seconds": {"type": "double"},
}
QUICK = {"max_optimization_rounds_per_hyperparameter": 0}
ROWS, NEW = 1_000, 200
Asked = Any


def document(number: int, random: np.random.Generator) -> dict[str, Any]:
    """A request; what it is shows in its path and size, but not always."""
    tag = str(random.choice(["normal", "scanner", HOSTILE], p=[0.7, 0.2, 0.1]))
    paths = {"normal": ["/", "/cart", "/orders"], "scanner": ["/admin", "/.env", "/"], HOSTILE: ["/login", HOSTILE]}
    size = int(random.lognormal({"normal": 8, "scanner": 6, HOSTILE: 7}[tag], 0.8))
    moment = f"2026-03-{1 + number // 500:02}T{number % 24:02}:00:00Z"
    seconds = float(np.log1p(size) + random.normal() * 0.2)
    return {"@timestamp": moment, "url": str(random.choice(paths[tag])), "bytes": size, "seconds": seconds, "tag": tag}


@pytest.fixture(scope="module")
def index(client: Elasticsearch, module_prefix: str) -> str:
    """A labelled index; of one document in ten nobody knows what it is."""
    random = np.random.default_rng(7)
    rows = [document(number, random) for number in range(ROWS)]
    for row in rows[::10]:
        del row["tag"]
    name = f"{module_prefix}tagged"
    client.indices.create(index=name, mappings={"properties": FIELDS}, settings={"number_of_replicas": 0})
    bulk(client, (index_action(name, f"d/{number}", row) for number, row in enumerate(rows)))
    client.indices.refresh(index=name)
    return name


def made(name: str, index: str, kind: dict[str, Any], **more: Any) -> Analysis:
    definition = {"analytics_id": name, "source": {"index": index}, "dest": {"index": f"{name}-out"}, "analysis": kind, **more}
    return Analysis.parse(definition, where="test")


@pytest.fixture(scope="module")
def classified(client: Elasticsearch, module_prefix: str, index: str) -> Iterator[Analysis]:
    """A classification that was run."""
    kind = {"classification": {"dependent_variable": "tag", **QUICK}}
    analysis = made(f"{module_prefix}cls", index, kind, description=HOSTILE)
    save_analysis(client, analysis)
    analyze.run(client, analysis)
    yield analysis
    delete_analysis(client, analysis.analytics_id)


@pytest.fixture
def ask(site: str, token_of: Callable[[str], str]) -> Callable[..., httpx.Response]:
    """Asks the REST API as a user."""

    def asked(method: str, path: str, user: str = "viewer", **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token_of(user)}"}
        return httpx.request(method, f"{site}/driftline/api/v1/{path}", headers=headers, trust_env=False, timeout=60, **options)

    return asked


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, site: str, token_of: Callable[[str], str]) -> Iterator[Page]:
    """A tab of somebody who may only look; nothing may come from elsewhere or be said on the console."""
    with watched(browser, site, token_of("viewer"), request.param) as tab:
        yield tab


def test_results_are_paged_filtered_and_sorted_with_errors_first(
    ask: Callable[..., httpx.Response], classified: Analysis
) -> None:
    path = f"analytics/{classified.analytics_id}"
    evaluation = ask("GET", f"{path}/evaluation").json()["evaluation"]
    matrix = {
        (row["actual_class"], cell["predicted_class"]): cell["count"]
        for row in evaluation["multiclass_confusion_matrix"]["confusion_matrix"]
        for cell in row["predicted_classes"]
    }
    for (actual, predicted), count in [(cell, count) for cell, count in matrix.items() if cell[0] == "normal"]:
        wanted = {"actual": actual, "predicted": predicted, "part": "held_back", "size": 1}
        assert ask("GET", f"{path}/results", params=wanted).json()["total"] == count
    wrong = sum(count for (actual, predicted), count in matrix.items() if actual != predicted)
    assert wrong > 0
    rows = ask("GET", f"{path}/results", params={"part": "held_back", "size": wrong + 5}).json()["rows"]
    assert [row["actual"] != row["predicted"] for row in rows] == [True] * wrong + [False] * 5
    losses = [row["result"]["driftline"]["loss"] for row in rows[:wrong]]
    assert losses == sorted(losses, reverse=True)
    second = ask("GET", f"{path}/results", params={"part": "held_back", "size": 3, "first": 2}).json()["rows"]
    assert [row["id"] for row in second] == [row["id"] for row in rows[2:5]]
    totals = {
        part: ask("GET", f"{path}/results", params={"part": part}).json()["total"]
        for part in ("training", "held_back", "unlabelled")
    }
    assert (totals["unlabelled"], sum(totals.values())) == (ROWS / 10, ROWS)
    found = ask("GET", f"{path}/results", params={"field": "url", "value": HOSTILE, "size": 500}).json()
    assert {row["document"]["url"] for row in found["rows"]} == {HOSTILE}
    refused = ask("GET", f"{path}/results", params={"sort": "error"})
    assert (refused.status_code, "has no 'error'" in refused.json()["message"]) == (400, True)


def test_one_document_is_explained_by_the_model_that_predicted_it(
    ask: Callable[..., httpx.Response], classified: Analysis
) -> None:
    path = f"analytics/{classified.analytics_id}"
    row = ask("GET", f"{path}/results", params={"field": "url", "value": "/.env", "size": 1}).json()["rows"][0]
    assert "/" in row["id"]
    told = ask("GET", f"{path}/results/{row['id'].replace('/', '%2F')}/explain").json()
    assert (told["predicted"], told["actual"], told["document"]) == (row["predicted"], row["actual"], row["document"])
    first = next(each for each in told["features"] if each["feature_name"] == "url")
    assert first["value"] == "/.env"
    towards = {each["class_name"]: each["importance"] for each in first["classes"]}
    assert towards["scanner"] > 0 > towards["normal"]
    assert ask("GET", f"{path}/results/no-such/explain").status_code == 404


def test_an_analysis_is_made_checked_changed_and_deleted_by_those_who_may(
    ask: Callable[..., httpx.Response], module_prefix: str, index: str
) -> None:
    name = f"{module_prefix}api"
    kind = {"regression": {"dependent_variable": "seconds", **QUICK}}
    definition = {"source": {"index": index}, "dest": {"index": f"{name}-out"}, "analysis": kind}
    assert ask("PUT", f"analytics/{name}", json=definition).status_code == 403
    assert ask("POST", "analytics/validate", json=definition).status_code == 403
    checked = ask("POST", "analytics/validate", "admin", json={**definition, "analytics_id": name}).json()
    assert (checked["valid"], checked["documents"], checked["label"], "tag" in checked["fields"]) == (True, ROWS, "double", True)
    created = ask("PUT", f"analytics/{name}", "admin", json=definition)
    assert (created.status_code, created.json()["created"]) == (201, True)
    assert ask("PUT", f"analytics/{name}", "admin", json={**definition, "description": "x"}).json()["created"] is False
    found = ask("GET", f"analytics/{name}").json()
    assert (found["type"], found["definition"]["description"], found["models"]) == ("regression", "x", [])
    assert name in {each["id"] for each in ask("GET", "analytics").json()["analytics"]}
    stats = ask("GET", f"analytics/{name}/stats").json()
    assert (stats["state"], stats["dag"], stats["run"], stats["last"]) == ("stopped", None, None, None)
    assert ask("GET", f"analytics/{name}/evaluation").status_code == 404
    assert ask("POST", f"analytics/{name}/infer", "admin").status_code == 409
    assert ask("DELETE", f"analytics/{name}", "admin").status_code == 200
    assert ask("GET", f"analytics/{name}").status_code == 404


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"source": {"index": "no-such-index"}}, "no such index"),
        ({"analysis": {"classification": {"dependent_variable": "tagg"}}}, "did you mean 'tag'"),
        ({"analysis": {"regression": {"dependent_variable": "url"}}}, "is of type keyword"),
        ({"analyzed_fields": {"includes": ["ur"]}}, "no field 'ur'"),
        ({"analysis": {"clustering": {}}}, "clustering"),
        ({"dest": "somewhere"}, "dest"),
    ],
)
def test_what_is_wrong_with_an_analysis_is_said(
    ask: Callable[..., httpx.Response], module_prefix: str, index: str, change: dict[str, Any], told: str
) -> None:
    kind = {"classification": {"dependent_variable": "tag"}}
    name = f"{module_prefix}wrong"
    definition = {"analytics_id": name, "source": {"index": index}, "dest": {"index": f"{name}-out"}, "analysis": kind, **change}
    checked = ask("POST", "analytics/validate", "admin", json=definition).json()
    assert checked["valid"] is False
    assert told in f"{checked['problems']} {checked['where']} {checked['fix']}".lower()
    assert ask("PUT", f"analytics/{name}", "admin", json=definition).status_code in (400, 404)


def test_an_analysis_of_elastic_is_taken_over_with_notes(
    ask: Callable[..., httpx.Response], client: Elasticsearch, module_prefix: str, index: str
) -> None:
    name = f"{module_prefix}imported"
    kind = {"classification": {"dependent_variable": "tag", "training_percent": 100}}
    config = {"id": name, "source": {"index": [index]}, "dest": {"index": f"{name}-out"}, "analysis": kind, "version": "8.1"}
    assert ask("POST", "analytics/import", json={"config": config}).status_code == 403
    tried = ask("POST", "analytics/import", "admin", json={"config": config, "dry_run": True}).json()
    assert (tried["created"], ask("GET", f"analytics/{name}").status_code) == (None, 404)
    kept = ask("POST", "analytics/import", "admin", json={"config": config}).json()
    assert any("80 instead of 100" in note for note in kept["notes"])
    assert load_analysis(name, client).source.index == [index]
    delete_analysis(client, name)


def test_models_are_listed_taken_along_brought_back_and_put_in_force(
    ask: Callable[..., httpx.Response], client: Elasticsearch, classified: Analysis
) -> None:
    name = classified.analytics_id
    (model,) = ask("GET", "trained_models", params={"analytics_id": name}).json()["trained_models"]
    assert (model["in_force"], model["dependent_variable"]) == (True, "tag")
    path = f"trained_models/{model['model_id']}"
    assert ask("GET", path).json()["detail"]["classes"][0] == "normal"
    packed = ask("GET", f"{path}/export").content
    assert ask("DELETE", path).status_code == 403
    assert ask("DELETE", path, "admin").status_code == 400  # it is in force
    said = ask("POST", f"{path}/infer", json={"docs": [{"url": "/.env", "bytes": 300}], "explained": True}).json()
    assert said["inference_results"][0]["tag_prediction"] == "scanner"
    assert said["inference_results"][0]["feature_importance"]
    other = f"{name}-copy"
    where = {"analytics_id": other}
    assert ask("POST", "trained_models/import", params=where, content=packed).status_code == 403
    again = ask("POST", "trained_models/import", "admin", params=where, content=packed)
    assert (again.status_code, "there is a model" in again.json()["message"]) == (400, True)
    assert ask("POST", "trained_models/import", "admin", params=where, content=b"no model").status_code == 400
    # as if another installation had sent it
    description = trained.describe(client, model["model_id"])
    trained.delete(client, name, [model["model_id"]])
    brought = ask("POST", "trained_models/import", "admin", params={"analytics_id": name}, content=packed)
    assert (brought.status_code, brought.json()["origin"]) == (201, "imported")
    assert ask("GET", path).json()["in_force"] is False
    assert ask("POST", f"{path}/promote").status_code == 403
    assert ask("POST", f"{path}/promote", "admin").json()["analytics_id"] == name
    assert ask("GET", path).json()["in_force"] is True
    trained.write(
        client, {**description, "origin": "trained"}, trained.definition(client, trained.describe(client, model["model_id"]))
    )


def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    ask: Callable[..., httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    from driftline_airflow.web.api import trained_models

    monkeypatch.setattr(trained_models, "LARGEST", 1000)
    refused = ask("POST", "trained_models/import", "admin", params={"analytics_id": "any"}, content=b"x" * 1001)
    assert refused.status_code == 413


def test_the_results_can_be_seen_and_looked_into(page: Page, classified: Analysis) -> None:
    page.goto(f"/driftline/analytics/{classified.analytics_id}")
    page.locator("#matrix button").first.wait_for()
    assert HOSTILE in page.locator("#matrix").inner_text()
    assert "Accuracy" in page.locator("#good").inner_text()
    page.locator("#curves .legend").wait_for()
    page.locator("#importance .barlayer").wait_for()
    page.locator("#rows tbody tr").first.wait_for()
    assert "✗" in page.locator("#rows tbody tr").first.inner_text()
    assert page.get_by_role("button", name="Start").count() == 0
    cell = page.get_by_role("button", name=re.compile("^normal, predicted scanner: "))
    many = int(re.search(r": (\d+) documents", cell.get_attribute("aria-label") or "")[1])  # type: ignore[index]
    cell.press("Enter")
    page.get_by_text(f"{many} documents", exact=True).wait_for()
    assert "actual=normal" in page.url
    page.locator("#rows tbody button").first.click()
    page.get_by_role("heading", name="Why: document").wait_for()
    page.locator("#why .bar-of").first.wait_for()
    assert "for the actual normal" in page.locator("#why thead").inner_text()
    accessible(page)
    page.reload()
    page.get_by_text(f"{many} documents", exact=True).wait_for()
    page.locator("#why .bar-of").first.wait_for()


@pytest.fixture
def of_numbers_and_outliers(client: Elasticsearch, module_prefix: str, index: str) -> Iterator[None]:
    """An analysis of each; DAGs of those left behind would be in every bundle."""
    some = {"range": {"bytes": {"lt": 2000}}}
    numbers = {"regression": {"dependent_variable": "seconds", **QUICK}}
    kinds = {"reg": numbers, "out": {"outlier_detection": {"method": "distance_knn"}}}
    for name, kind in kinds.items():
        analysis = made(f"{module_prefix}{name}", index, kind, source={"index": index, "query": some})
        save_analysis(client, analysis)
        analyze.run(client, analysis)
    yield
    for name in kinds:
        delete_analysis(client, f"{module_prefix}{name}")


@pytest.mark.usefixtures("of_numbers_and_outliers")
def test_numbers_and_outliers_have_charts_of_their_own(editor: Page, module_prefix: str) -> None:
    editor.goto(f"/driftline/analytics/{module_prefix}reg")
    editor.locator("#residuals .points path").first.wait_for(state="attached")
    assert "R²" in editor.locator("#good").inner_text()
    editor.locator("#rows tbody tr td:nth-child(3)").first.wait_for()
    off = editor.locator("#rows tbody tr td:nth-child(3)").all_inner_texts()
    assert abs(float(off[0])) == max(abs(float(each)) for each in off)
    editor.locator("#rows tbody button").first.click()
    editor.locator("#why .bar-of").first.wait_for()
    accessible(editor)
    editor.goto(f"/driftline/analytics/{module_prefix}out")
    editor.locator("#splom .points path").first.wait_for(state="attached")
    assert editor.locator("#splom .xy, #splom .x2y2").count() > 0
    editor.get_by_role("checkbox", name="tag").uncheck()
    editor.locator("#rows tbody tr").first.wait_for()
    accessible(editor)


def test_the_list_and_the_models_tell_how_good_they_are(page: Page, classified: Analysis) -> None:
    page.goto("/driftline/analytics")
    row = page.locator(f"tr[data-analysis='{classified.analytics_id}']")
    row.get_by_text("accuracy").wait_for()
    row.get_by_text("1 trained").wait_for()
    assert page.get_by_role("link", name="Create an analysis").count() == 0
    accessible(page)
    row.get_by_role("link", name="1 trained").click()
    page.get_by_text("in force", exact=True).wait_for()
    page.get_by_role("button", name="Describe").click()
    page.locator("#detail-body dl").wait_for()
    assert HOSTILE in page.locator("#detail-body").inner_text()
    assert page.get_by_role("button", name="Delete").count() == 0
    accessible(page)


def test_of_a_pattern_a_destination_is_proposed_that_it_does_not_cover(editor: Page, index: str) -> None:
    editor.goto(f"/driftline/new-analysis?index={index}*")
    editor.get_by_text("This can be created.").wait_for()
    assert editor.get_by_label("Destination index").input_value() == f"analytics-{index}-classification"
    editor.get_by_label("Destination index").fill(f"{index}-classification")
    editor.get_by_text(f"is read from (by '{index}*')").wait_for()


def test_the_tutorial_a_labelled_index_becomes_a_model_that_tags_new_data(
    editor: Page, client: Elasticsearch, module_prefix: str, index: str
) -> None:
    name = f"{module_prefix}tutorial"
    editor.goto(f"/driftline/new-analysis?index={index}")
    editor.get_by_text("3 classes: normal").wait_for()  # a field that is called tag is proposed
    assert editor.get_by_label("Dependent variable").input_value() == "tag"
    assert editor.get_by_label("Destination index").input_value() == f"{index}-classification"
    editor.get_by_label("Id", exact=True).fill("Not An Id")
    editor.locator("#problems .error").first.wait_for()
    editor.get_by_label("Id", exact=True).fill(name)
    editor.get_by_label("seconds double").uncheck()
    editor.get_by_text("3 of 4 fields").wait_for()
    editor.get_by_text("Hyperparameters").click()
    editor.get_by_label("Rounds of the search").fill("0")
    new = {"new_index": f"{name}-new", "new_dest": f"{name}-tagged"}
    editor.get_by_label("give new documents predictions").check()
    for field, value in new.items():
        editor.locator(f"[name={field}]").fill(value)
    editor.get_by_text("This can be created.").wait_for()
    accessible(editor)
    editor.get_by_role("button", name="Create and start").click()
    editor.get_by_text(f"{name}.analyze appears within seconds").wait_for()
    assert set(airflow_knows(name)) == {f"{name}.analyze", f"{name}.infer"}
    editor.wait_for_url(f"**/analytics/{name}")
    editor.get_by_text("train: waits").wait_for()  # no worker is there: the test does its work
    analysis = load_analysis(name, client)
    assert analysis.analyzed_fields.excludes == ["seconds"]
    analyze.run(client, analysis)
    _ended(f"{name}.analyze")
    editor.locator("#matrix button").first.wait_for()
    editor.locator("#run .badge", has_text="success").wait_for()
    editor.get_by_role("link", name="trained models").click()
    editor.get_by_text("in force", exact=True).wait_for()
    editor.go_back()
    editor.get_by_role("button", name="Predict for new documents").click()
    editor.get_by_text("The DAG for new documents has started.").wait_for()
    random = np.random.default_rng(8)
    fresh = [document(number, random) for number in range(NEW)]
    known = [each.pop("tag") for each in fresh]
    client.indices.create(index=f"{name}-new", mappings={"properties": FIELDS}, settings={"number_of_replicas": 0})
    bulk(client, (index_action(f"{name}-new", str(number), row) for number, row in enumerate(fresh)))
    client.indices.refresh(index=f"{name}-new")
    infer(client, analysis)
    hits = client.search(index=f"{name}-tagged", size=NEW)["hits"]["hits"]
    right = sum(hit["_source"]["ml"]["tag_prediction"] == known[int(hit["_id"])] for hit in hits)
    assert len(hits) == NEW
    assert right / NEW > 0.85  # 0.7 are normal
    delete_analysis(client, name)


def _ended(dag_id: str) -> None:
    """Says of the only run of a DAG that it has succeeded, as the scheduler would."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, TaskInstanceState

    with create_session() as session:
        run = session.query(DagRun).filter(DagRun.dag_id == dag_id).one()
        run.state = DagRunState.SUCCESS
        for task in run.task_instances:
            task.state = TaskInstanceState.SUCCESS


def test_a_run_is_started_followed_and_stopped_by_those_who_may(
    ask: Callable[..., httpx.Response], client: Elasticsearch, classified: Analysis
) -> None:
    from driftline_airflow.links import ResultsLink

    name = classified.analytics_id
    write = airflow_knows(name)[f"{name}.analyze"].get_task("write")
    assert ResultsLink().get_link(write, ti_key=None) == f"/driftline/analytics/{name}"
    path = f"analytics/{name}"
    assert ask("POST", f"{path}/start").status_code == 403
    started = ask("POST", f"{path}/start", "admin")
    assert started.status_code == 202
    again = ask("POST", f"{path}/start", "admin").json()
    assert again["run_id"] == started.json()["run_id"], "who asks twice gets the run that is under way"
    stats = ask("GET", f"{path}/stats").json()
    assert (stats["state"], stats["run"]["run_id"], stats["run"]["progress"]) == ("started", started.json()["run_id"], 0.0)
    assert {task["task_id"] for task in stats["run"]["tasks"]} >= {"read", "gate", "train", "evaluate", "write"}
    assert ask("POST", f"{path}/stop", "admin").json()["stopped"] == [started.json()["run_id"]]
    assert ask("GET", f"{path}/stats").json()["state"] == "failed"
    assert ask("GET", f"{path}/runs").json()["count"] == 1


def test_the_tab_of_its_dags_leads_to_an_analysis_and_a_viewer_may_make_none(site: str, token_of: Callable[[str], str]) -> None:
    headers = {"Cookie": f"_token={token_of('viewer')}"}
    tab = httpx.get(f"{site}/driftline/explorer?dag_id=some-thing.infer", headers=headers, trust_env=False, timeout=60)
    assert (tab.status_code, tab.headers["location"]) == (307, "analytics/some-thing")
    assert httpx.get(f"{site}/driftline/new-analysis", headers=headers, trust_env=False, timeout=60).status_code == 403
