"""Every case of a run's interval, from the context that Airflow gives a task to whole buckets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.api.datamodels._generated import AssetEventDagRunReference, DagRun, DagRunState, DagRunType
from airflow.sdk.exceptions import AirflowSkipException
from dag_definitions import make_job

from driftline.core.analysis import Analysis
from driftline.core.errors import NoModelError, SnapshotError
from driftline.core.timespan import Window
from driftline.elastic import state
from driftline.elastic.bulk import bulk, index_action
from driftline.pipeline.late import look
from driftline_airflow.operators.analysis import InferOperator
from driftline_airflow.window import UNTIL, forecast_start, score_window, training_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elasticsearch import Elasticsearch

    from driftline.core.job import Job

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


def at(hour: int, minute: int = 0, day: int = 1) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def context(
    kind: DagRunType,
    interval: tuple[datetime, datetime] | None = None,
    run_after: datetime = TEN,
    events: Sequence[dict[str, Any]] = (),
    **params: Any,
) -> dict[str, Any]:
    """What a task of such a run sees, with the model of Airflow's own execution API."""
    start, end = interval or (None, None)
    run = DagRun(
        dag_id="web.score",
        run_id="r",
        logical_date=start,
        data_interval_start=start,
        data_interval_end=end,
        run_after=run_after,
        start_date=run_after,
        end_date=None,
        run_type=kind,
        state=DagRunState.RUNNING,
        consumed_asset_events=[_event(extra) for extra in events],
        partition_key=None,
    )
    return {"dag_run": run, "params": {"start": None, "end": None, "model": "as_of", "partitions": None, **params}}


def _event(extra: dict[str, Any]) -> AssetEventDagRunReference:
    return AssetEventDagRunReference(
        asset={"name": "snapshots", "uri": "driftline://snapshots/web", "extra": {}},
        extra=extra,
        source_task_id="promote",
        source_dag_id="web.train",
        source_run_id="r",
        source_map_index=-1,
        source_aliases=[],
        timestamp=TEN,
    )


@pytest.fixture
def job(client: Elasticsearch, prefix: str) -> Job:
    """A job of 15 minute buckets over documents from 03:07 to 09:40, never scored."""
    made = make_job(f"{prefix}window", datafeed={"query_delay": "2m"})
    _documents(client, made, at(3, 7), at(9, 40))
    return made


def _documents(client: Elasticsearch, job: Job, *times: datetime) -> None:
    index = job.datafeed.indices[0]
    client.options(ignore_status=400).indices.create(index=index, mappings={"properties": {"@timestamp": {"type": "date"}}})
    bulk(client, [index_action(index, None, {"@timestamp": moment.isoformat()}) for moment in times])
    client.indices.refresh(index=index)


def same_job(job: Job, **datafeed: Any) -> Job:
    return type(job).parse({**job.as_dict(), "datafeed": {**job.as_dict()["datafeed"], **datafeed}}, where="test")


def test_a_scheduled_run_scores_its_interval(client: Elasticsearch, job: Job) -> None:
    found = score_window(context(DagRunType.SCHEDULED, (at(9, 30), at(9, 45))), job, client)
    assert found == Window(at(9, 30), at(9, 45))


def test_a_scheduled_run_after_an_outage_begins_where_scoring_stopped(client: Elasticsearch, job: Job) -> None:
    state.advance(client, job, Window(at(3), at(6, 15)))
    found = score_window(context(DagRunType.SCHEDULED, (at(9, 30), at(9, 45))), job, client)
    assert found == Window(at(6, 15), at(9, 45))


def test_what_a_manual_run_left_out_is_scored_by_the_next_by_the_clock(client: Elasticsearch, job: Job) -> None:
    scheduled = context(DagRunType.SCHEDULED, (at(9, 30), at(9, 45)))
    state.advance(client, job, Window(at(3), at(6, 15)))
    state.advance(client, job, Window(at(9), at(9, 15)))
    assert state.scored_until(client, job) == at(9, 15)
    assert score_window(scheduled, job, client) == Window(at(6, 15), at(9, 45))
    for piece, begin in [((at(7), at(8)), at(6, 15)), ((at(6), at(6, 30)), at(6, 30)), ((at(8, 30), at(9)), at(6, 30))]:
        state.advance(client, job, Window(*piece))
        assert score_window(scheduled, job, client) == Window(begin, at(9, 45)), piece
    state.advance(client, job, Window(at(6, 30), at(8, 30)))
    assert score_window(scheduled, job, client) == Window(at(9, 15), at(9, 45)), "nothing is left out"


