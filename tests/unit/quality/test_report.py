import re
from datetime import UTC, datetime

import pytest

from driftline.core.timespan import Window
from driftline.quality import CheckResult, Report, render

WINDOW = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 8, tzinfo=UTC))
HOSTILE = "<script>alert(1)</script>\"'&"


def report(*checks, run="manual", docs=(1, 2, 3)):
    return Report("job", "web", "score", WINDOW, list(checks), run, {"docs": 6, "series": 2}, docs)


def check(verdict, text="fine"):
    return CheckResult("freshness", "ExpectColumnMaxToBeBetween", verdict, text, text, text, sample=[text])


@pytest.mark.parametrize(
    ("verdicts", "worst"), [((), "pass"), (("pass", "skipped"), "pass"), (("pass", "warn"), "warn"), (("stop", "warn"), "stop")]
)
def test_the_verdict_is_the_worst(verdicts, worst):
    assert report(*map(check, verdicts)).verdict == worst


def test_the_id_says_what_was_checked_and_not_by_which_run():
    assert report(run="a").report_id == report(run="b").report_id
    other = Report("job", "web", "train", WINDOW, [], "a")
    assert other.report_id != report().report_id


def test_text_from_data_is_shown_as_text():
    page = render(report(check("warn", HOSTILE), run=HOSTILE).as_dict())
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5


def test_the_page_fetches_nothing():
    page = render(report(check("pass")).as_dict())
    assert not re.search(r"(src|href)=|url\(|@import|https?://", page)


def test_verdicts_can_be_told_without_colour():
    page = render(report(check("warn"), check("stop"), check("pass"), check("skipped")).as_dict())
    for mark in ("✓ pass", "! warn", "✕ stop", "– skipped"):
        assert mark in page


def test_the_end_of_a_picture_is_no_drop():
    assert report(docs=[5] * 1001).as_dict()["detail"]["docs"] == [5.0] * 201


@pytest.mark.parametrize(("stage", "words"), [("train", "before training"), ("ingest", "of the ingested rows"), ("x", "x")])
def test_the_page_says_what_was_judged(stage, words):
    assert f"Data quality {words} ·" in render(Report("job", "web", stage, WINDOW, [], "r").as_dict())


def test_what_later_runs_want_to_know_is_kept_beside_the_facts():
    document = Report("job", "web", "train", WINDOW, [], "r", {"docs": 6, "files": 1}, kept={"profile": {"docs": 1.0}}).as_dict()
    assert document["detail"] == {"facts": {"docs": 6, "files": 1}, "docs": [], "profile": {"docs": 1.0}}
    assert document["docs"] == 6
    assert "files" not in document


def test_a_long_run_draws_a_picture_of_bounded_size():
    assert render(report(docs=range(100_000)).as_dict()).count("<rect") <= 240
    assert "<figure>" not in render(report(docs=()).as_dict())
