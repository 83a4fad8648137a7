"""Signatures against a real Elasticsearch: learned, scored, scanned, written once and only once, looked at."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from driftline.bench.behaviours import make, moment
from driftline.bench.signatures import filled, found
from driftline.cli.app import app
from driftline.core.errors import DataError, DefinitionError, SnapshotError, SourceIndexError, WindowError
from driftline.core.signature import Signatures
from driftline.core.timespan import Window, iso
from driftline.elastic import results, snapshots, state
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline import jobs
from driftline.pipeline.loudml import anomalies
from driftline.pipeline.signature_view import anomalous, profile, state_of, times
from driftline.pipeline.signatures import due, load, score, train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from elasticsearch import Elasticsearch

DAY, WEEK = timedelta(days=1), timedelta(days=7)
LEARNED = 21  # days: three spans
CHANGED = moment(LEARNED)
LAST_DAY = Window(moment(LEARNED + 6), moment(LEARNED + 7))


@pytest.fixture(scope="module")
def fleet() -> Any:
    return make(7, 120, planted=6, since=LEARNED)


@pytest.fixture(scope="module")
def callers(client: Elasticsearch, fleet: Any) -> Iterator[Signatures]:
    """Signatures of 120 accounts that were learned; six accounts change afterwards."""
    with filled(client, fleet, LEARNED + 7, window="21d") as (signatures, docs):
        assert docs > 10_000
        jobs.store(client, "signatures", signatures.signature_id, signatures)
        told = train(client, signatures, as_of=CHANGED)
        assert told["entities"] == 120
        assert sum(told["groups"]) == 120
        yield signatures
        jobs.delete(client, signatures.signature_id, kind="signatures")


def stored(client: Elasticsearch, signatures: Signatures) -> dict[str, dict[str, Any]]:
    query = {"term": {"job_id": signatures.signature_id}}
    return {hit["_id"]: hit["_source"] for hit in results.scan(client, query)}


def test_those_that_changed_are_found_and_written_once(client: Elasticsearch, callers: Signatures, fleet: Any) -> None:
    told = score(client, callers, LAST_DAY, interval="24h")
    assert (told["scored"], told["entities"], told["new"], told["in_sample"]) == (1, 120, 0, False)
    changed = {fleet.names()[row] for row in fleet.changed}
    reported = found(client, callers)
    assert len(reported & changed) >= 5
    assert len(reported - changed) <= 1
    before = stored(client, callers)
    assert len(before) == told["records"] + 1
    again = score(client, callers, LAST_DAY, interval="24h")
    assert (again["written"], again["deleted"]) == (len(before), 0)
    assert stored(client, callers) == before
    stricter = score(client, callers, LAST_DAY, interval="24h", threshold=100)
    assert stricter["written"] + stricter["deleted"] == len(before)
    score(client, callers, LAST_DAY, interval="24h")
    assert stored(client, callers) == before


def test_records_have_the_shape_of_elastics_and_are_found_as_loudmls(client: Elasticsearch, callers: Signatures) -> None:
    score(client, callers, LAST_DAY, interval="24h")
    hits = anomalies(client, [callers], size=100)["hits"]["hits"]
    assert hits
    record = hits[0]["_source"]
    assert record["partition_field_name"] == "account"
    assert record["bucket_span"] == 86_400
    assert record["record_score"] >= 99
    assert record["timestamp"] == int(LAST_DAY.start.timestamp() * 1000)
    assert record["driftline"]["job_version"] == callers.version
    assert record["driftline"]["training_end"] == iso(CHANGED)
    assert record["driftline"]["in_sample"] is False
    assert record["driftline"]["sentence"]
    (bucket,) = [each for each in stored(client, callers).values() if each["result_type"] == "bucket"]
    assert bucket["driftline"]["series"] == 120
    assert bucket["anomaly_score"] == max(hit["_source"]["record_score"] for hit in hits)


def test_runs_in_pieces_give_what_one_run_gives(client: Elasticsearch, callers: Signatures) -> None:
    whole = Window(moment(LEARNED + 5), LAST_DAY.end)
    score(client, callers, whole, interval="12h")
    before = stored(client, callers)
    assert len([each for each in before.values() if each["bucket_span"] == 43_200 and each["result_type"] == "bucket"]) == 4
    for start in (whole.start + DAY, whole.start):
        score(client, callers, Window(start, start + DAY), interval="12h")
    assert stored(client, callers) == before


def test_a_day_is_scored_by_what_was_learned_before_its_week_began(client: Elasticsearch, callers: Signatures) -> None:
    later = moment(LEARNED + 5)
    train(client, callers, as_of=later)
    told = score(client, callers, LAST_DAY, interval="24h")
    assert told["in_sample"] is False
    newest = score(client, callers, LAST_DAY, interval="24h", model="latest")
    assert newest["in_sample"] is True
    assert all(each["driftline"]["in_sample"] for each in stored(client, callers).values() if each["bucket_span"] == 86_400)
    doomed = [m["snapshot_id"] for m in snapshots.manifests(client, callers.job_id) if m["training_end"] == iso(later)]
    assert snapshots.delete(client, callers.job_id, doomed) == 1
    score(client, callers, LAST_DAY, interval="24h")


def test_what_is_new_goes_on_where_it_ended(client: Elasticsearch, callers: Signatures) -> None:
    hours = Window(LAST_DAY.end - timedelta(hours=2), LAST_DAY.end)
    score(client, callers, hours)
    assert state.scored_until(client, callers) == LAST_DAY.end
    now = LAST_DAY.end + timedelta(hours=3, minutes=10)
    assert due(client, callers, run_after=now) == Window(LAST_DAY.end, LAST_DAY.end + timedelta(hours=3))
    assert due(client, callers, start="2026-01-10T05:30Z", end="2026-01-12", interval="24h") == Window.parse(
        "2026-01-10", "2026-01-12"
    )
    with pytest.raises(DefinitionError, match="must be a multiple of the resolution 1h"):
        due(client, callers, start="2026-01-10", end="2026-01-12", interval="90m")


def test_limited_training_groups_all(client: Elasticsearch, callers: Signatures) -> None:
    (manifest,) = snapshots.manifests(client, callers.job_id)
    whole = load(client, manifest)
    train(client, callers, as_of=CHANGED, limit=100)
    (again,) = snapshots.manifests(client, callers.job_id)
    assert again["detail"]["limit"] == 100
    assert load(client, again).names == whole.names
    train(client, callers, as_of=CHANGED)
    (last,) = snapshots.manifests(client, callers.job_id)
    assert (load(client, last).group == whole.group).all()


def test_an_entity_is_shown_side_by_side(client: Elasticsearch, callers: Signatures, fleet: Any) -> None:
    score(client, callers, LAST_DAY, interval="24h")
    kinds = {kind: fleet.names()[row] for row, kind in fleet.changed.items()}
    rows = {row["entity"]: row for row in anomalous(client, callers)}
    assert rows[kinds["silence"]]["sentence"].startswith("Nothing in 7 days")
    assert profile(client, callers, kinds["more"])["score"] == rows[kinds["more"]]["score"]
    shown = profile(client, callers, kinds["more"], until=LAST_DAY.end)
    assert shown["typical"] in {row["typical"] for row in shown["records"] if row["until"] == iso(LAST_DAY.end)}
    assert (shown["until"], shown["score"] >= 99) == (iso(LAST_DAY.end), True)
    assert (len(shown["long"]["workday"]), len(shown["short"]["weekend"]), shown["slots"]) == (24, 24, 24)
    assert sum(shown["short"]["workday"]) > 2 * sum(shown["long"]["workday"])
    assert sum(shown["long"]["workday"]) == pytest.approx(sum(shown["group"]["workday"]), rel=0.5)
    assert sum(shown["mix"]["long"]) == pytest.approx(1, abs=0.01)
    assert shown["records"]
    with pytest.raises(DataError, match="was not there when signatures were learned"):
        profile(client, callers, "nobody")
    assert state_of(client, callers)["snapshot"]["entities"] == 120
    assert any(each["records"] for each in times(client, callers))


def test_what_is_hostile_in_names_stays_text(client: Elasticsearch, prefix: str) -> None:
    index, names = f"{prefix}hostile", ["../../etc", '<b>"x"', "a\nb", "%d%s", "ü" * 40, "[red]x[/]", *"defgh"]
    client.indices.create(index=index, settings={"number_of_replicas": 0}, mappings={"properties": {
        "@timestamp": {"type": "date"}, "who": {"type": "keyword"}, "took": {"type": "double"}}})  # fmt: skip
    bulk(client, (
        index_action(index, None, {"@timestamp": iso(moment(0) + timedelta(hours=hour)), "who": name, "took": 5.0 + hour % 3})
        for hour in range(28 * 24) for number, name in enumerate(names) for _ in range(2 if number or hour < 21 * 24 else 40)
    ))  # fmt: skip
    client.indices.refresh(index=index)
    features = [{"name": "took", "metric": "avg", "field": "took"}, {"name": "all", "metric": "sum", "field": "took"}]
    hostile = Signatures.parse(
        {"signature_id": f"{prefix}h", "indices": index, "term": "who", "window": "21d", "features": features, "interval": "24h"},
        where="test",
    )
    try:
        with pytest.raises(SnapshotError, match="nothing was learned before"):
            score(client, hostile, Window(moment(1), moment(2)))
        with pytest.raises(WindowError, match="too short to learn from"):
            train(client, hostile, as_of=moment(5))
        told = score(client, hostile, Window(moment(27), moment(28)), threshold=0)  # it learns by itself
        assert told["entities"] == len(names)
        assert {row["entity"] for row in anomalous(client, hostile)} == set(names)
        assert anomalous(client, hostile, limit=1)[0]["entity"] == names[0]
        assert profile(client, hostile, names[0])["mix"] is None
        limited = hostile.model_copy(update={"max_terms": 10})
        notes = train(client, limited, as_of=moment(21))["notes"]
        assert notes[0].startswith("1 entities beyond max_terms=10 are left out (the smallest): ")
    finally:
        jobs.reset(client, hostile.signature_id)


def test_the_command_does_all_of_it(client: Elasticsearch, callers: Signatures, tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        done = CliRunner().invoke(app, ["signatures", *words, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    name = callers.signature_id
    assert any(each["id"] == name for each in run("list"))
    told = run("scan", name, "--start", iso(LAST_DAY.start), "--end", iso(LAST_DAY.end))
    assert told["interval"] == "1d"
    assert run("results", name, "--limit", "2")[0]["score"] >= 99
    assert run("show", name)["snapshot"]["entities"] == 120
    assert run("validate", name)["valid"] is True
    with pytest.raises(DefinitionError, match="Did you mean"):
        run("score", name[:-1])
    file = tmp_path / "misspelt.yaml"
    file.write_text(json.dumps({**callers.as_dict(), "mix": "destinaton"}))
    with pytest.raises(SourceIndexError, match="Did you mean 'destination'"):
        run("save", str(file))


def test_an_id_belongs_to_one_kind_only(client: Elasticsearch, callers: Signatures, tmp_path: Path) -> None:
    name = callers.signature_id
    jobs.store(client, "job", name, callers.clock())  # as those are that were there before it was refused
    try:
        (mine,) = [e for e in jobs.list_definitions(client) if (e.kind, e.id) == ("signatures", name)]
        assert "is the id of a job" in str(mine.error)
        with pytest.raises(DefinitionError, match="is the id of a job: what was learned and found by it stays"):
            jobs.reset(client, name, kind="signatures")
        file = tmp_path / "callers.yaml"
        file.write_text(json.dumps(callers.as_dict()))
        with pytest.raises(DefinitionError, match="is taken"):
            CliRunner().invoke(app, ["signatures", "save", str(file)], catch_exceptions=False)
        assert jobs.delete(client, name, kind="signatures") == {}  # what there is now is the job's
        assert snapshots.manifests(client, name)
        with pytest.raises(DefinitionError, match="there is no signatures"):
            jobs.load_signatures(name, client)
    finally:
        jobs.undefine(client, name)
        jobs.save_signatures(client, callers)


def test_what_is_not_defined_any_more_can_be_reset(client: Elasticsearch, callers: Signatures) -> None:
    jobs.undefine(client, callers.signature_id, "signatures")
    words = ["signatures", "reset", callers.signature_id, "--yes"]
    try:
        assert "snapshots" in CliRunner().invoke(app, words, catch_exceptions=False).stdout
        with pytest.raises(DefinitionError, match="there is no signatures"):
            CliRunner().invoke(app, words, catch_exceptions=False)
    finally:
        jobs.save_signatures(client, callers)