def test_what_was_taken_back_is_scored_by_the_next_run(client: Elasticsearch, job: Job) -> None:
    scheduled = context(DagRunType.SCHEDULED, (at(9, 30), at(9, 45)))
    state.advance(client, job, Window(at(3), at(6, 15)))
    state.advance(client, job, Window(at(9), at(9, 15)))
    for until, begin in [(at(9, 30), at(6, 15)), (at(8), at(6, 15)), (at(5), at(5)), (at(2), at(2))]:
        state.rewind(client, job, until)
        assert state.scored_until(client, job) == min(until, at(9, 15))
        assert score_window(scheduled, job, client) == Window(begin, at(9, 45)), until


def test_a_run_that_does_not_score_late_documents_leaves_them_to_the_next(client: Elasticsearch, job: Job) -> None:
    first, newest = Window(at(3), at(9, 30)), Window(at(9, 30), at(9, 45))
    state.advance(client, job, first, look(client, job, first))
    _documents(client, job, at(9, 1), at(9, 2))
    noted = look(client, job, newest)
    assert "late" not in noted
    state.advance(client, job, newest, noted)
    following = context(DagRunType.SCHEDULED, (at(9, 45), at(10)))
    assert score_window(following, job, client) == Window(at(9), at(10))
    assert look(client, job, Window(at(9), at(10)))["late"]["documents"] == 2


def test_an_edited_job_begins_where_the_results_of_its_former_version_do(client: Elasticsearch, job: Job) -> None:
    state.advance(client, job, Window(at(6), at(9, 30)))
    edited = type(job).parse({**job.as_dict(), "bucket_span": "5m"}, where="test")
    slots = (at(9, 30), at(9, 35))
    for kind, interval in [(DagRunType.SCHEDULED, slots), (DagRunType.MANUAL, slots), (DagRunType.ASSET_TRIGGERED, None)]:
        found = score_window(context(kind, interval, run_after=at(9, 37)), edited, client)
        assert found == Window(at(6), at(9, 35)), kind
    assert score_window(context(DagRunType.BACKFILL, slots), edited, client) == Window(*slots), "exactly its interval"
    state.advance(client, edited, Window(at(9, 30), at(9, 35)))
    later = (at(9, 35), at(9, 40))
    assert score_window(context(DagRunType.SCHEDULED, later), edited, client) == Window(at(6), at(9, 40)), "still owed"
    state.advance(client, edited, Window(at(6), at(9, 40)))
    assert score_window(context(DagRunType.MANUAL, later), edited, client) == Window(*later)


def test_a_backfill_scores_exactly_its_interval_whatever_was_scored(client: Elasticsearch, job: Job) -> None:
    state.advance(client, job, Window(at(3), at(4)))
    found = score_window(context(DagRunType.BACKFILL, (at(8), at(8, 15))), job, client)
    assert found == Window(at(8), at(8, 15))


def test_a_manual_run_with_a_logical_date_scores_the_interval_before_it(client: Elasticsearch, job: Job) -> None:
    state.advance(client, job, Window(at(3), at(4)))
    found = score_window(context(DagRunType.MANUAL, (at(7, 30), at(7, 45))), job, client)
    assert found == Window(at(7, 30), at(7, 45))


@pytest.mark.parametrize("kind", [DagRunType.MANUAL, DagRunType.ASSET_TRIGGERED, DagRunType.OPERATOR_TRIGGERED])
class TestWithoutALogicalDate:
    def test_a_first_run_begins_with_the_data(self, client: Elasticsearch, job: Job, kind: DagRunType) -> None:
        assert score_window(context(kind, run_after=at(10, 1)), job, client) == Window(at(3), at(9, 45))

    def test_a_later_run_scores_what_is_new_but_for_the_query_delay(
        self, client: Elasticsearch, job: Job, kind: DagRunType
    ) -> None:
        state.advance(client, job, Window(at(3), at(9)))
        assert score_window(context(kind, run_after=at(10, 2)), job, client) == Window(at(9), at(10))

    def test_nothing_new_is_an_empty_window(self, client: Elasticsearch, job: Job, kind: DagRunType) -> None:
        state.advance(client, job, Window(at(3), at(10)))
        assert score_window(context(kind, run_after=at(10, 5)), job, client).empty

    def test_after_a_source_no_bucket_is_scored_before_it_is_ingested(
        self, client: Elasticsearch, job: Job, kind: DagRunType
    ) -> None:
        waiting = same_job(job, after_source="logs")
        found = score_window(context(kind, run_after=at(12, day=20)), waiting, client)
        assert found == Window(at(3), at(9, 30))


