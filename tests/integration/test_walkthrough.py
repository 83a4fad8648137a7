"""Elastic's walk-through, in a browser on a running Airflow: what it shows there is found here.

A log of a web application in which one client downloads large files in some nights between 6 and 9 March: a count a minute shows
when, means of bytes by whom, and a population that nobody else does; then the documents behind it, and a forecast of a week.
At the end requests that somebody has labelled: what they are is learned, and told of new ones.
"""

from __future__ import annotations

import json
import os
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from typer.testing import CliRunner

from driftline.cli.app import app
from driftline.core.timespan import iso
from driftline.elastic import results
from driftline.elastic.indices import JOBS
from driftline.services import airflow, control
from driftline.services.environment import password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Page

START, DAYS = datetime(2026, 2, 9, tzinfo=UTC), 32
BAD = "203.0.113.66"  # the generator's one suspicious client
NIGHTS = [("25d01h", "3h"), ("26d02h", "2h"), ("28d01h", "3h")]  # from the start: 6, 7 and 9 March
FROM, UNTIL = datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC)
PATIENCE = 240  # seconds that a run may take
Found = TypeVar("Found")


@pytest.fixture(scope="module", autouse=True)
def tidy(client: Elasticsearch, module_prefix: str) -> Iterator[None]:
    """What was made in the wizards is taken out of the index afterwards: other tests list what there is."""
    yield
    results.delete(client, JOBS, {"prefix": {"id": module_prefix}})


@pytest.fixture(scope="module")
def index(client: Elasticsearch, module_prefix: str) -> str:
    """The log."""
    name = f"{module_prefix}webapp"
    downloads = [f"{{kind: population, at: {at}, duration: {long}, magnitude: 900, endpoints: [3]}}" for at, long in NIGHTS]
    options = {"events_per_day": "4000", "endpoints": "12", "clients": "400", "schedule": "none"}
    options["injections"] = f"[{', '.join(downloads)}]"
    settings = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    asked = ["generate", "--index", name, "--days", str(DAYS), "--start", iso(START), "--seed", "11", "--json", *settings]
    ended = CliRunner().invoke(app, asked)
    assert ended.exit_code == 0, ended.output
    return name


@pytest.fixture(scope="module")
def source(module_prefix: str) -> str:
    """The name of a source, and of its index."""
    return f"{module_prefix}rows"


def rows(folder: Path, source: str) -> None:
    """A source whose file has a row with a status that there is not; it is read as soon as Airflow knows of it."""
    file = folder / "rows.ndjson"
    file.write_text(
        "".join(f'{{"@timestamp": "{iso(UNTIL)}", "url": "/{n}", "status": {200 + 799 * (n == 3)}}}\n' for n in range(5))
    )
    settings = {
        "source_id": source, "index": source, "files": {"paths": [str(file)]}, "schedule": "0 0 * * *",
        "quality": {"ranges": {"status": [100, 599]}, "max_bad_ratio": 0.9},
    }  # fmt: skip
    (folder / "rows.yaml").write_text(json.dumps(settings))


