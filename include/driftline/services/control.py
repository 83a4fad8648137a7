"""Both services as one: up, down, status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from driftline.core.paths import state_dir
from driftline.core.processes import locked
from driftline.elastic import node
from driftline.elastic.client import own_cluster
from driftline.services import airflow
from driftline.services.environment import USER, passwords_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Services:
    """Both services as they are now. `node` is None when the user's own cluster (`cluster_url`) is used instead."""

    cluster_url: str | None
    node: node.Node | None
    airflow: airflow.Airflow

    @property
    def healthy(self) -> bool:
        """Whether everything serves."""
        return self.airflow.healthy and (self.node is None or self.node.health in {"yellow", "green"})

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON. The password itself is not in it."""
        return {
            "healthy": self.healthy,
            "cluster_url": self.cluster_url,
            "own_cluster": self.node is None,
            "node": self.node.as_dict() if self.node else None,
            "airflow": self.airflow.as_dict() | {"user": USER, "passwords_file": str(passwords_file())},
        }


def up(say: Callable[[str], None] = lambda _: None) -> Services:
    """Starts what does not run and mends what is broken; leaves alone what is well.

    Raises:
        NodeError, ServiceError: One of them does not come up.
    """
    with locked(_lock()):
        if own := own_cluster():
            say(f"Your own cluster is set ({own['url']}): the embedded Elasticsearch is not started.")
            return Services(own["url"], None, airflow.start(None, say))
        embedded = node.start(say=say)
        return Services(embedded.url, embedded, airflow.start(embedded.url, say))


def down() -> dict[str, bool]:
    """Stops both. Returns which of them ran."""
    with locked(_lock()):
        return {"airflow": airflow.stop(), "node": node.stop()}


def status() -> Services:
    """Both as they are now."""
    if own := own_cluster():
        return Services(own["url"], None, airflow.status())
    embedded = node.status()
    return Services(embedded.url, embedded, airflow.status())


def _lock() -> Path:
    return state_dir() / "services.lock"
