"""The explorer and the series viewer in a real browser, in a real Airflow, on results of a real job."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from dag_definitions import PASSWORDS
from dag_explored import DAYS, FROM, HOSTILE, HOUR, SPIKE, START, TRAINED, accessible, watched

from driftline.core.results import milliseconds as ms
from driftline.core.timespan import iso
from driftline.pipeline.feedback import list_feedback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Page

    from driftline.core.job import Job


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def page(browser: Browser, site: str, token_of: Callable[[str], str], scheme: Any) -> Iterator[Page]:
    """A watched tab of a viewer."""
    with watched(browser, site, token_of("viewer"), scheme) as tab:
        yield tab


def test_the_explorer_shows_lanes_influencers_incidents_and_anomalies(page: Page, explored: Job, tmp_path: Any) -> None:
    page.goto(f"/driftline/explorer?job={explored.job_id}")
    lanes = page.locator("#lanes .lane .name")
    page.locator("#records tbody tr").first.wait_for()
    assert "Overall" in lanes.first.inner_text()
    assert "/cart" in lanes.all_inner_texts()
    worst = page.locator("#records tbody tr").first
    assert "/cart" in worst.inner_text()
    assert "2026-03-18 10:00" in worst.inner_text()
    assert f"ip: {FROM}" in worst.inner_text()
    page.locator("#influencers").get_by_text(FROM).wait_for()  # each part of the page comes in its own time
    page.locator("#events tbody tr").filter(has_text="/cart").first.wait_for()
    page.locator("#charts svg").first.wait_for()
    assert page.locator("#charts .band").first.is_visible()
    accessible(page)
    page.screenshot(path=tmp_path / "explorer.png", full_page=True)


def test_brushing_selects_a_stretch_of_time_and_the_address_keeps_it(page: Page, explored: Job) -> None:
    page.goto(f"/driftline/explorer?job={explored.job_id}")
    page.locator("#records tbody tr").first.wait_for()
    track = page.locator("#lanes .track").first
    box = track.bounding_box()
    assert box is not None
    # the spike is in the second of three days; the third holds none
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + 8, steps=5)
    page.mouse.up()
    page.locator("#selection").wait_for()
    page.locator("[aria-busy]").first.wait_for(state="detached")
    assert "2026-03-18 10:00" not in page.locator("#records").inner_text()
    page.reload()
    page.locator("#selection").wait_for()
    page.get_by_role("button", name="Clear the selection").click()
    page.locator("#records tbody tr", has_text="2026-03-18 10:00").first.wait_for()


def test_the_keyboard_does_what_the_pointer_does(page: Page, explored: Job) -> None:
    page.goto(f"/driftline/explorer?job={explored.job_id}")
    page.locator("#records tbody tr").first.wait_for()
    page.locator("#lanes .cell").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator("#selection", has_text="Selected").wait_for()


def test_a_hostile_value_is_text_in_lanes_table_and_viewer(page: Page, explored: Job) -> None:
    page.goto(f"/driftline/series?job={explored.job_id}&partition={HOSTILE}")
    page.locator("#chart .main-svg").first.wait_for()
    assert HOSTILE in page.locator("#title").inner_text()
    assert page.locator("img").count() == 0


def test_a_series_shows_bounds_anomalies_forecast_explanation_and_documents(page: Page, explored: Job) -> None:
    page.goto(f"/driftline/explorer?job={explored.job_id}")
    page.locator("#records tbody tr", has_text="2026-03-18 10:00").first.wait_for()
    page.locator("[aria-busy]").first.wait_for(state="detached")  # a table that is made again takes no click meanwhile
    page.locator("#records tbody tr", has_text="2026-03-18 10:00").get_by_role("link", name="Series").first.click()
    page.locator("#chart .main-svg").first.wait_for()
    names = page.locator("#chart .legendtext").all_text_contents()
    assert {"actual", "expected", "typical", "forecast", "critical"} <= {name.split(",")[0] for name in names}
    row = page.locator("#records tbody tr").first
    assert "2026-03-18 10:00" in row.inner_text()
    row.get_by_role("button", name="Why?").click()
    assert "An anomaly that alarms" in page.locator("#why-text strong").inner_text()
    row.get_by_role("button", name="Documents").click()
    page.locator("#raw-table tbody tr").first.wait_for()
    assert FROM in page.locator("#raw-table").inner_text()
    page.get_by_label("Threshold").fill("1000000")
    assert "not within the forecast" in page.locator("#crossing").inner_text()
    accessible(page)


def test_a_series_shows_what_its_model_is_made_of_and_what_to_know_of_its_forecast(page: Page, explored: Job) -> None:
    page.goto(f"/driftline/series?job={explored.job_id}&partition=/cart")
    page.get_by_text("Model: trend, seasons, holidays").click()
    page.locator(".term .main-svg").nth(3).wait_for()
    assert page.locator(".terms figcaption").all_inner_texts() == [
        "trend",
        "weekly, over a week (UTC)",
        "daily, over a day (UTC)",
    ]
    told = page.locator("#model").inner_text()
    assert "learned from 2026-03-02 00:00 to 2026-03-17 00:00 UTC" in told
    assert "Predictability good" in told
    assert explored.version in page.get_by_label("Snapshot").input_value()
    assert not page.locator("#ahead").is_visible()
    accessible(page)


def test_the_terms_of_a_model_are_what_it_expects(page: Page, explored: Job) -> None:
    asked = {"partition": "/cart", "start": iso(START + TRAINED * 24 * HOUR), "end": iso(START + DAYS * 24 * HOUR)}
    path = f"/driftline/api/v1/jobs/{explored.job_id}/components"
    found = json.loads(page.request.get(path, params=asked).text())
    assert (found["space"], found["predictability"]) == ("sqrt", "good")
    whole = np.sum([found["trend"], *(each["values"] for each in found["terms"])], axis=0)
    np.testing.assert_allclose(whole**2, found["expected"], rtol=1e-4)
    daily = next(each for each in found["terms"] if each["name"] == "daily")
    assert daily["period"] == 1
    hours = np.array(daily["cycle"]["times"]) / 3_600_000 % 24
    assert np.corrcoef(daily["cycle"]["values"], np.sin(2 * np.pi * (hours - 6) / 24))[0, 1] > 0.95


def test_a_population_shows_its_band_and_leads_to_its_members(page: Page, compared: Job) -> None:
    page.goto(f"/driftline/series?job={compared.job_id}")
    page.locator("#crowd .main-svg").first.wait_for()
    names = page.locator("#crowd .legendtext").all_text_contents()
    assert {"typical member", "5 to 95 of 100 members", "critical"} <= set(names)
    row = page.locator("#crowd tbody tr", has_text=FROM)
    told = row.locator("td").all_inner_texts()
    assert told[2] == "2026-03-18 10:00"
    assert float(told[3]) > 100 * float(told[4])
    row.get_by_role("button", name=f"Documents: {FROM}").click()
    page.locator("#raw-table tbody tr").first.wait_for()
    assert FROM in page.locator("#raw-table").inner_text()
    row.get_by_role("link", name="Values over time").click()
    page.locator("#chart .main-svg").first.wait_for()
    assert page.locator("#title").inner_text().endswith(FROM)
    assert page.locator("#records tbody tr").count() == 1
    accessible(page)


def test_what_was_rare_tells_when_it_was_first_there_and_how_often_before(page: Page, compared: Job) -> None:
    page.goto(f"/driftline/series?job={compared.job_id}&detector=1")
    page.locator("#crowd .main-svg").first.wait_for()
    assert {"documents", "first seen"} <= set(page.locator("#crowd .legendtext").all_text_contents())
    told = page.locator("#crowd tbody tr", has_text=FROM).locator("td").all_inner_texts()
    assert told[2:5] == ["2026-03-18 10:00", "2026-03-18 10:00", "0"]
    assert int(told[5]) > 100
    assert "never seen before" in told[7]
    accessible(page)


def test_what_members_have_is_what_the_index_holds(page: Page, compared: Job, client: Elasticsearch) -> None:
    window = {"start": iso(START + SPIKE[0] * HOUR), "end": iso(START + (SPIKE[0] + 1) * HOUR)}
    found = json.loads(page.request.get(f"/driftline/api/v1/jobs/{compared.job_id}/population", params=window).text())
    query = {"range": {"@timestamp": {"gte": window["start"], "lt": window["end"]}}}
    aggs = {"who": {"terms": {"field": "ip", "size": 1000}}}
    who = client.search(index=compared.datafeed.indices, query=query, aggs=aggs, size=0)["aggregations"]["who"]["buckets"]
    counts = [each["doc_count"] for each in who]
    assert found["members"] == [len(counts)]
    assert found["typical"] == [np.median(counts)]
    assert found["high"] == [pytest.approx(np.quantile(counts, 0.95))]
    (top,) = found["top"]
    assert (top["over"], top["actual"]) == (FROM, max(counts))
    assert top["share"] == pytest.approx(max(counts) / sum(counts))


def test_what_an_anomaly_was_is_said_in_the_pages_and_taken_back(
    editor: Page, explored: Job, client: Elasticsearch, browser: Browser, site: str, token_of: Callable[[str], str]
) -> None:
    editor.goto(f"/driftline/explorer?job={explored.job_id}")
    row = editor.locator("#records tbody tr", has_text="2026-03-18 10:00").filter(has_text="/cart")
    row.get_by_role("button", name="Nothing: /cart, 2026-03-18 10:00").focus()
    editor.keyboard.press("Enter")
    row.get_by_text("said to be nothing by admin").wait_for()
    assert "was nothing" in editor.locator("#told[aria-live=polite]").inner_text()
    assert editor.evaluate("document.activeElement.textContent") == "Undo"
    (said,) = list_feedback(client, explored.job_id)
    assert (said["verdict"], said["created_by"], said["timestamp"]) == ("nothing", "admin", ms(START + SPIKE[0] * HOUR))
    viewer = browser.new_context(base_url=site)
    viewer.add_cookies([{"name": "_token", "value": token_of("viewer"), "url": site}])
    tab = viewer.new_page()
    tab.set_default_timeout(60_000)
    tab.goto(f"/driftline/series?job={explored.job_id}&partition=/cart")
    tab.get_by_text("said to be nothing by admin").wait_for()
    assert tab.get_by_role("button", name="Undo").count() + tab.get_by_role("button", name="Real").count() == 0
    viewer.close()
    row.get_by_role("link", name="Series").click()
    row = editor.locator("#records tbody tr", has_text="2026-03-18 10:00").filter(has_text="said to be nothing")
    row.get_by_role("button", name="Undo").click()
    editor.locator("#told", has_text="Taken back").wait_for()
    with editor.expect_request("**/forecast") as asked:
        editor.get_by_role("button", name="Forecast now").click()
    assert asked.value.post_data_json == {"duration": "7d", "partitions": ["/cart"]}
    row = editor.locator("#records tbody tr", has_text="2026-03-18 10:00")
    row.get_by_role("button", name="Real").click()
    row.get_by_text("said to be real by admin").wait_for()
    accessible(editor)
    row.get_by_role("button", name="Undo").click()
    row.get_by_role("button", name="Real").wait_for()
    assert list_feedback(client, explored.job_id, revoked=False) == []


def test_the_pages_are_dark_where_airflow_is(page: Page, explored: Job, scheme: str) -> None:
    page.goto(f"/driftline/explorer?job={explored.job_id}")
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.reload()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in re.findall(r"\d+", ground)[:3]) < 60


def test_the_explorer_is_in_airflows_navigation(browser: Browser, site: str, explored: Job) -> None:
    context = browser.new_context(base_url=site, viewport={"width": 1400, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    tab.goto("/")
    tab.get_by_label(re.compile("user", re.I)).fill("viewer")
    tab.locator("input[type=password]").fill(PASSWORDS["viewer"])
    tab.get_by_role("button", name=re.compile("sign in|log in", re.I)).click()
    tab.get_by_role("link", name="Anomalies").first.click()
    frame = tab.frame_locator("iframe")
    frame.locator("#lanes .lane").first.wait_for()
    assert frame.get_by_role("heading", name="When, and what").is_visible()
    context.close()


def test_a_page_of_records_can_be_taken_to_a_spreadsheet(page: Page, explored: Job) -> None:
    answer = page.request.get(f"/driftline/api/v1/records.csv?job={explored.job_id}")
    lines = answer.text().splitlines()
    assert lines[0].startswith("time,score,severity,job,detector,partition")
    assert "2026-03-18T10:00:00Z" in lines[1]


def test_numbers_in_a_spreadsheet_are_numbers_and_formulas_are_text() -> None:
    from driftline_airflow.web.api.results import _first, _plain

    given = ([-5.25], -5.25, [-5.25, 13.4], [], None, "-1e-05", "=1+1", "-1+cmd", "-5 ", "-", "@x", "\t-1", "-1 -x")
    told = [-5.25, -5.25, "-5.25 13.4", "", None, "-1e-05", "'=1+1", "'-1+cmd", "-5 ", "'-", "'@x", "'\t-1", "'-1 -x"]
    assert [_plain(_first(each)) for each in given] == told


def test_the_view_of_a_series_agrees_with_its_records(page: Page, explored: Job) -> None:
    asked = {"partition": "/cart", "start": iso(START + TRAINED * 24 * HOUR), "end": iso(START + DAYS * 24 * HOUR)}
    found = json.loads(page.request.get(f"/driftline/api/v1/jobs/{explored.job_id}/series/values", params=asked).text())
    at = {time: n for n, time in enumerate(found["times"])}
    assert len(found["times"]) == 72
    assert found["records"]
    for record in found["records"]:
        n = at[record["timestamp"]]
        assert found["actual"][n] == pytest.approx(record["actual"][0])
        assert found["typical"][n] == pytest.approx(record["typical"][0], rel=1e-5)
    inside = [low <= value <= high for low, value, high in zip(found["lower"], found["actual"], found["upper"], strict=True)]
    assert np.mean(inside) > 0.8
    assert len(found["forecast"]["times"]) == 48


def test_incidents_are_those_of_the_values_and_the_severity_that_were_chosen(editor: Page, explored: Job) -> None:
    def asked(**more: Any) -> list[dict[str, Any]]:
        parameters = {"job": explored.job_id, "alarms": True, **more}
        answer = editor.request.get("/driftline/api/v1/events", params=parameters)
        found: list[dict[str, Any]] = json.loads(answer.text())["events"]
        return found

    whole = asked(alarms=False)
    worst = max(whole, key=lambda event: event["anomaly_score"])
    assert worst["partition_field_value"] == "/cart"
    for narrowed in ({"partition": "/cart"}, {"influencer": f"ip:{FROM}"}, {"detector": 0}, {"min_score": 75}):
        assert worst in asked(**narrowed)
    assert {event["partition_field_value"] for event in asked(partition="/cart", alarms=False)} == {"/cart"}
    assert worst not in asked(partition="/quiet", alarms=False)
    assert asked(min_score=worst["anomaly_score"], alarms=False) == [worst]
    assert asked(influencer="ip:192.0.2.1", alarms=False) == []


def test_records_are_found_by_a_part_of_a_value_however_it_is_written(editor: Page, explored: Job) -> None:
    def asked(path: str = "records", **more: str) -> Any:
        return editor.request.get(f"/driftline/api/v1/{path}", params={"job": explored.job_id, **more})

    cart = json.loads(asked(partition="/cart").text())
    assert cart["count"] > 0
    assert json.loads(asked(q="CAR").text()) == cart
    assert asked("records.csv", q="CAR").text() == asked("records.csv", partition="/cart").text()
    assert [json.loads(asked(q=part).text())["count"] for part in ("*c", "?cart", "\\")] == [0, 0, 0]


def test_a_page_of_which_one_end_is_left_open_begins_or_ends_where_it_would_else(editor: Page, explored: Job) -> None:
    middle, ends = iso(START + 16 * 24 * HOUR), (iso(START + TRAINED * 24 * HOUR), iso(START + DAYS * 24 * HOUR))
    for name in ("explorer", "series"):
        for given, told in ((f"start={middle}&end=", (middle, ends[1])), (f"start=&end={middle}", (ends[0], middle))):
            editor.goto(f"/driftline/{name}?job={explored.job_id}&{given}")
            assert tuple(editor.locator(f"#choice [name={each}]").input_value() for each in ("start", "end")) == told


@pytest.mark.parametrize(
    ("address", "status", "told"),
    [
        ("series?job=no-such-job", 404, "there is no job 'no-such-job'"),
        ("series?detector=x", 422, "query.detector: "),
        ("explorer?job=JOB&from=garbage&until=2026-03-18", 400, "'garbage'"),
        ("analytics/no-such-analysis", 404, "no-such-analysis"),
        ("reports/no-such-report", 404, "There is no such report."),
    ],
)
def test_what_is_wrong_with_a_page_is_a_page(editor: Page, explored: Job, address: str, status: int, told: str) -> None:
    answer = editor.goto(f"/driftline/{address.replace('JOB', explored.job_id)}")
    assert answer is not None
    assert answer.status == status
    assert told in editor.locator("main").inner_text()
    assert editor.get_by_role("navigation").is_visible()
    assert editor.evaluate("getComputedStyle(document.querySelector('.bar')).display") == "flex"  # its style was found
    as_json = json.loads(editor.request.get("/driftline/api/v1/jobs/no-such-job").text())
    assert "no-such-job" in as_json["message"]
