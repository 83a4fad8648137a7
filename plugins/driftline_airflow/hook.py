"""The hook: Airflow's connection `elasticsearch_default`, wherever it is kept, as a client."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

CONNECTION = "elasticsearch_default"


class DriftlineElasticsearchHook(BaseHook):
    """Finds the cluster and connects to it.

    Looks at `DRIFTLINE_ELASTICSEARCH_URL`, then at the Airflow connection (environment, secrets backend or database), then for
    the running embedded node. Any other connection than the default one was named on purpose, and is the only one looked at.

    Args:
        conn_id: Which Airflow connection. Its extra may hold `scheme`, `api_key`, `ca_certs`, `verify_certs`.
    """

    conn_name_attr = "conn_id"
    default_conn_name = CONNECTION
    conn_type = "elasticsearch"
    hook_name = "Elasticsearch (Driftline)"

    def __init__(self, conn_id: str = CONNECTION) -> None:
        super().__init__()
        self.conn_id = conn_id

    def settings(self) -> dict[str, Any]:
        """What `driftline.elastic.client.connect` takes: the URL, and credentials where there are any. Never log it.

        Raises:
            ClusterDownError: No cluster is set and the embedded node does not run.
            AirflowNotFoundException: A connection other than the default was asked for and does not exist.
        """
        from driftline.core.errors import ClusterDownError
        from driftline.elastic import client

        if self.conn_id == CONNECTION and (own := client.own_cluster()):
            return own
        try:
            connection = self.get_connection(self.conn_id)
        except AirflowNotFoundException:
            if self.conn_id != CONNECTION:
                raise
        else:
            return client.connection_settings(
                host=connection.host,
                port=connection.port,
                login=connection.login,
                password=connection.password,
                schema=connection.schema,
                extra=connection.extra_dejson,
            )
        if embedded := client.find_cluster():
            return embedded
        raise ClusterDownError(
            "no Elasticsearch is set and the embedded one does not run",
            fix=f"Start it with 'driftline node start', or set the Airflow connection {CONNECTION}.",
        )

    @cached_property
    def client(self) -> Elasticsearch:
        """The connected client, made once."""
        from driftline.elastic.client import connect

        # a line for every request would bury what a task has to say
        logging.getLogger("elastic_transport").setLevel(logging.WARNING)
        return connect(self.settings())

    def get_conn(self) -> Elasticsearch:
        """The client, as Airflow's hooks call it."""
        return self.client

    def test_connection(self) -> tuple[bool, str]:
        """What the button in Airflow's connection form shows."""
        from driftline.core.errors import DriftlineError
        from driftline.elastic.client import explained

        try:
            with explained(self.conn_id):
                health = self.client.cluster.health()
        except DriftlineError as error:
            return False, str(error)
        return True, f"cluster {health['cluster_name']} is {health['status']}"
