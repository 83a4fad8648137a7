"""Every error that Driftline raises on purpose: what is wrong, where, what was expected and what to do."""

from __future__ import annotations

from typing import Any


class DriftlineError(Exception):
    """An error that teaches.

    Args:
        what: What is wrong, as one sentence without a full stop.
        where: The file, job, field, index or row that it concerns.
        expected: What would have been right.
        fix: What to do about it.

    `exit_code` is what the command line returns (2: the user can mend it, 1: the work failed); `retry` tells Airflow whether
    trying again can help.
    """

    exit_code = 2
    retry = False

    def __init__(self, what: str, *, where: str = "", expected: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.expected, self.fix = what, where, expected, fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.expected:
            text += f"; expected {self.expected}"
        return f"{text}. {self.fix}" if self.fix else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), dict(self.__dict__))

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON: `error` (the class), `what`, `where`, `expected`, `fix` and what a subclass adds."""
        facts = {name: value for name, value in self.__dict__.items() if not name.startswith("_")}  # typer leaves marks
        return {"error": type(self).__name__, **facts}


def _rebuild(kind: type[DriftlineError], state: dict[str, Any]) -> DriftlineError:
    error = kind.__new__(kind)
    Exception.__init__(error, state["what"])
    error.__dict__.update(state)
    return error


class DefinitionError(DriftlineError):
    """A job or source file that does not say what it must."""


class TakenError(DefinitionError):
    """An id that something else has."""


class ChangedError(DriftlineError):
    """A job that was changed while a run of it was under way."""


class WindowError(DriftlineError, ValueError):  # a ValueError, so that validation names the field
    """A time, a span or an interval that cannot be used."""


class UsageError(DriftlineError):
    """A command line that names an unknown command or option, or lacks something."""


class DataError(DriftlineError):
    """Input that cannot be read: a broken log, a missing file, a wrong format."""


class SourceIndexError(DriftlineError):
    """An index that does not exist, is empty, or lacks a field of the right type."""


class ClusterError(DriftlineError):
    """Elasticsearch refuses what was asked: wrong password, missing right, missing capability."""


class ClusterDownError(ClusterError):
    """Elasticsearch cannot be reached. Trying again may help."""

    exit_code = 1
    retry = True


class NodeError(DriftlineError):
    """The embedded Elasticsearch cannot be fetched, started or stopped."""

    exit_code = 1


class ServiceError(DriftlineError):
    """Airflow, or a DAG run that a command waits for, failed."""

    exit_code = 1


class AlertError(ServiceError):
    """An alert could not be told: the mail server, Slack, PagerDuty or the webhook refuses or is away. Trying again may help."""

    retry = True


class WriteError(DriftlineError):
    """Documents that Elasticsearch rejected after all retries: `failed` of `total`, with a `sample` of reasons."""

    exit_code = 1
    retry = True

    def __init__(self, what: str, *, failed: int, total: int, sample: list[str], where: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix)
        self.failed, self.total, self.sample = failed, total, sample


class SnapshotError(DriftlineError):
    """A model snapshot that does not exist or cannot be used for what was asked."""


class NoModelError(SnapshotError):
    """An analysis that was not run yet, so that no model can be asked."""


class SnapshotPartError(SnapshotError):
    """A snapshot of which parts are missing. Who trained it again meanwhile put others there: trying again may help."""

    exit_code = 1
    retry = True


class QualityStopError(DriftlineError):
    """The quality gate's verdict is `stop`: the run ends here. `report` says where the report lies."""

    exit_code = 1

    def __init__(self, what: str, *, report: str, report_id: str = "", where: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix)
        self.report, self.report_id = report, report_id
