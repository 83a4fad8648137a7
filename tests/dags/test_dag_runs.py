"""The DAGs of one source and one job, run by Airflow itself on a real Elasticsearch: ingest, train, score, forecast."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk import DagRunState, TaskInstanceState
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from alert_receivers import Receiver, connection, receiver
from dag_definitions import make_job, write_job
from dag_traffic import END, SPIKE, TRAINED, rows
from sqlalchemy import select

from driftline.core.timespan import iso
from driftline.elastic import results, trained
from driftline.elastic.bulk import bulk, index_action
from driftline.elastic.indices import ALERTS
from driftline.elastic.snapshots import manifests
from driftline_airflow.operators import (
    FitBatchOperator,
    PromoteSnapshotOperator,
    QualityGateOperator,
    ReadSeriesOperator,
    ScoreBatchOperator,
    WriteResultsOperator,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow.models.dagrun import DagRun
    from elasticsearch import Elasticsearch

    from driftline.core.job import Job


class House:
    """One source, one job, and Airflow's way to run their DAGs."""

    def __init__(self, client: Elasticsearch, job: Job, source_id: str, folder: Path) -> None:
        self.client, self.job, self.source_id, self.folder = client, job, source_id, folder

    def run(self, dag_id: str, **params: Any) -> DagRun:
        """Runs a DAG of the bundle to its end, as a manual run without a logical date."""
        from airflow.dag_processing.bundles.manager import DagBundlesManager
        from airflow.dag_processing.dagbag import DagBag

        bundle = DagBundlesManager().get_bundle("definitions")
        bundle.initialize()
        bag = DagBag(dag_folder=str(bundle.path))
        assert bag.import_errors == {}
        dag = bag.dags[dag_id]
        for task in dag.tasks:
            if task.is_mapped:
                task.partial_kwargs["retries"] = 0
            else:
                task.retries = 0  # a failure shows at once, not after minutes of retries
        return dag.test(logical_date=None, run_conf=params)

    def documents(self) -> dict[str, dict[str, Any]]:
        """All results of the job, by id."""
        query = {"term": {"job_id": self.job.job_id}}
        return {hit["_id"]: hit["_source"] for hit in results.scan(self.client, query)}


def states(run: DagRun) -> dict[str, str | None]:
    return {ti.task_id: ti.state for ti in run.get_task_instances()}


