"""Ready jobs: each alarms at the incident that it is there for, and nowhere else; the right module is recognised."""

from __future__ import annotations

import json
import re
from shutil import copytree

import pytest
from commands import command
from module_data import DAYS, INCIDENTS, MAPPINGS, START, TRAINED, documents, incident_at

from driftline.core.errors import ClusterError, DefinitionError, SourceIndexError
from driftline.core.paths import modules_dir
from driftline.core.signature import Signatures
from driftline.core.timespan import Window, parse_time
from driftline.elastic import results
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.jobs import delete, list_jobs, save_signatures
from driftline.pipeline.jobs import save as save_job
from driftline.pipeline.modules import jobs_of, names, recognise, setup
from driftline.pipeline.score import score
from driftline.pipeline.train import train
from driftline.scoring.settings import ALARM_SCORE

# Job → the incidents that it must find, and those that it may find, as they are seen in its figures, too.
EXPECTED = {
    "web_access": {
        "low-request-rate": ("outage", ""),
        "source-ip-request-rate": ("scraper scanner", ""),
        "source-ip-url-count": ("scanner", ""),
        "status-code-rate": ("errors", "outage scraper scanner crowd"),
        "visitor-rate": ("outage crowd", ""),
        "response-bytes": ("download", "scraper scanner crowd"),
    },
    "system_metrics": {
        "cpu-usage": ("cpu", ""),
        "memory-usage": ("memory", ""),
        "filesystem-usage": ("filesystem", ""),
        "disk-throughput": ("disk", ""),
        "network-traffic": ("network", ""),
        "process-count": ("processes", ""),
        "load": ("load", ""),
        "silent-hosts": ("silence", ""),
    },
    "authentication": {
        "failed-logins": ("spray brute", ""),
        "user-failures": ("brute", ""),
        "source-failures": ("spray", ""),
        "unusual-login-time": ("night", ""),
        "rare-source-ip": ("address country", ""),
        "rare-country": ("country", ""),
    },
    "dns": {
        "tunnel": ("tunnel", ""),
        "bytes": ("bytes", "tunnel nxdomain"),
        "rare-domain": ("domain", ""),
        "rare-question-type": ("type", ""),
        "nxdomain-rate": ("nxdomain", ""),
    },
}
CASES = [(module, job) for module, jobs in EXPECTED.items() for job in jobs]


def saved_job(client, job_id):
    """A job as it is stored."""
    (job,) = [job for job in list_jobs(client) if job.job_id == job_id]
    return job


@pytest.fixture(scope="module")
def index(client, module_prefix):
    made = {}

    def of(module):
        if module not in made:
            name = f"{module_prefix}{module}"
            client.indices.create(index=name, mappings=MAPPINGS, settings={"number_of_replicas": 0})
            bulk(client, (index_action(name, None, document) for document in documents(module)))
            client.indices.refresh(index=name)
            made[module] = name
        return made[module]

    return of


@pytest.fixture
def stored(client, prefix):
    """Sets up a module's jobs under names of this test's own, and deletes them afterwards."""
    saved = set()

    def do(module, **more):
        outcome = setup(client, module, prefix=prefix, **more)
        saved.update(one["job_id"] for one in outcome["jobs"] if one["status"] == "saved")
        return outcome

    yield do
    for job_id in saved:
        delete(client, job_id)


def test_every_module_and_job_that_comes_with_driftline_has_its_test():
    assert {name: sorted(job.job_id for job in jobs_of(name, prefix="")) for name in names()} == {
        name: sorted(jobs) for name, jobs in EXPECTED.items()
    }


