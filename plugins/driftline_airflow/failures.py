"""Driftline's errors in Airflow's terms: what a person must mend fails at once, what time may mend is tried again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from driftline.core.errors import DriftlineError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def told_to_airflow() -> Iterator[None]:
    """Turns errors that no retry can help into `AirflowFailException` with their message; the others pass as they are."""
    try:
        yield
    except DriftlineError as error:
        if error.retry:
            raise
        raise AirflowFailException(str(error)) from None