@pytest.fixture(scope="module")
def house(
    client: Elasticsearch, own_jobs: str, airflow_database: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Traffic in a file, a source that reads it, and a job over the source's index."""
    folder: Path = tmp_path_factory.mktemp("house")
    (folder / "traffic.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    source = {
        "source_id": f"{own_jobs}traffic",
        "index": f"{own_jobs}traffic",
        "files": {"paths": str(folder / "*.ndjson"), "format": "ndjson", "final": True},
    }
    (folder / "sources").mkdir()
    (folder / "sources" / "traffic.yaml").write_text(json.dumps(source))
    job = make_job(
        f"{own_jobs}requests",
        bucket_span="1h",
        datafeed={"indices": [source["index"]]},
        training={"window": "21d"},
        forecast={"duration": "2d"},
    )
    write_job(folder / "jobs", job)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIFTLINE_JOBS_DIR", str(folder / "jobs"))
        patch.setenv("DRIFTLINE_SOURCES_DIR", str(folder / "sources"))
        yield House(client, job, source["source_id"], folder)


def test_an_ingest_run_indexes_every_row_once(house: House) -> None:
    index = f"{house.source_id}"
    expected = sum(1 for _ in rows())
    assert house.run(f"{house.source_id}.ingest").state == DagRunState.SUCCESS
    house.client.indices.refresh(index=index)
    assert house.client.count(index=index)["count"] == expected
    again = house.run(f"{house.source_id}.ingest")
    assert states(again)["pending"] == TaskInstanceState.SKIPPED
    assert house.client.count(index=index)["count"] == expected


def test_a_training_run_promotes_a_snapshot_as_of_its_param(house: House) -> None:
    run = house.run(f"{house.job.job_id}.train", as_of=iso(TRAINED))
    assert run.state == DagRunState.SUCCESS
    assert set(states(run).values()) == {TaskInstanceState.SUCCESS}
    (manifest,) = manifests(house.client, house.job.job_id)
    assert manifest["state"] == "promoted"
    assert manifest["training_end"] == iso(TRAINED)
    assert manifest["trained"] == 2


def test_a_new_snapshot_says_where_the_forecast_that_follows_it_begins(house: House) -> None:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        query = select(AssetEvent).where(AssetEvent.source_dag_id == f"{house.job.job_id}.train")
        assert [event.extra["until"] for event in session.scalars(query)] == [iso(TRAINED)]


def test_a_scoring_run_with_start_and_end_finds_the_spike(house: House) -> None:
    run = house.run(f"{house.job.job_id}.score", start=iso(TRAINED), end=iso(END))
    assert run.state == DagRunState.SUCCESS
    top = results.top_records(house.client, house.job.job_id, limit=1)[0]
    assert top["timestamp"] == int(SPIKE.timestamp() * 1000)
    assert top["partition_field_value"] == "/cart"
    assert top["record_score"] > 75
    assert top["driftline"]["snapshot_id"] == manifests(house.client, house.job.job_id)[0]["snapshot_id"]


@pytest.fixture
def alerted(house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Receiver]:
    """Two alerts of the job, and who is told."""
    common = {"jobs": [house.job.job_id], "max_age": "4000d", "channel": {"kind": "webhook", "conn_id": "a_hook"}}
    for tells in ("event", "quality"):
        alert = {"alert_id": f"{house.job.job_id}-{tells}"[-60:].lstrip("-"), "tells": tells, **common}
        (tmp_path / f"{tells}.yaml").write_text(json.dumps(alert))
    monkeypatch.setenv("DRIFTLINE_ALERTS_DIR", str(tmp_path))
    with receiver() as kept:
        monkeypatch.setenv("AIRFLOW_CONN_A_HOOK", connection(conn_type="http", port=kept.port))
        yield kept
    results.delete(house.client, ALERTS, {"term": {"name": house.job.job_id}})


def test_an_incident_is_told_once_and_a_channel_that_fails_fails_no_scoring(house: House, alerted: Receiver) -> None:
    before, dag = house.documents(), f"{house.job.job_id}.score"
    alerted.status = 503
    failed = house.run(dag, start=iso(TRAINED), end=iso(END))
    assert failed.state == DagRunState.SUCCESS
    assert states(failed)["alert"] == TaskInstanceState.FAILED
    assert house.documents() == before
    alerted.status, refused = 200, len(alerted.got)
    run = house.run(dag, start=iso(TRAINED), end=iso(END))
    assert (run.state, states(run)["alert"]) == (DagRunState.SUCCESS, TaskInstanceState.SUCCESS)
    told = [body for _, _, body in alerted.got[refused:]]
    assert len({body["event_id"] for body in told}) == len(told)
    assert any(body["values"] == ["/cart"] and body["severity"] == "critical" for body in told)
    assert alerted.got[0][2]["event_id"] in {body["event_id"] for body in told}


def test_what_stops_a_run_is_told_and_the_run_has_failed_all_the_same(house: House, alerted: Receiver) -> None:
    careful = make_job(**{**house.job.as_dict(), "quality": {"min_partition_ratio": 1.0, "partitions": "stop", "volume": "stop"}})
    write_job(house.folder / "jobs", careful)
    empty = END + (END - TRAINED)
    run = house.run(f"{house.job.job_id}.score", start=iso(END), end=iso(empty))
    write_job(house.folder / "jobs", house.job)
    assert run.state == DagRunState.FAILED
    assert (states(run)["gate"], states(run)["alert"]) == (TaskInstanceState.FAILED, TaskInstanceState.SUCCESS)
    assert [(body["tells"], body["severity"]) for _, _, body in alerted.got] == [("quality", "critical")]
    assert "/driftline/reports/" in alerted.got[0][2]["url"]


def test_the_same_interval_again_leaves_the_same_documents(house: House) -> None:
    before = house.documents()
    assert house.run(f"{house.job.job_id}.score", start=iso(TRAINED), end=iso(END)).state == DagRunState.SUCCESS
    assert house.documents() == before


def test_partitions_narrow_a_run_and_leave_the_others_alone(house: House) -> None:
    before = house.documents()
    run = house.run(f"{house.job.job_id}.score", start=iso(TRAINED), end=iso(END), partitions=["/cart"])
    assert run.state == DagRunState.SUCCESS
    assert house.documents() == before


def test_an_interval_without_a_whole_bucket_is_skipped_with_the_reason(house: House) -> None:
    run = house.run(f"{house.job.job_id}.score", start=iso(TRAINED), end=iso(TRAINED))
    assert states(run)["plan"] == TaskInstanceState.SKIPPED
    assert states(run)["write"] == TaskInstanceState.SKIPPED
    assert run.state == DagRunState.SUCCESS


def test_a_forecast_run_writes_bounds_for_every_series(house: House) -> None:
    run = house.run(f"{house.job.job_id}.forecast", duration="1d")
    assert run.state == DagRunState.SUCCESS
    query = {"bool": {"filter": [{"term": {"job_id": house.job.job_id}}, {"term": {"result_type": "model_forecast"}}]}}
    documents = [hit["_source"] for hit in results.scan(house.client, query, index="driftline-forecasts-*")]
    assert len(documents) == 2 * 24
    assert all(doc["forecast_lower"] <= doc["forecast_prediction"] <= doc["forecast_upper"] for doc in documents)


def test_a_forecast_run_begins_at_its_param_wherever_scored_data_ends(house: House) -> None:
    assert house.run(f"{house.job.job_id}.forecast", start=iso(TRAINED), duration="3h").state == DagRunState.SUCCESS
    first = {"bool": {"filter": [{"term": {"job_id": house.job.job_id}}, {"term": {"timestamp": iso(TRAINED)}}]}}
    found = [hit["_source"]["result_type"] for hit in results.scan(house.client, first, index="driftline-forecasts-*")]
    assert sorted(found) == ["model_forecast", "model_forecast", "model_forecast_request_stats"]


def test_the_buttons_of_the_written_task_lead_to_report_and_results(house: House) -> None:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    run = house.run(f"{house.job.job_id}.score", start=iso(TRAINED), end=iso(END))
    with create_session() as session:
        query = XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id, task_ids=["write", "gate"])
        found = session.scalars(query).all()
        links = {(row.task_id, row.key): row.value for row in found if row.key.startswith("_link_")}
    assert links["write", "_link_ResultsLink"].startswith(f"/driftline/explorer?job={house.job.job_id}&start=2026-03-22")
    assert links["gate", "_link_QualityReportLink"].startswith("/driftline/reports/")


