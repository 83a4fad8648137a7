"""What the scripts of pages do with answers that fail, are slow, or come in another order than they were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scripted import T0, Asked, Script, explorer_page, nothing, record

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
        tab.set_default_timeout(20_000)
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
    return {"fields": [{"name": "@timestamp", "type": "date"}, *({"name": name, "type": "keyword"} for name in names)]}


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
    assert script.tab.locator("#charts figcaption").inner_text().startswith("/b")


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
