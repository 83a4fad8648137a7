"""What this is, and what is not here."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from fastapi import APIRouter, Request

from driftline import __version__
from driftline_airflow.web.access import ReaderDep
from driftline_airflow.web.elastic.shape import Elastic, absent

router = APIRouter(route_class=Elastic)
rest = APIRouter(route_class=Elastic)
VERSION = "9.0.0"  # of Elastic's API, whose paths and bodies are understood
# Path → why it is not here; the first that matches counts.
ABSENT = [
    (r"_ml/data_frame/", "Data frame analytics are not here: Driftline looks at time series."),
    (r"_ml/trained_models", "Trained models are not here: each job trains models of its own."),
    (r"_ml/anomaly_detectors/[^/]+/_data$", "Nothing is posted to a job: its datafeed reads what is indexed."),
    (r"_ml/anomaly_detectors/[^/]+/model_snapshots/[^/]+/_upgrade", "Snapshots need no upgrade: they are numbers."),
    (r"_ml/set_upgrade_mode$", "There is no upgrade mode: pause the DAGs in Airflow."),
    (r"_ml/memory/", "There are no machine learning nodes: Airflow's workers do the work."),
    (r"_ml/_delete_expired_data", "The DAG driftline.maintenance removes what is expired, every day."),
    (r"_ml(/|$)", "There is no such address among those of anomaly detection."),
]
OTHER = "Only Elastic's machine learning API is here, below _ml: ask Elasticsearch itself for the rest."


@router.api_route("/", methods=["GET", "HEAD"])
def root(user: ReaderDep) -> dict[str, Any]:
    """What clients ask first."""
    return {
        "name": "driftline",
        "cluster_name": "driftline",
        "cluster_uuid": "driftline",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "driftline",
            "build_hash": __version__,
            "build_snapshot": False,
            "lucene_version": "10.0.0",
            "minimum_wire_compatibility_version": "8.0.0",
            "minimum_index_compatibility_version": "8.0.0",
        },
        "tagline": "Driftline: Elastic's anomaly detection API",
    }


@router.get("/_ml/info")
def info(user: ReaderDep) -> dict[str, Any]:
    """Defaults and limits."""
    return {
        "defaults": {
            "anomaly_detectors": {"categorization_examples_limit": 4, "model_memory_limit": "0mb"},
            "datafeeds": {"scroll_size": 1000},
        },
        "upgrade_mode": False,
        "native_code": {"version": __version__, "build_hash": __version__},
        "limits": {},
    }


def _absent(request: Request) -> NoReturn:
    path = request.path_params["path"]
    raise absent(next((why for pattern, why in ABSENT if re.match(pattern, path)), OTHER))


@rest.get("/{path:path}")
@rest.head("/{path:path}")
def not_read(request: Request, user: ReaderDep) -> None:
    """All that is not here."""
    _absent(request)


@rest.api_route("/{path:path}", methods=["POST", "PUT", "DELETE"])
def not_changed(request: Request, user: ReaderDep) -> None:
    """All that is not here, for those who may change something."""
    _absent(request)