def test_a_file_that_cannot_be_read_fails_the_run_but_holds_up_no_other(house: House) -> None:
    folder = house.folder
    (folder / "broken.ndjson").write_bytes(b"\x1f\x8b" + bytes(range(200)))
    (folder / "late.ndjson").write_text(json.dumps({"@timestamp": iso(END), "url.path": "/late"}) + "\n")
    run = house.run(f"{house.source_id}.ingest")
    assert run.state == DagRunState.FAILED
    found = {(ti.task_id, ti.state) for ti in run.get_task_instances()}
    assert ("ingest_file", TaskInstanceState.FAILED) in found
    assert ("ingest_file", TaskInstanceState.SUCCESS) in found
    assert ("finish", TaskInstanceState.SUCCESS) in found
    assert ("all_read", TaskInstanceState.UPSTREAM_FAILED) in found
    late = {"term": {"url.path": "/late"}}
    assert house.client.count(index=house.source_id, query=late)["count"] == 1


def test_a_mistake_of_the_user_fails_at_once_with_its_message(house: House) -> None:
    run = house.run(f"{house.job.job_id}.score", start=iso(END), end=iso(TRAINED))
    assert run.state == DagRunState.FAILED
    (plan,) = [ti for ti in run.get_task_instances() if ti.task_id == "plan"]
    assert plan.state == TaskInstanceState.FAILED
    assert plan.try_number <= 1


