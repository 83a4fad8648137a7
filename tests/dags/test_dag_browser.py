"""The plugin's pages in a real browser, light and dark: what they say can be seen, and nothing in them is live or fetched."""

from __future__ import annotations

import io
import re
import shutil
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from dag_definitions import PASSWORDS

from driftline.core.processes import free_port
from driftline.core.timespan import Window
from driftline.elastic.indices import QUALITY, RESULTS, ensure_templates, monthly
from driftline.quality.checks import CheckResult
from driftline.quality.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Locator, Page, ViewportSize

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
MOMENT = datetime(2026, 3, 26, 10, tzinfo=UTC)
WIDE: ViewportSize = {"width": 1200, "height": 800}
NARROW: ViewportSize = {"width": 390, "height": 844}  # a telephone
READABLE = 4.5  # contrast of text to its ground that WCAG 2 asks for (AA)
BODY = 21 / 2  # and what plain text of a page should have, halfway to black on white


@pytest.fixture(scope="module")
def site(airflow_database: None, cluster: str) -> Iterator[str]:
    """Airflow's web application behind a real port."""
    import uvicorn
    from airflow.api_fastapi.app import create_app

    port = free_port(28080)
    assert port is not None
    server = uvicorn.Server(uvicorn.Config(create_app(), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the server did not come up"
        assert time.monotonic() < deadline, "the server did not come up"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The Chromium of this machine; none is downloaded."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # as root there is no sandbox
        yield started
        started.close()


@pytest.fixture(scope="module")
def token(site: str) -> str:
    """The cookie's value of somebody who is signed in and may only look."""
    import httpx

    asked = {"username": "viewer", "password": PASSWORDS["viewer"]}
    found: str = httpx.post(f"{site}/auth/token", json=asked, trust_env=False).json()["access_token"]
    return found


@pytest.fixture(scope="module")
def job_id(client: Elasticsearch, own_jobs: str) -> str:
    """A job with two records, one with hostile text."""
    name = f"{own_jobs}browser"
    ensure_templates(client)
    record: dict[str, Any] = {
        "job_id": name,
        "result_type": "record",
        "timestamp": int(MOMENT.timestamp() * 1000),
        "function": "count",
        "partition_field_value": HOSTILE,
        "record_score": 91.0,
        "actual": [1234567.0],
        "typical": [20.25],
        "driftline": {"sentence": "25 times higher than expected"},
    }
    for number, document in enumerate((record, record | {"record_score": 12.0, "partition_field_value": "/quiet"})):
        client.index(index=monthly(RESULTS, MOMENT), id=f"{name}-{number}", document=document, refresh=True)
    return name


@pytest.fixture(scope="module")
def report_id(client: Elasticsearch, job_id: str) -> str:
    """A report of a training with each verdict, and hostile text in a sample."""
    checks = [
        CheckResult("finite", "expect_column_values_to_be_between", "pass", "0 buckets", "none", "All values are finite."),
        CheckResult("gaps", "expect_table_row_count_to_be_between", "warn", "2 of 40", "none", "Two are silent.", 2, [HOSTILE]),
    ]
    window = Window(MOMENT, MOMENT.replace(day=28))
    report = Report("job", job_id, "train", window, checks, "manual", {"docs": 12345, "series": 40}, docs=[3.0, 9.0, 6.0])
    client.index(index=QUALITY, id=report.report_id, document=report.as_dict(), refresh=True)
    return report.report_id


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Any:  # one of Playwright's literals
    """What the reader's system is set to."""
    return request.param


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def page(browser: Browser, site: str, token: str, scheme: Any, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab of a viewer who is signed in; afterwards: it has loaded that one page and nothing else, and said nothing."""
    context = browser.new_context(base_url=site, color_scheme=scheme, viewport=request.param)
    context.add_cookies([{"name": "_token", "value": token, "url": site}])
    tab = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    tab.on("request", lambda one: asked.append(one.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    yield tab
    context.close()
    assert len(asked) == 1
    assert said == []


def _luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance of an sRGB colour (0 to 255 each), as WCAG 2 defines it."""
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _ground(tab: Page) -> tuple[float, ...]:
    """The colour that most of the page has, as it is drawn."""
    from PIL import Image

    with Image.open(io.BytesIO(tab.screenshot())) as image:
        colours = image.convert("RGB").getcolors(image.width * image.height)
    assert colours
    found: tuple[float, ...] = max(colours)[1]
    return found


def contrast(text: Locator) -> float:
    """How well a text stands out from the page, 1 to 21."""
    colour = re.findall(r"[\d.]+", text.evaluate("element => getComputedStyle(element).color"))[:3]
    low, high = sorted((_luminance(tuple(map(float, colour))), _luminance(_ground(text.page))))
    return (high + 0.05) / (low + 0.05)


def lines(text: Locator) -> int:
    """In how many lines a text is drawn."""
    every = (
        "element => { const all = document.createRange(); all.selectNodeContents(element); return all.getClientRects().length }"
    )
    found: int = text.evaluate(every)
    return found


def check_page(tab: Page, scheme: str) -> None:
    """What holds for each of our pages."""
    ground = _luminance(_ground(tab))
    assert ground < 0.1 if scheme == "dark" else ground > 0.9
    assert contrast(tab.locator("h1")) > BODY
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), "it fits its window"
    assert tab.locator("script, img").count() == 0
    assert "owned" not in tab.title()


def test_the_results_can_be_read(page: Page, scheme: str, job_id: str) -> None:
    answer = page.goto(f"/driftline/results/{job_id}")
    assert answer is not None
    assert answer.status == 200
    check_page(page, scheme)
    assert page.get_by_role("heading", name=f"Results of {job_id}").is_visible()
    rows = page.locator("tbody tr")
    assert [row.locator("td").first.inner_text() for row in rows.all()] == ["91 critical", "12 warning"]
    worst = rows.first
    assert {lines(cell) for cell in (*page.locator("th").all(), worst.locator("td").first)} == {1}, "no word is taken apart"
    assert worst.get_by_text("25 times higher than expected").is_visible()
    assert worst.get_by_text(HOSTILE, exact=True).is_visible(), "shown as the text that it is"
    assert worst.get_by_text("20.25", exact=True).is_visible()
    assert worst.get_by_text("1,234,567", exact=True).is_visible(), "a count is not rounded"
    assert min(contrast(row.locator("td").first) for row in rows.all()) > READABLE


def test_the_quality_report_can_be_read(page: Page, scheme: str, job_id: str, report_id: str) -> None:
    answer = page.goto(f"/driftline/reports/{report_id}")
    assert answer is not None
    assert answer.status == 200
    check_page(page, scheme)
    heading = page.get_by_role("heading", level=1)
    assert heading.inner_text() == f"{job_id} ! warn"
    assert page.get_by_text("12,345", exact=True).is_visible()
    bars = page.get_by_role("img", name="Documents over the interval").locator("rect")
    heights = [box["height"] for bar in bars.all() if (box := bar.bounding_box())]
    assert len(heights) == 3
    assert max(heights) == heights[1], "the picture shows the middle as the highest"
    assert page.get_by_role("cell", name="All values are finite.").is_visible()
    assert page.get_by_role("listitem").filter(has_text=HOSTILE).is_visible(), "shown as the text that it is"
    assert min(contrast(mark) for mark in page.locator(".verdict").all()) > READABLE
    assert contrast(page.locator("p.sub")) > READABLE


def test_who_is_not_signed_in_sees_nothing_of_it(browser: Browser, site: str, job_id: str, report_id: str) -> None:
    context = browser.new_context(base_url=site)
    tab = context.new_page()
    for path in (f"results/{job_id}", f"reports/{report_id}"):
        answer = tab.goto(f"/driftline/{path}")
        assert answer is not None
        assert answer.status == 401
        assert job_id not in tab.content()
    context.close()
