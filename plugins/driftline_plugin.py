"""Registration with Airflow, and nothing else: Airflow runs this file in each of its parts."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from driftline_airflow.links import PREFIX, QualityReportLink, ResultsLink, page
from driftline_airflow.timetable import JobTimetable
from driftline_airflow.web import Prepared, app


class DriftlinePlugin(AirflowPlugin):
    """Timetable, links and pages of Driftline."""

    name = "driftline"
    timetables = [JobTimetable]  # noqa: RUF012 - as Airflow's plugins are written
    operator_extra_links = [QualityReportLink(), ResultsLink()]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {"name": "Anomalies", "href": page("explorer"), "url_route": "driftline", "destination": "nav", "nav_top_level": True},
        {"name": "Anomalies", "href": page("explorer?dag_id={DAG_ID}"), "url_route": "driftline-anomalies", "destination": "dag"},
    ]
    fastapi_apps = [{"app": app, "url_prefix": PREFIX, "name": "Driftline"}]  # noqa: RUF012
    fastapi_root_middlewares = [{"middleware": Prepared, "name": "Driftline"}]  # noqa: RUF012