def test_an_edited_job_is_scored_again_over_what_it_covered_and_nothing_is_mixed(house: House) -> None:
    before = house.documents()
    former = house.job
    house.job = make_job(**{**former.as_dict(), "detectors": [{"function": "count"}]})
    write_job(house.folder / "jobs", house.job)
    run = house.run(f"{house.job.job_id}.score", end=iso(END), start=iso(TRAINED))
    assert run.state == DagRunState.SUCCESS
    after = house.documents()
    assert {id_: document for id_, document in after.items() if id_ in before} == before
    new = [document for id_, document in after.items() if id_ not in before]
    assert {document["driftline"]["job_version"] for document in new} == {house.job.version}
    mine = {m["snapshot_id"] for m in manifests(house.client, house.job.job_id) if m["job_version"] == house.job.version}
    assert {d["driftline"]["snapshot_id"] for d in new if d["result_type"] == "record"} <= mine
    assert not any("partition_field_value" in document for document in new)


@pytest.mark.parametrize(("kind", "error"), [("scheduled", AirflowSkipException), ("manual", AirflowFailException)])
def test_a_run_during_which_the_job_was_edited_goes_no_further(house: House, kind: str, error: type[Exception]) -> None:
    plan = {"job_version": "5a1c0de4f2ab", "start": iso(TRAINED), "end": iso(END), "segments": []}
    run = SimpleNamespace(run_type=kind)
    batch = {"uri": "none", "first": 0, "last": 1, "part": "0", "job_version": "5a1c0de4f2ab"}
    before = house.documents()
    for operator in (
        ReadSeriesOperator(task_id="read", job=house.job, plan=plan),
        ScoreBatchOperator(task_id="score", job=house.job, plan=plan, batch=batch),
        FitBatchOperator(task_id="fit", job=house.job, batch=batch),
        QualityGateOperator(task_id="gate", job=house.job, handle=plan, stage="score"),
        PromoteSnapshotOperator(task_id="promote", job=house.job, handle=plan, fitted=[]),
        WriteResultsOperator(task_id="write", job=house.job, plan=plan, scored=[]),
    ):
        context = {"dag_run": run, "run_id": "r", "ti": SimpleNamespace(dag_id="d"), "params": {}}
        with pytest.raises(error, match="it began with version 5a1c0de4f2ab, now it is"):
            operator.execute(context)
    assert house.documents() == before


def test_an_analysis_learns_what_documents_are_and_tells_of_new_ones(
    house: House, client: Elasticsearch, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"@timestamp": f"2026-03-01T{n % 24:02}:00:00Z", "size": n, "tag": "large" if n > 150 else "small"} for n in range(300)
    ]
    fields = {"@timestamp": {"type": "date"}, "size": {"type": "long"}, "tag": {"type": "keyword"}}
    for name in ("known", "new"):
        client.indices.create(index=f"{prefix}{name}", mappings={"properties": fields})
    bulk(client, (index_action(f"{prefix}known", str(n), row) for n, row in enumerate(rows)))
    bulk(client, (index_action(f"{prefix}new", str(n), {"@timestamp": "2026-03-02T00:00:00Z", "size": n}) for n in (7, 290)))
    client.indices.refresh(index=f"{prefix}*")
    definition = {
        "analytics_id": f"{prefix}sizes", "source": {"index": f"{prefix}known"}, "dest": {"index": f"{prefix}out"},
        "analysis": {"classification": {"dependent_variable": "tag", "max_optimization_rounds_per_hyperparameter": 0}},
        "inference": {"index": f"{prefix}new", "dest": f"{prefix}told"},
    }  # fmt: skip
    (tmp_path / "a.yaml").write_text(json.dumps(definition))
    monkeypatch.setenv("DRIFTLINE_ANALYTICS_DIR", str(tmp_path))
    run = house.run(f"{prefix}sizes.analyze")
    assert states(run) == dict.fromkeys(("read", "gate", "train", "evaluate", "write"), TaskInstanceState.SUCCESS)
    assert client.count(index=f"{prefix}out")["count"] == 300
    run = house.run(f"{prefix}sizes.infer", start="2026-03-01T00:00:00Z")
    assert states(run) == {"infer": TaskInstanceState.SUCCESS}
    hits = client.search(index=f"{prefix}told")["hits"]["hits"]
    assert {hit["_source"]["size"]: hit["_source"]["ml"]["tag_prediction"] for hit in hits} == {7: "small", 290: "large"}
    trained.delete(client, f"{prefix}sizes")