@pytest.mark.parametrize("kind", list(DagRunType))
@pytest.mark.parametrize("interval", [None, (at(9, 30), at(9, 45))])
def test_what_a_person_gives_comes_first_floored_to_buckets(
    client: Elasticsearch, job: Job, kind: DagRunType, interval: tuple[datetime, datetime] | None
) -> None:
    state.advance(client, job, Window(at(3), at(9)))
    given = context(kind, interval, start="2026-03-01T05:07:00+00:00", end="2026-03-01T06:59:59Z")
    assert score_window(given, job, client) == Window(at(5), at(6, 45))


def test_a_start_alone_means_until_now(client: Elasticsearch, job: Job) -> None:
    given = context(DagRunType.MANUAL, run_after=at(10, 1), start="2026-03-01T08:00:00Z")
    assert score_window(given, job, client) == Window(at(8), at(9, 45))


def test_a_historical_job_is_walked_from_end_to_end(client: Elasticsearch, job: Job) -> None:
    old = same_job(job, historical=True)
    for kind, interval in [
        (DagRunType.SCHEDULED, (at(9), at(9, 15))),
        (DagRunType.MANUAL, None),
        (DagRunType.ASSET_TRIGGERED, None),
    ]:
        assert score_window(context(kind, interval), old, client) == Window(at(3), at(9, 45))


def test_a_historical_job_can_be_backfilled_and_cut_by_hand(client: Elasticsearch, job: Job) -> None:
    old = same_job(job, historical=True)
    assert score_window(context(DagRunType.BACKFILL, (at(5), at(6))), old, client) == Window(at(5), at(6))
    assert score_window(context(DagRunType.MANUAL, start="2026-03-01T07:00Z"), old, client) == Window(at(7), at(9, 45))


def _manual(**params: Any) -> dict[str, Any]:
    return context(DagRunType.MANUAL, (at(9), at(10)), **params)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (_manual, None),
        (lambda: _manual(as_of="2026-03-01T00:00Z"), "2026-03-01T00:00Z"),
        (lambda: context(DagRunType.SCHEDULED, (at(3), at(3, day=8))), at(3, day=8)),
        (lambda: context(DagRunType.BACKFILL, (at(3), at(3, day=8))), at(3, day=8)),
        (lambda: context(DagRunType.ASSET_TRIGGERED), None),
    ],
    ids=["manual", "manual with as_of", "scheduled", "backfill", "asset"],
)
def test_a_training_is_as_of_its_param_or_its_interval(given: Callable[[], dict[str, Any]], expected: object) -> None:
    assert training_time(given()) == expected


def test_the_oldest_start_date_lies_before_any_data() -> None:
    from driftline_dags.common import START

    assert datetime.now(UTC) - START > timedelta(days=365 * 20)


def test_a_forecast_begins_where_the_data_of_the_newest_snapshot_it_follows_ends() -> None:
    events = [{UNTIL: "2026-03-08T00:00:00Z"}, {UNTIL: "2026-03-15T00:00:00Z"}, {UNTIL: "2026-03-01T00:00:00Z"}]
    assert forecast_start(context(DagRunType.ASSET_TRIGGERED, events=events)) == "2026-03-15T00:00:00Z"
    assert forecast_start(context(DagRunType.ASSET_TRIGGERED, events=events, start="2026-03-02")) == "2026-03-02"


@pytest.mark.parametrize("events", [(), ({},), ({"from_rest_api": True},)])
def test_a_forecast_that_is_told_no_start_leaves_it_open(events: Sequence[dict[str, Any]]) -> None:
    assert forecast_start(context(DagRunType.MANUAL, events=events)) is None


@pytest.mark.parametrize(
    ("kind", "error", "outcome"),
    [
        (DagRunType.SCHEDULED, NoModelError("no model yet"), AirflowSkipException),
        (DagRunType.MANUAL, NoModelError("no model yet"), NoModelError),
        (DagRunType.SCHEDULED, SnapshotError("a part is missing"), SnapshotError),
    ],
)
def test_predictions_by_the_clock_are_left_out_only_while_there_is_no_model(
    monkeypatch: pytest.MonkeyPatch, kind: DagRunType, error: Exception, outcome: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("driftline.pipeline.infer.infer", fail)
    kinds = {"classification": {"dependent_variable": "tag"}}
    analysis = {"analytics_id": "web", "source": {"index": "in"}, "dest": {"index": "out"}, "analysis": kinds}
    operator = InferOperator(task_id="infer", analysis=Analysis.parse(analysis, where="t"))
    monkeypatch.setattr(operator, "progress", lambda: None)
    with pytest.raises(outcome):
        operator.work({**context(kind), "run_id": "r"}, None)