@pytest.mark.parametrize(("module", "name"), CASES, ids=[f"{module}-{job}" for module, job in CASES])
def test_a_ready_job_alarms_at_its_incident_and_nowhere_else(client, index, stored, prefix, module, name):
    outcome = stored(module, index_pattern=index(module), only=[name])
    assert [one["status"] for one in outcome["jobs"]] == ["saved"], outcome
    job = saved_job(client, prefix + name)
    trained = train(client, job, as_of=START + TRAINED)
    assert trained["promoted"], trained["reason"]
    score(client, job, window=Window(START + TRAINED, START + DAYS))
    severe = results.top_records(client, job.job_id, limit=500, min_score=ALARM_SCORE)
    found = {incident_at(module, parse_time(record["timestamp"])) for record in severe}
    events = results.of_type(client, job.job_id, "event")  # what is as bad as an hour before, and no worse, does not alarm again
    said = [event["driftline"]["event"] for event in events]
    alarms = {incident_at(module, parse_time(event["peak"])) for event in said if event["alarm"]}
    must, may = (set(words.split()) for words in EXPECTED[module][name])
    assert must <= found
    assert alarms, "nothing alarms"
    assert alarms <= must | may, "there are false alarms"


@pytest.mark.parametrize("module", INCIDENTS)
def test_the_right_module_is_recognised(client, index, module):
    found = recognise(client, index(module))
    assert [one["module"] for one in found if one["fits"]] == [module]
    assert len(found[0]["jobs"]) == len(EXPECTED[module])
    assert found[0]["missing"] == {}


def test_a_field_that_is_mapped_but_never_filled_leaves_its_job_out(client, prefix, stored):
    name = f"{prefix}mapped"
    mappings = {**MAPPINGS, "properties": {**MAPPINGS["properties"], "http.response.body.bytes": {"type": "long"}}}
    client.indices.create(index=name, mappings=mappings)
    document = {"@timestamp": "2026-03-01T00:00:00Z", "http.response.status_code": 200, "url.original": "/", "source.ip": "::1"}
    client.index(index=name, document=document, refresh=True)
    jobs = {one["job_id"].removeprefix(prefix): one for one in stored("web_access", index_pattern=name)["jobs"]}
    assert jobs.pop("response-bytes")["status"] == "skipped"
    assert {one["status"] for one in jobs.values()} == {"saved"}
    lacking = recognise(client, name)[0]["missing"]
    assert lacking == {"web-response-bytes": "no document that its query matches holds 'http.response.body.bytes'"}


def test_setting_up_twice_changes_nothing_and_never_overwrites_a_job_of_others(client, index, stored, prefix):
    where = index("dns")
    first = stored("dns", index_pattern=where, only=["tunnel"], dry_run=True)
    assert [one["status"] for one in first["jobs"]] == ["ready"]
    assert [one["status"] for one in stored("dns", index_pattern=where, only=["tunnel"])["jobs"]] == ["saved"]
    assert [one["status"] for one in stored("dns", index_pattern=where, only=["tunnel"])["jobs"]] == ["unchanged"]
    mine = saved_job(client, f"{prefix}tunnel").model_copy(update={"description": "changed by hand"})
    save_job(client, mine)
    (third,) = stored("dns", index_pattern=where, only=[f"{prefix}tunnel"])["jobs"]
    assert (third["status"], "taken by job" in third["reason"]) == ("skipped", True)
    assert saved_job(client, f"{prefix}tunnel").description == "changed by hand"


def test_a_job_whose_id_something_else_has_is_left_out_and_the_others_are_set_up(client, index, stored, prefix):
    taken, where = f"{prefix}nxdomain-rate", index("dns")
    save_signatures(client, Signatures.parse({"signature_id": taken, "indices": where, "term": "host.name"}, where="test"))
    try:
        for dry, status in ((True, "ready"), (False, "saved")):
            told = {one["job_id"]: one for one in stored("dns", index_pattern=where, dry_run=dry)["jobs"]}
            assert (told.pop(taken)["status"], {one["status"] for one in told.values()}) == ("skipped", {status})
    finally:
        delete(client, taken, kind="signatures")


def test_data_that_has_ended_is_named_and_run_once_where_that_is_asked_for(client, index, stored, prefix):
    live = stored("dns", index_pattern=index("dns"), only=["bytes"], dry_run=True)
    assert "--historical" in live["notes"][0]
    ended = stored("dns", index_pattern=index("dns"), only=["bytes"], historical=True)
    assert ended["notes"] == []
    assert saved_job(client, f"{prefix}bytes").historical


