"""The list of jobs and the page that makes one, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dag_explored import accessible

from driftline.pipeline.jobs import delete, load_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from elasticsearch import Elasticsearch
    from playwright.sync_api import Browser, Page, Route

    from driftline.core.job import Job


@pytest.fixture
def page(editor: Page) -> Page:
    """A tab of somebody who may change jobs."""
    return editor


def test_the_list_tells_how_a_job_is_doing(page: Page, explored: Job) -> None:
    held: list[Route] = []
    health = f"**/jobs/{explored.job_id}/health"
    page.route(health, lambda route: held.append(route))
    page.goto("/driftline/jobs")
    while not held:
        page.wait_for_timeout(20)
    row = page.locator(f"tr[data-job='{explored.job_id}']")
    assert row.get_by_text("loading…").is_visible(), "while Airflow and the cluster are asked"
    for route in held:
        route.continue_()
    row.get_by_text("4 trained").wait_for()
    assert row.get_by_text("loading…").count() == 0
    assert row.get_by_text("its DAGs are being made").is_visible()
    assert "2026-03-20 00:00" in row.inner_text()
    row.get_by_role("button", name="Snapshots").click()
    page.locator("#detail tbody tr").first.wait_for()
    assert "promoted" in page.locator("#detail").inner_text()
    accessible(page)


def test_a_job_is_made_with_fields_of_its_index_checked_and_previewed(
    page: Page,
    client: Elasticsearch,
    explored: Job,
    module_prefix: str,
) -> None:
    name = f"{module_prefix}made"
    page.goto(f"/driftline/new-job?index={explored.datafeed.indices[0]}")
    page.get_by_text("fields can be used").wait_for()
    index = explored.datafeed.indices[0]
    documents = client.count(index=index)["count"]
    proposed = page.locator(f"#indices option[value='{index}']")
    proposed.wait_for(state="attached")
    assert proposed.inner_text() == f"{documents:,} documents"
    page.locator("#series figure").wait_for()  # all documents, as long as nothing else is chosen
    assert page.locator("#series figure").count() == 1
    page.get_by_label("for each").select_option("url")
    page.get_by_label("Bucket span").select_option("1h")
    page.locator("#series figure").nth(3).wait_for()
    assert page.locator("#series figcaption").first.inner_text().startswith("/")
    page.get_by_role("button", name="What suits the data?").click()
    page.locator("#suggested", has_text=": ").wait_for()
    told = page.locator("#suggested").inner_text().partition(":")[0]
    assert page.locator("[name=bucket_span]").input_value() == told
    page.get_by_label("Bucket span").select_option("1h")
    page.get_by_label("Influencers").select_option("ip")
    page.get_by_label("Id", exact=True).fill("Not An Id")
    page.locator("#problems .error").first.wait_for()
    page.get_by_label("Id", exact=True).fill(name)
    page.get_by_text("This can be saved.").wait_for()
    page.get_by_role("button", name="Preview").click()
    page.locator("#charts svg").first.wait_for()
    assert "minor and up" in page.locator("#alarms").inner_text()
    assert page.locator("#charts figure").count() == 4
    accessible(page)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="The job is saved").wait_for()
    made = load_job(name, client)
    assert made.detectors[0].partition_field_name == "url"
    assert made.influencers == ["ip"]
    delete(client, name)


def test_a_viewer_may_not_make_jobs(browser: Browser, site: str, token_of: Callable[[str], str]) -> None:
    context = browser.new_context(base_url=site)
    context.add_cookies([{"name": "_token", "value": token_of("viewer"), "url": site}])
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    answer = tab.goto("/driftline/new-job")
    assert answer is not None
    assert answer.status == 403
    tab.goto("/driftline/jobs")
    assert tab.get_by_role("link", name="Create a job").count() == 0
    context.close()
