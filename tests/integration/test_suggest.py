"""Jobs that are proposed for an index: of kinds that fit it, valid, and never refused by the checks before a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml
from test_cli import run

from driftline.core.errors import SourceIndexError
from driftline.core.job import Job
from driftline.core.source import Source
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.fields import check_fields
from driftline.pipeline.ingest import ingest
from driftline.pipeline.jobs import delete, reset
from driftline.pipeline.suggest import FIELDS, keep, named, suggest
from driftline.pipeline.train import train

START = datetime(2026, 3, 1, tzinfo=UTC)
KEYWORDS = {"words": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}


def fill(client, name, documents, **properties):
    mappings = {"properties": {"@timestamp": {"type": "date"}, **properties}, "dynamic_templates": [KEYWORDS]}
    client.indices.create(index=name, mappings=mappings, settings={"number_of_replicas": 0})
    bulk(client, (index_action(name, None, document) for document in documents))
    client.indices.refresh(index=name)
    return name


def stamp(hours):
    return (START + timedelta(hours=float(hours))).isoformat()


def detectors(proposals):
    return {one.job.detectors[0].description for one in proposals}


def all_can_run(client, proposals):
    for one in proposals:
        again = Job.parse(yaml.safe_load(yaml.safe_dump(one.definition)), where="test")
        assert again == one.job
        check_fields(client, again)
        assert one.reason
    assert len({one.job.job_id for one in proposals}) == len(proposals)


@pytest.fixture(scope="module")
def web(client, module_prefix, tmp_path_factory):
    """An access log of three days, as an ingest of our own indexes it."""
    rng, lines = np.random.default_rng(5), []
    for hour in range(72):
        for _ in range(rng.poisson(60 * (1 + 0.5 * np.sin(2 * np.pi * hour / 24)))):
            at = (START + timedelta(hours=hour + float(rng.random()))).strftime("%d/%b/%Y:%H:%M:%S +0000")
            status = 200 if rng.random() < 0.9 else 404
            where = f"GET /page/{rng.integers(0, 30)}?id={rng.integers(0, 10**9)} HTTP/1.1"
            lines.append(
                f'192.0.2.{rng.integers(1, 200)} - - [{at}] "{where}" {status} {rng.integers(100, 9000)} "-" "Browser/1.0"\n'
            )
    path = tmp_path_factory.mktemp("logs") / "access.log"
    path.write_text("".join(sorted(lines, key=lambda line: line.split("[")[1])))
    name = f"{module_prefix}web"
    ingest(client, Source.parse({"source_id": name, "index": name, "files": {"paths": [str(path)]}}, where="test"))
    client.indices.refresh(index=name)
    return name


@pytest.fixture(scope="module")
def proposed(client, web):
    return suggest(client, web)


def test_an_access_log_of_our_own_ingest_gets_jobs_of_each_kind(client, proposed):
    seen, found = proposed
    assert detectors(found) >= {
        "count",
        "count partitionfield=http.response.status_code",
        "count partitionfield=url.path",
        "high_count over source.ip",
        "high_distinct_count(url.path) over source.ip",
        "rare by url.path",
    }
    assert any(name.startswith("sum(http.response.body.bytes)") for name in detectors(found))
    assert not any("url.original" in text or "url.query" in text for text in detectors(found))  # these name documents
    assert (seen.daily, seen.weekly) == (True, False)
    all_can_run(client, found)


def test_its_jobs_name_who_may_be_to_blame_and_run_once_as_the_log_has_ended(proposed):
    _, found = proposed
    jobs = {one.job.detectors[0].description: one.job for one in found}
    assert "source.ip" in jobs["count"].influencers
    assert jobs["count partitionfield=url.path"].influencers[0] == "url.path"
    assert all(job.historical for job in jobs.values())
    assert jobs["count"].bucket_span < jobs["count partitionfield=url.path"].bucket_span


def test_a_suggested_job_trains(client, proposed, prefix):
    _, found = proposed
    (one,) = [one for one in named(found, prefix) if one.job.detectors[0].description == "count"]
    try:
        assert train(client, one.job)["trained"] == 1
    finally:
        reset(client, one.job.job_id)


def test_metrics_get_means_for_each_host_but_counters_and_codes_do_not(client, prefix):
    rng = np.random.default_rng(1)
    documents = (
        {
            "@timestamp": stamp(minute / 60),
            "host.name": f"host-{host}",
            "system.cpu.total.norm.pct": float(rng.normal(0.4, 0.02)),
            "system.network.in.bytes": 10**6 + minute * 1000 + host,
            "process.pid": int(rng.integers(1, 9999)),
            "fixed": 7,
        }
        for minute in range(0, 3 * 24 * 60, 10)
        for host in range(5)
    )
    _, found = suggest(client, fill(client, f"{prefix}metrics", documents))
    assert "mean(system.cpu.total.norm.pct) partitionfield=host.name" in detectors(found)
    assert not any(name in text for name in ("network.in", "pid", "fixed") for text in detectors(found))
    assert not any(one.job.detectors[0].kind == "population" for one in found)
    spans = {one.job.detectors[0].description: one.job.bucket_span for one in found}
    assert spans["mean(system.cpu.total.norm.pct) partitionfield=host.name"] == timedelta(minutes=15)
    all_can_run(client, found)


HOSTILE = [
    "a: {b",
    "[bold]x[/]",
    "/etc/passwd",
    "ü nicode",
    "-",
    "line\nbreak",
    "\x1b[31mred",
    "'\"",
    "{prefix}",
    "x" * 300,
    "count",
    "by",
]


def test_hostile_names_of_fields_and_values_harm_neither_files_nor_the_screen(client, prefix, tmp_path):
    values = ["one\x1b[31m", "[red]two", "three: {", "four\nfive"]
    documents = [
        {"@timestamp": stamp(number / 60), **{name: values[number % 4] for name in HOSTILE}, "amount": number % 7}
        for number in range(3000)
    ]
    index = fill(client, f"{prefix}hostile", documents)
    seen, found = suggest(client, index)
    assert any(note.startswith("2 fields have names that no job takes") for note in seen.notes)
    assert sum(one.job.detectors[0].partition_field_name in HOSTILE for one in found) >= 3
    all_can_run(client, found)
    keep(client, found, save=False, folder=tmp_path / "jobs")
    files = list((tmp_path / "jobs").iterdir())
    assert len(files) == len(found)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == files
    spoken = run("jobs", "suggest", index)
    assert "\x1b[31m" not in spoken.stdout
    assert spoken.returncode == 0
    assert sorted(Job.load(path).job_id for path in files) == sorted(one.job.job_id for one in found)


def test_of_very_many_fields_fifty_are_looked_at_and_the_known_ones_first(client, prefix):
    documents = (
        {
            "@timestamp": stamp(number / 60),
            **{f"aa{field:03d}": f"v{number % 3}" for field in range(120)},
            "status": f"s{number % 3}",
        }
        for number in range(300)
    )
    seen, found = suggest(client, fill(client, f"{prefix}wide", documents))
    assert len(seen.kinds) == FIELDS
    assert any(f"{FIELDS} of 121" in note for note in seen.notes)
    assert "count partitionfield=status" in detectors(found)


def test_another_field_of_time_is_found_and_texts_are_taken_by_their_keyword(client, prefix):
    text = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
    documents = [{"when": stamp(number / 30), "host": f"h{number % 4}", "born": "1970-01-01"} for number in range(2000)]
    index = fill(client, f"{prefix}odd", documents, when={"type": "date"}, host=text, born={"type": "date"})
    client.index(index=index, document={"when": stamp(1)}, refresh=True)
    _, found = suggest(client, index)
    assert {one.job.time_field for one in found} == {"when"}
    assert "count partitionfield=host.keyword" in detectors(found)
    all_can_run(client, found)


def test_an_index_that_is_not_there_or_empty_or_has_no_date_is_said_to_be(client, prefix):
    client.indices.create(index=f"{prefix}empty", mappings={"properties": {"@timestamp": {"type": "date"}}})
    client.indices.create(index=f"{prefix}dateless", mappings={"properties": {"a": {"type": "keyword"}}})
    for index, what in (("nothing", "does not exist"), ("nothing-*", "no index"), ("empty", "no document"), ("dateless", "date")):
        with pytest.raises(SourceIndexError, match=what):
            suggest(client, f"{prefix}{index}")


def test_the_command_proposes_writes_and_stores_and_leaves_what_is_there(client, web, prefix, tmp_path):
    first = json.loads(run("jobs", "suggest", web, "--prefix", prefix, "--write", tmp_path, "--save", "--json").stdout)
    assert first["modules"] == ["web_access"]
    assert {"job", "reason"} == set(first["jobs"][0])
    names = [one["job"]["job_id"] for one in first["jobs"]]
    try:
        assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(names)
        before = {path: path.read_text() for path in tmp_path.iterdir()}
        again = json.loads(run("jobs", "suggest", web, "--prefix", prefix, "--write", tmp_path, "--save", "--json").stdout)
        assert sum("the id is taken by job" in line for line in again["kept"]) == len(names)
        assert sum("there is a file of that name" in line for line in again["kept"]) == len(names)
        assert {path: path.read_text() for path in tmp_path.iterdir()} == before
        valid = json.loads(run("jobs", "validate", *before, "--offline", "--json").stdout)
        assert all(one["valid"] for one in valid)
    finally:
        for name in names:
            delete(client, name)


def test_a_prefix_that_makes_no_identifier_is_refused(web):
    done = run("jobs", "suggest", web, "--prefix", "Not An Id", "--json")
    assert done.returncode == 2
    assert "identifier" in json.loads(done.stdout)["what"]