def test_what_is_not_there_is_said(client, index, prefix):
    with pytest.raises(DefinitionError, match="Did you mean 'web_access'"):
        jobs_of("web_acces")
    with pytest.raises(DefinitionError, match="Did you mean 'tunnel'"):
        setup(client, "dns", index_pattern=index("dns"), prefix=prefix, only=["tunel"])
    with pytest.raises(DefinitionError, match="identifier"):
        setup(client, "dns", index_pattern=index("dns"), prefix="Not An Id ")
    for pattern in (f"{prefix}nothing", f"{prefix}nothing-*"):
        with pytest.raises(SourceIndexError):
            setup(client, "dns", index_pattern=pattern, prefix=prefix)
        with pytest.raises(SourceIndexError):
            recognise(client, pattern)


def test_a_template_has_placeholders_for_its_id_and_index_only(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "module.yaml").write_text("title: Mine\ndescription: d\nindex_pattern: [a]\nquery: {match_all: {}}\n")
    template = {"job_id": "{prefix}x", "detectors": [{"function": "count"}], "datafeed": {"indices": ["{index_pattern}"]}}
    monkeypatch.setenv("DRIFTLINE_MODULES_DIR", str(tmp_path))
    (folder / "x.yaml").write_text(json.dumps({**template, "description": "{prefix} stays"}))
    (job,) = jobs_of("mine", prefix="p-", index_pattern="one, two-*")
    assert (job.job_id, job.datafeed.indices, job.description) == ("p-x", ["one", "two-*"], "{prefix} stays")
    (folder / "x.yaml").write_text(json.dumps({**template, "job_id": "fixed"}))
    with pytest.raises(DefinitionError, match="no template of a job"):
        jobs_of("mine")


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("module.yaml", "title: [", "not valid YAML"),
        ("module.yaml", "titel: Mine", "did you mean 'title'?"),
        ("x.yaml", "job_id: fixed", "no template of a job"),
    ],
)
def test_a_broken_module_is_told_and_hides_no_other(client, index, prefix, tmp_path, monkeypatch, file, text, told):
    copytree(modules_dir(), tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DRIFTLINE_MODULES_DIR", str(tmp_path))
    mine = copytree(tmp_path / "dns", tmp_path / "mine")
    (mine / file).write_text(text)
    for more in ((), ("--index", index("dns"))):
        known = {one["module"]: one for one in json.loads(command("modules", "list", *more, "--json").stdout)}
        assert known.keys() == {*EXPECTED, "mine"}
        assert [name for name, one in known.items() if "error" in one] == ["mine"]
        assert len(known["dns"]["jobs"]) == len(EXPECTED["dns"])
        assert f"{mine / file}: " in known["mine"]["error"]
        assert told in known["mine"]["error"]
        assert f"mine: broken; {known['mine']['error']}" in command("modules", "list", *more).stdout
    shown = command("modules", "show", "mine")
    assert (shown.returncode, told in shown.stderr) == (2, True)
    with pytest.raises(DefinitionError, match=re.escape(told)):
        setup(client, "mine", index_pattern=index("dns"), prefix=prefix)


def test_a_module_with_a_query_that_is_none_is_told_and_what_is_wrong_with_the_pattern_is_no_module_s(
    client, index, tmp_path, monkeypatch
):
    copytree(modules_dir(), tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DRIFTLINE_MODULES_DIR", str(tmp_path))
    head = tmp_path / "dns" / "module.yaml"
    head.write_text("title: Mine\ndescription: d\nindex_pattern: [a]\nquery: {no_query: {}}\n")
    assert {one["module"] for one in recognise(client, index("dns")) if "unknown query" in one.get("error", "")} == {"dns"}
    with pytest.raises(ClusterError, match="must not start with"):
        recognise(client, "_none")


def test_a_template_whose_query_json_has_no_words_for_hides_no_other(client, index, tmp_path, monkeypatch):
    copytree(modules_dir(), tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("DRIFTLINE_MODULES_DIR", str(tmp_path))
    template = tmp_path / "dns" / "bytes.yaml"
    template.write_text(template.read_text().replace("exists: {field: dns.question.name}", "term: {1: 2}"))
    told = {one["module"]: one for one in recognise(client, index("dns"))}
    assert told["dns"]["error"]
    assert len(told) > 1
    assert all("error" not in one for name, one in told.items() if name != "dns")
