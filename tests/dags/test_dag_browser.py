"""The plugin's pages in a real browser, light and dark: what they say can be seen, and nothing in them is live or fetched."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from driftline.core.timespan import Window
from driftline.elastic.indices import QUALITY, ensure_templates
from driftline.quality.checks import CheckResult
from driftline.quality.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Locator, Page, ViewportSize

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
MOMENT = datetime(2026, 3, 26, 10, tzinfo=UTC)
WIDE: ViewportSize = {"width": 1200, "height": 800}
NARROW: ViewportSize = {"width": 390, "height": 844}  # a telephone
READABLE = 4.5  # contrast of text to its ground that WCAG 2 asks for (AA)
BODY = 21 / 2  # and what plain text of a page should have, halfway to black on white


@pytest.fixture(scope="module")
def token(token_of: Callable[[str], str]) -> str:
    """The cookie's value of somebody who is signed in and may only look."""
    return token_of("viewer")


@pytest.fixture(scope="module")
def job_id(own_jobs: str) -> str:
    """A job's name."""
    return f"{own_jobs}browser"


@pytest.fixture(scope="module")
def report_id(client: Elasticsearch, job_id: str) -> str:
    """A report of a training with each verdict, and hostile text in a sample."""
    ensure_templates(client)
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
    tab.set_default_timeout(60_000)
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


def check_page(tab: Page, scheme: str) -> None:
    """What holds for each of our pages."""
    ground = _luminance(_ground(tab))
    assert ground < 0.1 if scheme == "dark" else ground > 0.9
    assert contrast(tab.locator("h1")) > BODY
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), "it fits its window"
    assert tab.locator("script, img").count() == 0
    assert "owned" not in tab.title()


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
    tab.set_default_timeout(60_000)
    for path in ("explorer", "series", f"reports/{report_id}"):
        answer = tab.goto(f"/driftline/{path}")
        assert answer is not None
        assert answer.status == 401
        assert job_id not in tab.content()
    context.close()
