"""Alert files: what they may say, and when they are quiet."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from driftline.core.alerts import Alert
from driftline.core.errors import DefinitionError
from driftline.core.job import Job
from driftline.core.paths import ROOT
from driftline.pipeline.alerts import list_alerts, load_alert

SLACK = {"kind": "slack", "conn_id": "slack_ops"}
JOB = Job.parse(
    {"job_id": "web-a", "groups": ["shop"], "detectors": [{"function": "count"}], "datafeed": {"indices": ["x"]}}, where="t"
)


def alert(**fields):
    return Alert.parse({"alert_id": "ops", "channel": SLACK, **fields}, where="t")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"channel": {**SLACK, "to": ["a@example.com"]}}, "no other channel has them"),
        ({"channel": {"kind": "email", "conn_id": "mail"}}, "needs addresses"),
        ({"channel": {"kind": "email", "conn_id": "mail", "to": ["a@b\nBcc: x@y"]}}, "no e-mail address"),
        ({"channel": {"kind": "webhook", "conn_id": "hook", "path": "http://elsewhere/x"}}, "the host is the connection's"),
        ({"channel": {**SLACK, "path": "/x"}}, "only a webhook has a path"),
        ({"channel": {"kind": "slack", "conn_id": "a b"}}, "no id of a connection"),
        ({"quiet_hours": [{"from": "25:00", "to": "07:00"}]}, "no time of day"),
        ({"time_zone": "Europe/Berlim"}, "time_zone"),
        ({"min_severty": "major"}, "did you mean 'min_severity'?"),
    ],
)
def test_what_is_wrong_with_an_alert_is_said(fields, told):
    with pytest.raises(DefinitionError, match=told.replace("?", r"\?")):
        alert(**fields)


@pytest.mark.parametrize(
    ("jobs", "is_about"), [(["_all"], True), (["web-*"], True), (["shop"], True), (["web"], False), (["other", "web-a"], True)]
)
def test_it_is_about_jobs_by_id_pattern_or_group(jobs, is_about):
    assert alert(jobs=jobs).about_job(JOB) is is_about


def test_of_sources_only_quality_is_told():
    assert alert(tells="quality", jobs=["log*"]).about_source("logs")
    assert not alert(tells="quality", jobs=["web*"]).about_source("logs")
    assert not alert(tells="event").about_source("logs")


@pytest.mark.parametrize(
    ("values", "is_about"), [(["/cart/1"], True), (["/home"], False), (["/home", "/cart/2"], True), ([], False)]
)
def test_a_pattern_of_partitions_fits_one_of_the_values(values, is_about):
    assert alert(partitions=["/cart/*"]).about_values(values) is is_about
    assert alert().about_values(values)


BERLIN = {"time_zone": "Europe/Berlin"}
NIGHT = {**BERLIN, "quiet_hours": [{"from": "22:00", "to": "07:00", "days": ["mon", "tue", "wed", "thu", "fri"]}]}


@pytest.mark.parametrize(
    ("fields", "moment", "until"),
    [
        # in winter Berlin is an hour ahead of UTC; 2026-01-05 is a Monday
        (NIGHT, "2026-01-05T20:59+00:00", None),
        (NIGHT, "2026-01-05T21:00+00:00", "2026-01-06T06:00+00:00"),
        (NIGHT, "2026-01-06T05:59+00:00", "2026-01-06T06:00+00:00"),
        (NIGHT, "2026-01-06T06:00+00:00", None),
        # the night that begins on a Friday lasts into Saturday, that of Saturday is none
        (NIGHT, "2026-01-10T02:00+00:00", "2026-01-10T06:00+00:00"),
        (NIGHT, "2026-01-10T22:00+00:00", None),
        # clocks go forward on 2026-03-29 and back on 2026-10-25: the hours end by the new clock
        ({**BERLIN, "quiet_hours": [{"from": "22:00", "to": "07:00"}]}, "2026-03-28T23:00+00:00", "2026-03-29T05:00+00:00"),
        ({**BERLIN, "quiet_hours": [{"from": "22:00", "to": "07:00"}]}, "2026-10-24T23:00+00:00", "2026-10-25T06:00+00:00"),
        # without quotes YAML reads 22:00 as a number
        ({"quiet_hours": [{"from": 1320, "to": 420}]}, "2026-01-05T22:30+00:00", "2026-01-06T07:00+00:00"),
        # those that follow one another are one
        (
            {"quiet_hours": [{"from": "08:00", "to": "10:00"}, {"from": "10:00", "to": "12:00"}]},
            "2026-01-05T09:00+00:00",
            "2026-01-05T12:00+00:00",
        ),
        (
            {"quiet_hours": [{"from": "00:00", "to": "00:00", "days": ["sun"]}]},
            "2026-01-04T13:00+00:00",
            "2026-01-05T00:00+00:00",
        ),
    ],
)
def test_quiet_hours_go_by_the_clocks_of_a_place(fields, moment, until):
    found = alert(**fields).quiet_until(datetime.fromisoformat(moment))
    assert found == (datetime.fromisoformat(until) if until else None)


def test_hours_that_never_end_are_looked_at_for_a_week_only():
    always = alert(quiet_hours=[{"from": "00:00", "to": "00:00"}])
    moment = datetime(2026, 1, 5, 12, tzinfo=ZoneInfo("UTC"))
    assert 7 <= (always.quiet_until(moment) - moment).days <= 8


def test_a_broken_file_keeps_no_other_from_being_told(tmp_path, monkeypatch, write):
    monkeypatch.setenv("DRIFTLINE_ALERTS_DIR", str(tmp_path))
    write(tmp_path / "a.yaml", "alert_id: ops\nchannel: {kind: slack, conn_id: slack_ops}\n")
    write(tmp_path / "b.yaml", "alert_id: night\nchannel: {kind: fax, conn_id: x}\n")
    write(tmp_path / "c.yaml", "alert_id: ops\nchannel: {kind: slack, conn_id: another}\n")
    good, broken, taken = list_alerts()
    assert load_alert("ops") == good.alert
    assert "channel.kind" in broken.error
    assert "is taken by" in taken.error
    with pytest.raises(DefinitionError, match="Did you mean 'ops'"):
        load_alert("opps")


def test_a_file_written_back_is_the_same_alert():
    given = alert(**NIGHT, max_age="2d")
    assert Alert.parse(given.as_dict(), where="t") == given
    assert given.as_dict()["quiet_hours"][0]["from"] == "22:00"
    assert given.quiet_until(datetime(2026, 1, 5, 12, tzinfo=UTC)) is None


def test_the_alerts_in_the_documentation_and_the_example_are_valid(tmp_path, write):
    text = (ROOT / "docs" / "alerts.md").read_text("utf-8")
    found = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    alerts = [Alert.load(write(tmp_path / f"{n}.yaml", each)) for n, each in enumerate(found)]
    assert {each.channel.kind for each in alerts} == {"slack", "email", "pagerduty", "webhook"}
    assert Alert.load(ROOT / "include" / "alerts" / "incidents.yaml.example").enabled
