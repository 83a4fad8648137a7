"""Where the hook finds its cluster, and how errors reach Airflow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException
from sqlalchemy import delete

from driftline.core.errors import ClusterDownError, DefinitionError, WriteError
from driftline_airflow.failures import told_to_airflow
from driftline_airflow.hook import CONNECTION, DriftlineElasticsearchHook

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "s3cret/with:signs"


@pytest.fixture
def in_database(no_cluster: None, airflow_database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The connection stands in Airflow's database only, and this process is as the DAG processor and the web server are."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    from airflow.models import Connection
    from airflow.utils.session import create_session

    extra = json.dumps({"scheme": "https", "ca_certs": "ca.pem"})
    with create_session() as session:
        session.add(Connection(CONNECTION, "elasticsearch", host="es.local", port=9243, login="u", password=SECRET, extra=extra))
    yield
    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == CONNECTION))


def test_the_url_of_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_ELASTICSEARCH_URL", "http://one:9200")
    monkeypatch.setenv("AIRFLOW_CONN_ELASTICSEARCH_DEFAULT", "http://two:9200")
    assert DriftlineElasticsearchHook().settings()["url"] == "http://one:9200"


def test_then_the_connection_of_the_environment(no_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "elasticsearch", "host": "two", "port": 9201, "login": "u", "password": SECRET}
    monkeypatch.setenv("AIRFLOW_CONN_ELASTICSEARCH_DEFAULT", json.dumps(fields))
    found = DriftlineElasticsearchHook().settings()
    assert found["url"] == "http://two:9201"
    assert found["basic_auth"] == ("u", SECRET)


def test_then_the_connection_of_airflows_database(in_database: None) -> None:
    found = DriftlineElasticsearchHook().settings()
    assert found["url"] == "https://es.local:9243"
    assert found["basic_auth"] == ("u", SECRET)
    assert found["ca_certs"] == "ca.pem"


def test_a_cluster_that_is_not_there_is_an_error_that_says_what_to_do(no_cluster: None, airflow_database: None) -> None:
    with pytest.raises(ClusterDownError, match="Start it with"):
        DriftlineElasticsearchHook().settings()


def test_another_connection_is_the_only_one_looked_at(airflow_database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_ELASTICSEARCH_URL", "http://one:9200")
    with pytest.raises(AirflowNotFoundException):
        DriftlineElasticsearchHook("other").settings()


def test_the_connection_form_can_test_it(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_ELASTICSEARCH_URL", cluster)
    good, said = DriftlineElasticsearchHook().test_connection()
    assert good, said


def test_what_a_person_must_mend_fails_at_once_with_its_message() -> None:
    with pytest.raises(AirflowFailException, match=r"^web: unknown field$"), told_to_airflow():
        raise DefinitionError("unknown field", where="web")


@pytest.mark.parametrize("error", [ClusterDownError("away"), WriteError("refused", failed=1, total=2, sample=[])])
def test_what_time_may_mend_is_left_to_airflows_retries(error: Exception) -> None:
    with pytest.raises(type(error)), told_to_airflow():
        raise error
