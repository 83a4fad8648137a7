"""What the scripts of pages do with answers that fail, are slow, or come in another order than they were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scripted import HOUR, T0, Asked, Script, explorer_page, nothing, record, series_page, view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Script]]:
    """Opens a page whose API is answered by a function; afterwards: no script has failed."""
    said: list[str] = []
    contexts = []

    def open_page(answer: Callable[[Asked], Any], template: str, zone: str | None = None, **values: Any) -> Script:
        contexts.append(browser.new_context(timezone_id=zone, viewport={"width": 1200, "height": 800}))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(60_000)
        tab.on("pageerror", lambda error: said.append(str(error)))
        script = Script(tab, answer)
        script.open(template, **values)
        return script

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


NEW_JOB = {"template": "new_job.html", "state": {"functions": {"count": {"field": None}}, "index": "logs"}}
NEW_ANALYSIS = {
    "template": "new_analysis.html",
    "state": {"types": {"numbers": ["long"], "classes": ["keyword"]}, "index": None},
}


def keywords(*names: str) -> dict[str, Any]:
    fields = [{"name": "@timestamp", "type": "date"}, *({"name": name, "type": "keyword"} for name in names)]
    return {"count": len(fields), "fields": fields}


def test_a_new_job_takes_no_id_that_is_taken_and_may_be_saved_again(opened: Callable[..., Script]) -> None:
    taken = ["mine"]

    def answer(asked: Asked) -> Any:
        if asked.method != "PUT":
            return keywords("url") if asked.path == "draft/fields" else {**nothing(asked), "dags": {"score": None}}
        name = asked.path.removeprefix("jobs/")
        if asked.query["create"] == ["true"] and name in taken:
            return 409, {"detail": f"The id '{name}' is taken."}
        taken.append(name)
        return {}

    script = opened(answer, **NEW_JOB)
    tab = script.tab
    tab.get_by_text("fields can be used").wait_for()
    tab.get_by_label("Id", exact=True).fill("mine")
    tab.get_by_text("This can be saved.").wait_for()
    tab.get_by_role("button", name="Save").click()
    tab.locator("#problems", has_text="The id 'mine' is taken.").wait_for()
    assert tab.locator("#made").is_hidden()
    tab.get_by_label("Id", exact=True).fill("other")
    tab.get_by_text("This can be saved.").wait_for()
    for times in (1, 2):
        tab.get_by_role("button", name="Save").click()
        tab.get_by_role("heading", name="The job is saved").wait_for()
        while taken.count("other") < times:
            tab.wait_for_timeout(10)
    script.answer = lambda asked: None if asked.method == "PUT" else answer(asked)
    before = len(script.asked)
    tab.get_by_role("button", name="Save").dblclick()
    script.release({})
    assert [each.method for each in script.asked[before:] if each.method == "PUT"] == ["PUT"]


def test_of_two_lanes_that_were_chosen_the_last_is_shown_however_late_the_other_comes(opened: Callable[..., Script]) -> None:
    def answer(asked: Asked) -> Any:
        if asked.path != "records":
            return nothing(asked)
        partition = asked.query.get("partition", [""])[0]
        return None if partition == "/a" else {"count": 1, "records": [record(partition)]}

    script = opened(answer, **explorer_page())
    names = script.tab.locator("#lanes .name button")
    names.first.click()
    names.nth(1).click()
    script.tab.locator("#records tbody tr", has_text="/b").wait_for()
    script.release({"count": 1, "records": [record("/a")]})
    assert script.tab.locator("#records tbody td").nth(3).inner_text() == "/b"
    assert script.tab.locator("#charts figcaption").first.inner_text().startswith("/b")


def test_charts_are_of_what_was_chosen_though_the_table_is_sorted_at_once(opened: Callable[..., Script]) -> None:
    first = {"count": 1, "records": [record("/a")]}
    script = opened(lambda asked: first if asked.path == "records" else nothing(asked), **explorer_page())
    script.tab.locator("#charts svg").wait_for()
    script.answer = lambda asked: None if asked.path == "records" else nothing(asked)
    script.tab.locator("#lanes .name button").nth(1).click()
    script.tab.get_by_role("button", name="Time (UTC)").click()
    script.release(first)
    script.release({"count": 1, "records": [record("/b")]})
    script.tab.locator("#charts figcaption", has_text="/b").wait_for()


@pytest.mark.parametrize(
    ("page", "offered"), [(NEW_JOB, "[name=partition_field_name]"), (NEW_ANALYSIS, "[name=dependent_variable]")]
)
def test_fields_are_those_of_the_index_that_was_named_last(
    opened: Callable[..., Script], page: dict[str, Any], offered: str
) -> None:
    def answer(asked: Asked) -> Any:
        if asked.path == "draft/fields":
            return None if asked.query["index"] == ["slow"] else keywords("url")
        return nothing(asked)

    script = opened(answer, **page)
    index = script.tab.locator("[name=index]")
    for name in ("slow", "logs"):
        index.fill(name)
        index.blur()
    script.tab.locator(f"{offered} option[value=url]").wait_for(state="attached")
    script.release(keywords("only_in_slow"))
    assert "only_in_slow" not in script.tab.locator(offered).inner_text()


def test_a_row_that_was_ticked_while_the_next_page_came_is_not_released(opened: Callable[..., Script]) -> None:
    def rows(first: int) -> dict[str, Any]:
        one = {"index": "i", "source_id": "src", "path": "a.log", "offset": 0, "check": "range", "reason": "", "raw": "x"}
        found = [{**one, "id": f"id-{n}", "line": n, "time": T0, "added": T0} for n in range(first, first + 50)]
        return {"total": 100, "checks": {}, "rows": found}

    wanted = {"source": "", "check": "", "reason": "", "file": "", "start": "", "end": "", "moment": "added", "state": "open"}
    page = {"template": "quarantine.html", "sources": ["src"], "checks": ("range",), "chosen": wanted}
    script = opened(
        lambda asked: rows(0) if asked.query["first"] == ["0"] else None, **page, state={"wanted": wanted, "editable": ["src"]}
    )
    script.tab.get_by_role("button", name="Next page").click()
    script.tab.locator("#rows tbody input").nth(3).check()
    script.release(rows(50))
    script.tab.get_by_text("a.log:50").wait_for()
    assert script.tab.locator("#selected").inner_text() == "Nothing is selected"
    assert script.tab.get_by_role("button", name="Release").is_disabled()


def sent(asked: Asked) -> Any:
    """Two documents in each bucket but that of 01:00, which has none."""
    if asked.path.endswith("series/documents"):
        start = asked.query["start"][0]
        found = [] if "T01:00" in start else [{"_index": "i", "_id": "1", "_source": {"@timestamp": start, "url": "/a"}}]
        return {"total": 120 * len(found), "documents": found}
    return {"series": []} if asked.path.endswith("explain") else nothing(asked)


def documents_at(script: Script, at: str) -> None:
    """Shows the documents of the bucket that holds a moment."""
    script.tab.locator("#at").fill(at)
    script.tab.get_by_role("button", name="Raw documents").click()


def test_a_time_is_in_utc_wherever_the_browser_is(opened: Callable[..., Script]) -> None:
    script = opened(sent, zone="Europe/Berlin", **series_page())
    script.tab.locator("#chart .main-svg").first.wait_for()
    for text, start in (("2026-03-24 10:20", "10:00"), ("2026-03-24T10:20+02:00", "08:00"), ("2026-03-24", "00:00")):
        documents_at(script, text)
        script.tab.locator("#raw-tools", has_text=f"from 2026-03-24 {start}").wait_for()
    script.tab.evaluate("document.getElementById('chart').emit('plotly_click', {points: [{x: '2026-03-24 15:00'}]})")
    assert script.tab.locator("#at").input_value() == "2026-03-24T15:00:00Z"


def test_documents_after_an_empty_bucket_have_columns_and_a_click_on_the_chart_leaves_them(opened: Callable[..., Script]) -> None:
    script = opened(sent, **series_page())
    tab, told = script.tab, script.tab.locator("#raw-tools > span")
    tab.locator("#chart .main-svg").first.wait_for()
    documents_at(script, "2026-03-24T01:00Z")
    tab.get_by_text("0 documents").wait_for()
    documents_at(script, "2026-03-24T02:00Z")
    tab.locator("#raw-table td", has_text="/a").wait_for()
    assert tab.locator("#raw-table th").all_inner_texts() == ["@timestamp", "url"]
    tab.evaluate("document.getElementById('chart').emit('plotly_click', {points: [{x: '2026-03-24 15:00'}]})")
    assert tab.locator("#at").input_value() == "2026-03-24T15:00:00Z"
    tab.locator("#raw-tools summary").click()
    tab.get_by_label("url", exact=True).last.uncheck()
    assert "02:00 to 2026-03-24 03:00" in told.inner_text()
    tab.get_by_label("url", exact=True).last.check()  # the list is still open
    tab.get_by_role("button", name="Next").click()
    last = script.of("documents")[-1].query
    assert (last["start"], last["offset"]) == (["2026-03-24T02:00:00Z"], ["50"])


def test_the_filter_looks_at_all_anomalies_once_it_is_typed(opened: Callable[..., Script]) -> None:
    def answer(asked: Asked) -> Any:
        if asked.path != "records":
            return nothing(asked)
        return {"count": 1 if "q" in asked.query else 300, "records": [record("/p120" if "q" in asked.query else "/other")]}

    script = opened(answer, **explorer_page())
    script.tab.get_by_role("button", name="Next").click()
    script.tab.get_by_text("51 to 51").wait_for()
    script.stop_clock()  # or slow keys would be asked for one by one
    script.tab.locator("#filter").press_sequentially("/p120")
    script.tab.clock.run_for(300)
    script.tab.locator("#records td", has_text="/p120").wait_for()
    assert script.tab.locator("#count").inner_text() == "1 anomalies"
    assert "q=%2Fp120" in str(script.tab.locator("#csv").get_attribute("href"))
    filtered = [each.query for each in script.of("records") if "q" in each.query]
    assert [(each["q"], each["offset"]) for each in filtered] == [(["/p120"], ["0"])]


def test_why_is_asked_of_the_whole_series_and_an_error_is_shown_as_it_is(opened: Callable[..., Script]) -> None:
    told = "a detector that compares is not explained bucket by bucket"

    def answer(asked: Asked) -> Any:
        return (400, {"message": told}) if asked.path.endswith("explain") else nothing(asked)

    script = opened(answer, **series_page((("partition", "host"), ("by", "url")), partition="A", by="x", detector=0))
    script.tab.locator("#at").fill("2026-03-24T02:00Z")
    script.tab.get_by_role("button", name="Why no anomaly here?").click()
    script.tab.locator("#why-text", has_text=told).wait_for()
    whole = {"detector": ["0"], "partition": ["A"], "by": ["x"], "at": ["2026-03-24T02:00Z"]}
    assert [each.query for each in script.of("explain")] == [whole]


def test_a_value_without_neighbours_is_drawn_and_a_band_ends_where_nothing_was_expected(opened: Callable[..., Script]) -> None:
    sparse = view(48, actual=[10.0 if n % 2 == 0 else None for n in range(48)])
    for name in ("lower", "typical", "upper"):
        sparse[name][10:38] = [None] * 28
    script = opened(lambda asked: sparse if asked.path.endswith("series/values") else nothing(asked), **series_page())
    script.tab.locator("#chart .scatterlayer .points path").nth(23).wait_for()
    inside = """([at, value]) => {
        const {xaxis, yaxis} = document.querySelector('#chart')._fullLayout;
        const point = document.querySelector('#chart svg').createSVGPoint();
        [point.x, point.y] = [xaxis.d2p(at), yaxis.d2p(value)];
        return [...document.querySelectorAll('#chart .cartesianlayer .js-fill')].some((band) => band.isPointInFill(point));
    }"""
    assert [script.tab.evaluate(inside, [T0 + n * HOUR, 6]) for n in (5, 24, 44)] == [True, False, True]
    small = """async (view) => {
        const {plot} = await import('./static/plot.js');
        const drawn = plot(view);
        return [drawn.querySelectorAll('.alone').length, drawn.querySelectorAll('.band').length];
    }"""
    assert script.tab.evaluate(small, sparse) == [24, 2]


def test_two_clicks_start_one_run_and_a_poll_that_fails_is_told_and_repeated(opened: Callable[..., Script]) -> None:
    dag = {"is_paused": False, "next_run": None, "last_run": None}
    health = {
        "dags": dict.fromkeys(("train", "score", "forecast"), dag), "scored_until": None, "problem": None, "lag_seconds": 0,
        "snapshot": None, "alarms_last_week": 0, "quality": {},
    }  # fmt: skip
    job = {"id": "web", "error": None, "description": "", "detectors": "count"}
    script = opened(
        lambda asked: health if asked.path.endswith("health") else None,
        template="jobs.html", jobs=[job], state={"may_edit": True},
    )  # fmt: skip
    script.tab.get_by_role("button", name="Train", exact=True).dblclick()
    script.release({"run_id": "r1"})
    assert len([each for each in script.asked if each.method == "POST"]) == 1
    script.release((503, {"message": "Elasticsearch cannot be reached."}))
    script.tab.locator("[data-of=last]", has_text="Elasticsearch cannot be reached.").wait_for()
    script.release({"state": "running", "progress": 0.2})
    script.tab.get_by_role("button", name="Cancel").wait_for()


def test_more_lanes_are_asked_for_once_and_an_error_is_told(opened: Callable[..., Script]) -> None:
    script = opened(lambda asked: None if asked.path == "lanes" else nothing(asked), **explorer_page())
    more = script.tab.locator("#more-lanes button")
    more.dblclick()
    script.release({"lanes": [{"key": "/more", "max_score": 50, "cells": [[T0, 50]]}]})
    script.tab.locator("#lanes .name button", has_text="/more").wait_for()
    assert script.tab.locator("#lanes .name button").all_inner_texts() == ["/a", "/b", "/more"]
    more.click()
    script.release((503, {"message": "Elasticsearch is away."}))
    script.tab.locator("#told", has_text="Elasticsearch is away.").wait_for()
    assert len(script.of("lanes")) == 2


def test_one_key_asks_once_however_often_lanes_were_drawn(opened: Callable[..., Script]) -> None:
    script = opened(nothing, **explorer_page())
    for _ in range(3):
        script.tab.locator("#lanes .name button").first.click()
    before = len(script.of("records"))
    script.tab.locator(".cell").first.focus()
    script.tab.keyboard.press("Enter")
    script.tab.locator("#selection", has_text="Selected: 2026-03-24 00:00").wait_for()
    assert len(script.of("records")) == before + 1


def test_a_bar_is_over_the_hour_that_it_counts(opened: Callable[..., Script]) -> None:
    found = {
        "hits": 2400, "start": "2026-03-24T00:00:00Z", "end": "2026-03-25T00:00:00Z", "span": 3600, "clients": None,
        "bytes": None, "errors": None, "status_by_time": {"2xx": [100] * 24}, "hits_by_time": [100] * 24, "bytes_by_time": [],
        "times": [T0 + n * HOUR for n in range(24)], "top": {}, "missing": [],
    }  # fmt: skip
    state = {"source": "web", "start": "", "end": "", "filters": {}, "names": {}}
    script = opened(lambda _: found, template="overview.html", sources=["web"], state=state)
    script.tab.locator("#hits .bars .point path").nth(23).wait_for()
    covered = """() => {
        const {x, width} = document.querySelectorAll('#hits .bars .point path')[10].getBBox();
        const {xaxis} = document.getElementById('hits')._fullLayout;
        return [xaxis.p2c(x), xaxis.p2c(x + width)];
    }"""
    begin, end = ((ms - T0) / HOUR for ms in script.tab.evaluate(covered))
    assert begin == pytest.approx(10, abs=0.05)
    assert 10.8 < end < 11


def test_a_band_that_begins_at_nothing_is_on_a_linear_axis(opened: Callable[..., Script]) -> None:
    population = {
        "times": [T0 + n * HOUR for n in range(24)], "low": [0.0] * 24, "typical": [100.0] * 24, "high": [1000.0] * 24,
        "members": [50] * 24, "bucket_span": 3600, "records": [], "total": 0, "top": [], "notes": [],
    }  # fmt: skip
    page = series_page((("over", "user"),), look="population", partition=None, over="eve")
    script = opened(lambda asked: population if asked.path.endswith("population") else nothing(asked), **page)
    script.tab.locator("#crowd .main-svg").first.wait_for()
    assert script.tab.evaluate("document.querySelector('#crowd .chart')._fullLayout.yaxis.type") == "linear"


def test_long_values_that_begin_alike_leave_room_for_the_chart_and_are_rows_of_their_own(opened: Callable[..., Script]) -> None:
    begin = "powershell -enc " + "QUJD" * 90
    about = {"partition": None, "over": None, "score": 90, "at": T0, "sentence": "", "first": T0 - HOUR, "times": [T0]}
    values = [{**about, "value": name, "before": 0, "count": 2, "inside": 1} for name in ("/a", f"{begin}1", f"{begin}2")]
    window = {"start": "2026-03-24T00:00:00Z", "end": "2026-03-25T00:00:00Z"}
    rare = {**window, "documents": 9, "bucket_span": 3600, "total": 3, "records": [], "values": values, "notes": []}
    page = series_page((("by", "process"),), look="rare", partition=None, by="/a")
    script = opened(lambda asked: rare if asked.path.endswith("rare") else nothing(asked), **page)
    script.tab.locator("#crowd .main-svg").first.wait_for()
    width, rows = script.tab.evaluate(
        "(({_fullLayout: {_size, yaxis}}) => [_size.w, yaxis._categories.length])(document.querySelector('#crowd .chart'))"
    )
    assert width > 600
    assert rows == 3


def test_fields_that_are_not_offered_are_told(opened: Callable[..., Script]) -> None:
    many = {**keywords("url"), "count": 12_000}
    script = opened(lambda asked: many if asked.path == "draft/fields" else nothing(asked), **NEW_JOB)
    script.tab.get_by_text("12,000 fields can be used. Only the first 2 by name are offered.").wait_for()


JOBS_PAGE = {
    "template": "jobs.html",
    "jobs": [{"id": "web", "error": None, "description": "", "detectors": ""}],
    "state": {"may_edit": True},
}
HEALTH: dict[str, Any] = {
    "dags": {stage: {"is_paused": False, "last_run": None, "next_run": None} for stage in ("train", "score", "forecast")},
    "scored_until": None, "problem": None, "lag_seconds": 0, "snapshot": None, "alarms_last_week": 0, "quality": {},
}  # fmt: skip


def followed(opened: Callable[..., Script], *answers: Any) -> Script:
    """The page of jobs, where a training was started and its run is told so, the last answer from then on."""
    given = list(answers)

    def answer(asked: Asked) -> Any:
        if asked.path.endswith("/health"):
            return HEALTH
        if asked.method == "POST":
            return {"run_id": "r1"}
        return given.pop(0) if len(given) > 1 else given[0]

    script = opened(answer, **JOBS_PAGE)
    script.stop_clock()
    script.tab.get_by_role("button", name="Train").click()
    return script


@pytest.mark.parametrize(("status", "told"), [(404, "There is no such run."), (403, "You may not see this.")])
def test_a_run_that_is_gone_or_not_for_you_is_asked_for_once(opened: Callable[..., Script], status: int, told: str) -> None:
    script = followed(opened, (status, {"detail": told}))
    place = script.tab.locator("[data-of=last] .error")
    place.get_by_text(told).wait_for()
    script.tab.clock.run_for(60_000)
    assert len(script.of("runs/train/r1")) == 1
    assert "not asked for again" in place.inner_text()


def test_a_run_is_asked_for_more_and_more_seldom_while_the_server_fails(opened: Callable[..., Script]) -> None:
    down, running = (503, {"detail": "Elasticsearch does not answer."}), {"state": "running", "progress": 0.5}
    script = followed(opened, down, down, down, down, running, {"state": "success", "progress": 1})
    place = script.tab.locator("[data-of=last]")
    for wait in (3, 6, 12, 24):
        place.get_by_text(f"Asked again in {wait} s").wait_for()
        before = len(script.of("runs/train/r1"))
        script.tab.clock.run_for(wait * 1000 - 100)
        assert len(script.of("runs/train/r1")) == before
        script.tab.clock.run_for(200)
    place.get_by_text("running").wait_for()
    script.tab.clock.run_for(3100)
    script.tab.get_by_text("train is done").wait_for()
    assert len(script.of("runs/train/r1")) == 6


ANALYSIS_PAGE = {
    "template": "analysis.html",
    "analysis": {"analytics_id": "tags", "description": "", "source": {"index": ["logs"]}, "dest": {"index": "out"}},
    "kind": "classification",
    "state": {"id": "tags", "type": "classification", "label": "tag", "infers": False, "may_edit": False},
}
FEW = {"value": 0.9, "ci": None}
CLASS = {
    "actual_class": "a",
    "actual_class_doc_count": 9,
    "predicted_classes": [{"predicted_class": "a", "count": 9}],
    "other_predicted_class_doc_count": 0,
}
EVALUATION = {
    "documents": 9, "accuracy": FEW, "log_loss": 0.1, "auc_roc": {**FEW, "classes": []},
    "recall": {"classes": [], "avg_recall": 0.9}, "precision": {"classes": [], "avg_precision": 0.9},
    "multiclass_confusion_matrix": {"confusion_matrix": [CLASS], "other_actual_class_count": 0},
}  # fmt: skip


def test_results_of_an_analysis_come_though_the_cluster_was_not_ready_when_they_were_asked_for(
    opened: Callable[..., Script],
) -> None:
    down = (503, {"message": "Elasticsearch is not ready."})
    ended = {
        "state": "stopped",
        "dag": {},
        "run": None,
        "model_id": "m",
        "last": {"@timestamp": "2026-03-24T00:00:00Z", "verdict": "pass"},
    }
    found = {
        "evaluation": EVALUATION,
        "fields": {},
        "total_feature_importance": [],
        "promotion": None,
        "model_id": "m",
        "trees": 5,
        "created": "2026-03-24T00:00:00Z",
        "in_force": True,
    }
    told = {"stats": [down, ended], "evaluation": [down, found]}

    def answer(asked: Asked) -> Any:
        kind = asked.path.rpartition("/")[2]
        given = told.get(kind, [{"total": 0, "rows": []}])
        return given.pop(0) if len(given) > 1 else given[0]

    script = opened(answer, **ANALYSIS_PAGE)
    script.tab.get_by_text("Elasticsearch is not ready.").wait_for()
    script.tab.locator("#matrix button").first.wait_for()
    assert script.tab.get_by_text("Elasticsearch is not ready.").count() == 0
    assert [len(script.of(path)) for path in ("stats", "evaluation")] == [2, 2]


def test_next_ends_where_the_api_gives_no_more(opened: Callable[..., Script]) -> None:
    page = {"count": 20_000, "records": [record("/a")] * 50}
    script = opened(lambda asked: page if asked.path == "records" else nothing(asked), **explorer_page())
    following = script.tab.get_by_role("button", name="Next")
    script.tab.get_by_text("1 to 50", exact=True).wait_for()
    script.tab.evaluate("for (let n = 0; n < 200; n++) document.querySelector('#pager button:last-child').click()")
    script.tab.get_by_text("9501 to 9550").wait_for()
    assert following.is_disabled()


def test_the_focus_stays_on_a_lane_and_on_a_head_that_were_chosen(opened: Callable[..., Script]) -> None:
    page = {"count": 1, "records": [record("/a")]}
    script = opened(lambda asked: page if asked.path == "records" else nothing(asked), **explorer_page())
    tab = script.tab
    for place, told in (("#lanes .name button", "/a"), ("#records th button", "Time (UTC) ↓")):
        tab.locator(place).first.focus()
        tab.keyboard.press("Enter")
        tab.locator(f"{place}:focus", has_text=told).wait_for()


def test_a_threshold_is_a_number_and_nothing_is_told_of_none(opened: Callable[..., Script]) -> None:
    ahead = {"times": [T0 + n * HOUR for n in range(24)], "lower": [5.0] * 24, "upper": [40.0] * 24, "notes": []}
    found = view(forecast={**ahead, "prediction": [10.0 + n for n in range(24)]})
    script = opened(lambda asked: found if asked.path.endswith("series/values") else nothing(asked), **series_page())
    script.tab.locator("#chart .main-svg").first.wait_for()
    told = script.tab.locator("#crossing")
    for text, said in (("12.5", "12.5 is reached: 2026-03-24 03:00"), ("1,5", "Which value?"), ("20k", "Which value?"), ("", "")):
        script.tab.get_by_label("Threshold").fill(text)
        assert told.inner_text().startswith(said)
        assert bool(told.inner_text()) == bool(said)
