"""A page whose API the test answers itself: what comes, in which order, and when. No server is needed, and no cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Request, Route

SITE = "http://pages.test/"
T0, HOUR = 1_774_310_400_000, 3_600_000  # 2026-03-24T00:00Z


@dataclass
class Asked:
    """A question to the API."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any


@dataclass
class Script:
    """A page with its script.

    Attributes:
        tab: Where it is.
        answer: Gives the JSON for a question, with a status where it is no 200; None holds the answer back.
        asked: All questions so far.
        held: Those that were held back, with what answers them.
    """

    tab: Page
    answer: Callable[[Asked], Any]
    asked: list[Asked] = field(default_factory=list)
    held: list[tuple[Asked, Callable[[Any], None]]] = field(default_factory=list)

    def open(self, template: str, **values: Any) -> None:
        """Opens the page."""
        from driftline_airflow.web.assets import asset
        from driftline_airflow.web.render import rendered

        page = rendered(template, **{"title": "Page", "here": "", **values}).body

        def served(route: Route) -> None:
            path = urlsplit(route.request.url).path.lstrip("/")
            if path.startswith("api/v1/"):
                self._answered(route, path.removeprefix("api/v1/"))
            elif path.startswith("static/"):
                found = asset(path.removeprefix("static/"))
                assert found is not None
                route.fulfill(body=found.content, content_type=found.kind)
            else:
                route.fulfill(body=bytes(page), content_type="text/html; charset=utf-8")

        self.tab.route(f"{SITE}**", served)
        self.tab.goto(f"{SITE}page")

    def stop_clock(self) -> None:
        """From now on the page's timers wait for `tab.clock.run_for`, however long the test itself takes."""
        self.tab.clock.install(time=T0 / 1000)
        self.tab.clock.pause_at((T0 + HOUR) / 1000)

    def of(self, path: str) -> list[Asked]:
        """The questions whose path ends so."""
        return [each for each in self.asked if each.path.endswith(path)]

    def release(self, value: Any) -> None:
        """Answers what was held back first."""
        while not self.held:
            self.tab.wait_for_timeout(10)
        _, give = self.held.pop(0)
        give(value)
        self.tab.wait_for_timeout(50)  # for what the script makes of it

    def _answered(self, route: Route, path: str) -> None:
        asked = _asked(route.request, path)
        self.asked.append(asked)
        found = self.answer(asked)
        if found is None:
            self.held.append((asked, lambda value: _give(route, value)))
        else:
            _give(route, found)


def _asked(request: Request, path: str) -> Asked:
    body = request.post_data_json if request.post_data else None
    return Asked(request.method, path, parse_qs(urlsplit(request.url).query, keep_blank_values=True), body)


def _give(route: Route, found: Any) -> None:
    status, body = found if isinstance(found, tuple) else (200, found)
    route.fulfill(status=status, json=body)


def view(count: int = 24, **more: Any) -> dict[str, Any]:
    """One series as the API gives it, by the hour."""
    times = [T0 + n * HOUR for n in range(count)]
    bounds = {"lower": [5.0] * count, "typical": [11.0] * count, "upper": [20.0] * count}
    nothing: dict[str, Any] = {"records": [], "events": [], "annotations": [], "forecast": None, "notes": []}
    about = {"job_id": "web", "label": "/a", "detector": "count", "kind": "series", "bucket_span": 3600, "thinned": 1}
    return {**about, "times": times, "actual": [10.0 + n % 5 for n in range(count)], **bounds, **nothing, **more}


def series_page(fields: tuple[tuple[str, str], ...] = (("partition", "url"),), **state: Any) -> dict[str, Any]:
    """What the template of a series needs."""
    kept: dict[str, Any] = {
        "job": "web", "detector": 0, "partition": "/a", "by": None, "over": None, "look": None, "counts_members": False,
        "start": "2026-03-24T00:00:00Z", "end": "2026-03-25T00:00:00Z", "ready": True, "may_edit": ["web"], **state,
    }  # fmt: skip
    shown = {"jobs": [{"job_id": "web"}], "detectors": ["count"], "subtitle": "", "may_edit": True, "kind": "series"}
    return {"template": "series.html", **shown, "fields": list(fields), "state": kept}


def explorer_page(**state: Any) -> dict[str, Any]:
    """What the template of the explorer needs."""
    window = {"start": "2026-03-24T00:00:00Z", "end": "2026-03-25T00:00:00Z"}
    lanes = [{"key": key, "max_score": 90, "cells": [[T0 + 5 * HOUR, 90]]} for key in ("/a", "/b")]
    overall = {"key": "overall", "max_score": 90, "cells": [[T0 + n * HOUR, 90] for n in range(24)]}
    kept: dict[str, Any] = {
        "jobs": ["web"], **window, "view": "partition", "min_score": 0, "selected": None, "lane": None, "influencer": [],
        "may_edit": [], "lanes": {**window, "span": 3600, "by": "partition", "overall": overall, "lanes": lanes, "total": 60},
        **state,
    }  # fmt: skip
    jobs = [{"job_id": "web", "description": ""}]
    shown = {"jobs": jobs, "chosen": {"web"}, "chosen_label": "web", "views": [("partition", "url")]}
    return {"template": "explorer.html", **shown, "state": kept}


def record(partition: str, **more: Any) -> dict[str, Any]:
    """A record as the API gives it."""
    known = {"_id": partition, "job_id": "web", "timestamp": T0 + 5 * HOUR, "bucket_span": 3600, "record_score": 80}
    found = {"detector": "count", "detector_index": 0, "actual": [1], "typical": [2], "influencers": []}
    return {**known, **found, "partition_field_value": partition, "driftline": {"sentence": "a spike"}, **more}


def nothing(asked: Asked) -> dict[str, Any]:
    """An API of which nothing is to be told but that it is there."""
    return {
        "records": {"count": 0, "records": []},
        "influencers": {"influencers": {}},
        "events": {"events": []},
        "draft/indices": {"indices": []},
        "draft/series": {"series": [], "notes": []},
        "validate": {"valid": True, "problems": [], "notes": []},
    }.get(asked.path, view() if asked.path.endswith("series/values") else {})
