"""What the client of Airflow's REST API makes of logs and refusals."""

from __future__ import annotations

import pytest

from driftline.core.errors import ServiceError
from driftline.services import api


def test_a_structured_log_becomes_lines_with_the_error_last() -> None:
    content = [
        {"event": "::group::Log message source details", "sources": ["a file"]},
        {"event": "reading", "level": "info"},
        {"event": "Task failed", "level": "error", "error_detail": [{"exc_type": "QualityStopError", "exc_value": "no rows"}]},
        "a plain line",
    ]
    lines = [line for entry in content for line in api._log_lines(entry)]
    assert lines[1:] == ["reading", "error: Task failed", "QualityStopError: no rows", "a plain line"]


def test_an_airflow_that_is_not_there_is_an_error_that_says_what_to_do(no_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "RETRY_SECONDS", 0)
    with pytest.raises(ServiceError, match="does not answer") as caught, api.AirflowApi("http://127.0.0.1:9"):
        pass
    assert "driftline status" in caught.value.fix