@pytest.fixture(scope="module")
def site(cluster: str, source: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A whole Airflow, with no job and no source but those that are made here."""
    kinds = ("JOBS", "SOURCES", "ANALYTICS")
    folders = {name: str(tmp_path_factory.mktemp(name)) for name in (f"DRIFTLINE_{kind}_DIR" for kind in kinds)}
    rows(Path(folders["DRIFTLINE_SOURCES_DIR"]), source)
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in folders.items():
            patch.setitem(os.environ, name, folder)
        url = control.up().airflow.url
        assert url
        yield url
        airflow.stop()


@pytest.fixture(scope="module")
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A tab of an editor; afterwards: nothing came from another host, and nothing went wrong."""
    context = browser.new_context(base_url=site, viewport={"width": 1400, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    tab.set_default_navigation_timeout(120_000)  # the first page waits for imports
    said: list[str] = []
    tab.on("request", lambda one: said.append(one.url) if not one.url.startswith((site, "data:", "blob:")) else None)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto("/")
    tab.get_by_label(re.compile("user", re.I)).fill("admin")
    tab.locator("input[type=password]").fill(password())
    tab.get_by_role("button", name=re.compile("sign in|log in", re.I)).click()
    tab.get_by_role("link", name="Anomalies").first.wait_for()
    yield tab
    context.close()
    assert said == []


def make(page: Page, index: str, job_id: str, span: str, detectors: list[dict[str, str]]) -> None:
    """Makes a job in the wizard, and waits until its DAGs are there; Airflow runs them by itself."""
    page.goto(f"/driftline/new-job?index={index}")
    page.get_by_text("fields can be used").wait_for()
    for number, detector in enumerate(detectors):
        if number:
            page.get_by_role("button", name="Another detector").click()
        place = page.get_by_role("group", name="Detector").nth(number)
        for name, value in detector.items():
            place.locator(f"select[name={name}]").select_option(value)
    page.get_by_label("Bucket span").select_option(span)
    page.get_by_label("Influencers").select_option("source.ip")
    page.get_by_label("a finished log").check()
    page.get_by_label("Id", exact=True).fill(job_id)
    page.get_by_text("This can be saved.").wait_for()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("Its DAGs are there").wait_for(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def jobs(page: Page, index: str, module_prefix: str) -> dict[str, str]:
    """The three jobs, made one after the other and run by the scheduler as it finds them; name → id."""
    means = [{"function": "mean", "field_name": field} for field in ("http.response.bytes", "http.request.bytes")]
    members = {"function": "high_sum", "field_name": "http.response.bytes", "over_field_name": "source.ip"}
    asked = {"count": ("1m", [{"function": "count"}]), "bytes": ("15m", means), "clients": ("1h", [members])}
    made = {name: f"{module_prefix}{name}" for name in asked}
    for name, (span, detectors) in asked.items():
        make(page, index, made[name], span, detectors)
    for job_id in made.values():
        assert over(page, job_id, "score", 0)["state"] == "success"
    page.goto("/driftline/jobs")
    for job_id in made.values():
        row = page.locator(f"tr[data-job='{job_id}']")
        row.get_by_text("2026-03-13 00:00").wait_for(timeout=PATIENCE * 1000)
        assert row.get_by_text("trained").is_visible()
    return made


def until(page: Page, told: Callable[[], Found | None], late: str) -> Found:
    """What is told once there is something; it is asked for every second, and `late` says what did not come."""
    deadline = time.monotonic() + PATIENCE
    while not (found := told()):
        assert time.monotonic() < deadline, late
        page.wait_for_timeout(1000)
    return found


def over(page: Page, job_id: str, stage: str, before: int) -> dict[str, Any]:
    """The newest run of a DAG, once there are more than `before` and it is over."""

    def newest() -> dict[str, Any] | None:
        found = page.request.get(f"/driftline/api/v1/jobs/{job_id}/runs?stage={stage}").json()["runs"]
        return found[0] if len(found) > before and found[0]["state"] in ("success", "failed") else None

    return until(page, newest, f"{job_id}.{stage} is not over")


def records(page: Page, job_id: str, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.request.get("/driftline/api/v1/records", params={"job": job_id, **asked}).json()["records"]
    return found


def brush(page: Page) -> None:
    """Moves over 6 to 9 March on the lane of all, which spans the whole log."""
    page.locator("#records tbody tr").first.wait_for()
    box = page.locator("#lanes .track").first.bounding_box()
    assert box is not None
    left, right = (box["x"] + box["width"] * ((edge - START) / timedelta(days=DAYS)) for edge in (FROM, UNTIL))
    page.mouse.move(left + 1, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(right - 1, box["y"] + 8, steps=5)
    page.mouse.up()
    page.locator("#selection").wait_for()
    page.locator("[aria-busy]").first.wait_for(state="detached")


def test_a_count_a_minute_shows_the_nights_and_a_week_is_forecast(page: Page, jobs: dict[str, str], tmp_path: Path) -> None:
    job_id = jobs["count"]
    page.goto(f"/driftline/explorer?job={job_id}")
    brush(page)
    assert "start=2026-02-09T00" in page.url, "it opens on the data, not on now"
    assert "end=2026-03-13T00" in page.url
    times = page.locator("#records tbody td.time").all_inner_texts()
    assert times
    assert all("2026-03-06" <= each[:10] <= "2026-03-09" for each in times)
    assert "critical" in page.locator("#records tbody tr").first.inner_text()
    assert page.locator("#influencers").get_by_text(BAD).is_visible()
    page.screenshot(path=tmp_path / "count.png", full_page=True)
    loudest = records(page, job_id, min_score=75)
    assert len(loudest) >= 10
    assert {each["timestamp"] // 3_600_000 for each in loudest} <= {
        int((START + timedelta(hours=hour)).timestamp()) // 3600
        for hour in (*range(601, 604), *range(626, 628), *range(673, 676))
    }
    page.locator("#records").get_by_role("link", name="Series").first.click()
    page.locator("#chart .main-svg").first.wait_for()
    before = len(page.request.get(f"/driftline/api/v1/jobs/{job_id}/runs?stage=forecast").json()["runs"])
    page.get_by_role("button", name="Forecast now").click()
    assert over(page, job_id, "forecast", before)["state"] == "success"
    page.goto(f"/driftline/series?job={job_id}")
    page.locator("#chart .legendtext", has_text="forecast").first.wait_for()
    asked = {"start": iso(UNTIL), "end": iso(START + timedelta(days=DAYS))}
    seen = page.request.get(f"/driftline/api/v1/jobs/{job_id}/series/values", params=asked).json()["forecast"]
    assert seen["times"][-1] - seen["times"][0] == (7 * 24 * 60 - 1) * 60_000, "all seven days of minutes"
    assert len(seen["times"]) <= 4000, "but no more points than a screen can tell apart"
    widths = [high - low for low, high in zip(seen["lower"], seen["upper"], strict=True)]
    day = len(widths) // 7
    assert sum(widths[-day:]) > sum(widths[:day]), "bounds widen"
    page.screenshot(path=tmp_path / "forecast.png", full_page=True)


def test_means_of_bytes_name_the_client(page: Page, jobs: dict[str, str], tmp_path: Path) -> None:
    job_id = jobs["bytes"]
    page.goto(f"/driftline/explorer?job={job_id}")
    brush(page)
    top = page.locator("#influencers .influencer").first
    assert BAD in top.inner_text()
    first = page.locator("#records tbody tr").first.inner_text()
    assert "mean(http.response.bytes)" in first
    assert f"source.ip: {BAD}" in first
    page.screenshot(path=tmp_path / "bytes.png", full_page=True)
    for detector in ("0", "1"):
        blamed = records(page, job_id, detector=detector, influencer=f"source.ip:{BAD}")
        assert blamed, f"detector {detector} names the client"
        assert all(FROM.timestamp() * 1000 <= each["timestamp"] < UNTIL.timestamp() * 1000 for each in blamed)


def test_a_population_confirms_the_client_and_the_documents_show_what_it_did(
    page: Page, jobs: dict[str, str], tmp_path: Path
) -> None:
    job_id = jobs["clients"]
    page.goto(f"/driftline/explorer?job={job_id}")
    page.locator("#records tbody tr").first.wait_for()
    assert page.locator("#lanes .lane .name").nth(1).inner_text() == BAD, "the highest lane below that of all"
    worst = page.locator("#records tbody tr").first
    assert BAD in worst.inner_text()
    assert re.search(r"2026-03-0[679]", worst.inner_text())
    worst.get_by_role("link", name="Series").click()
    page.locator("#records").get_by_role("button", name="Documents", exact=True).first.click()
    page.locator("#raw-table tbody tr").first.wait_for()
    page.locator("#raw-tools summary").click()
    page.locator("#raw-tools").get_by_label("source.ip", exact=True).check()
    page.locator("#raw-tools").get_by_label("http.response.bytes", exact=True).check()
    heads = page.locator("#raw-table thead th").all_inner_texts()
    rows = [
        dict(zip(heads, row.locator("td").all_inner_texts(), strict=True)) for row in page.locator("#raw-table tbody tr").all()
    ]
    assert {row["source.ip"] for row in rows} == {BAD}
    sizes = sorted(int(row["http.response.bytes"]) for row in rows)
    assert sizes[len(sizes) // 2] > 300_000, "large files"
    page.screenshot(path=tmp_path / "documents.png", full_page=True)


def test_what_was_found_is_said_to_be_real_and_taken_back(page: Page, jobs: dict[str, str], tmp_path: Path) -> None:
    page.goto(f"/driftline/explorer?job={jobs['clients']}")
    row = page.locator("#records tbody tr", has_text=BAD).first
    row.get_by_role("button", name="Real").click()
    row.get_by_text("said to be real by admin").wait_for()
    page.screenshot(path=tmp_path / "feedback.png", full_page=True)
    said = page.request.get(f"/driftline/api/v1/jobs/{jobs['clients']}/feedback").json()["feedback"]
    assert [(each["verdict"], each["created_by"]) for each in said] == [("real", "admin")]
    row.get_by_role("button", name="Undo").click()
    row.get_by_role("button", name="Real").wait_for()


def test_a_row_that_was_held_back_is_released(page: Page, client: Elasticsearch, source: str, tmp_path: Path) -> None:
    asked = {"source": source}
    until(
        page,
        lambda: page.request.get("/driftline/api/v1/quarantine", params=asked).json().get("total") == 1,
        "the scheduler has not read the source",
    )
    page.emulate_media(color_scheme="dark")
    page.goto(f"/driftline/quarantine?source={source}")
    held = page.locator("#rows tbody tr")
    held.first.wait_for()
    assert "status is not within 100 to 599: 999" in held.first.inner_text()
    page.screenshot(path=tmp_path / "quarantine.png", full_page=True)
    held.first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Release").click()
    page.get_by_text("1 released, 0 refused.").wait_for()
    client.indices.refresh(index=source)
    assert client.count(index=source, query={"term": {"status": 999}})["count"] == 1
    page.emulate_media(color_scheme="light")


def generated(name: str, rows: int, seed: int, **more: str) -> str:
    """Requests with a tag, in an index."""
    options = {"rows": str(rows), "label_noise": "0.01", **more}
    settings = [part for option, value in options.items() for part in ("--set", f"{option}={value}")]
    asked = ["generate", "web_requests", "--index", name, "--days", "2", "--start", iso(UNTIL), "--seed", str(seed), "--json"]
    ended = CliRunner().invoke(app, [*asked, *settings])
    assert ended.exit_code == 0, ended.output
    return name


def test_what_labelled_requests_are_is_learned_and_told_of_new_ones(
    page: Page, client: Elasticsearch, module_prefix: str, tmp_path: Path
) -> None:
    shares = "{scanner: 0.2, credential_stuffing: 0.1, broken_client: 0, data_exfiltration: 0}"
    labelled = generated(f"{module_prefix}webapp-tagged", 4000, 5, shares=shares)
    unlabelled = generated(f"{module_prefix}webapp-new", 500, 6, shares=shares, unlabelled="1", truth="true")
    name, tagged = f"{module_prefix}tags", f"{module_prefix}webapp-now-tagged"
    page.goto(f"/driftline/new-analysis?index={labelled}")
    page.get_by_text("3 classes: normal").wait_for()
    assert page.get_by_label("Dependent variable").input_value() == "tag"
    page.get_by_label("Id", exact=True).fill(name)
    page.get_by_label("give new documents predictions").check()
    page.locator("[name=new_index]").fill(unlabelled)
    page.locator("[name=new_dest]").fill(tagged)
    page.get_by_text("This can be created.").wait_for()
    page.screenshot(path=tmp_path / "wizard.png", full_page=True)
    page.get_by_role("button", name="Create and start").click()
    page.wait_for_url(f"**/analytics/{name}")
    page.locator("#matrix button").first.wait_for(timeout=PATIENCE * 1000)
    found = page.request.get(f"/driftline/api/v1/analytics/{name}/evaluation").json()["evaluation"]
    assert found["accuracy"]["ci"][0] > 0.85, "more than calling all of them normal, which is right of 0.7"
    assert found["auc_roc"]["value"] > 0.85
    page.locator("#curves .main-svg").first.wait_for()
    page.screenshot(path=tmp_path / "results.png", full_page=True)
    page.get_by_role("link", name="trained models").click()
    page.get_by_text("in force", exact=True).wait_for()
    page.screenshot(path=tmp_path / "models.png", full_page=True)
    page.go_back()
    page.get_by_role("button", name="Predict for new documents").click()
    early = client.options(ignore_status=(404, 503))  # no such index yet; one so new that it cannot be searched
    until(page, lambda: early.count(index=tagged).get("count", 0) == 500, "the new documents have no predictions")
    hits = [hit["_source"] for hit in client.search(index=tagged, size=500)["hits"]["hits"]]
    assert not any("tag" in each for each in hits)
    right = sum(each["ml"]["tag_prediction"] == each["truth"] for each in hits) / len(hits)
    assert right > 0.9
