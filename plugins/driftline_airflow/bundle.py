"""The DAG bundle that turns definitions into DAGs, on the DAG processor and on every worker."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.dag_processing.bundles.base import BaseDagBundle

from driftline_airflow.stubs import write_stubs

if TYPE_CHECKING:
    from driftline.pipeline.jobs import Entry

log = logging.getLogger(__name__)
LISTING_TIMEOUT = 3  # seconds; the processor's loop waits for it, and the last copy is there anyway
KEPT = ".kept"


class DefinitionBundle(BaseDagBundle):
    """Jobs and sources, each as a DAG file of its own.

    `refresh()` lists the definitions in `include/jobs`, `include/sources` and the index `driftline-jobs`, and writes one stub
    and one JSON file for each. A broken definition has a stub that raises its message, so the others are not touched. While
    Elasticsearch is away the stubs that came from the index stay.

    Configure it in `[dag_processor] dag_bundle_config_list` beside the DAGs folder, with `refresh_interval` 5.
    """

    supports_versioning = False

    @property
    def path(self) -> Path:
        """The folder of the stubs."""
        return Path(self.base_dir) / "stubs"

    def get_current_version(self) -> None:
        """Definitions carry their own version; the bundle has none."""
        return

    def initialize(self) -> None:
        """Called in the DAG processor, and in every task's process: does nothing where a processor keeps the stubs fresh."""
        if not self._kept_by_a_processor():
            self._update()
        super().initialize()

    def refresh(self) -> None:
        """Called by the DAG processor every `refresh_interval` seconds."""
        self._update()
        (self.path / KEPT).touch()

    def _kept_by_a_processor(self) -> bool:
        """Whether this host's processor refreshed lately: then a run's stub is here, for that processor made the run's DAG."""
        try:
            age = time.time() - (self.path / KEPT).stat().st_mtime
        except FileNotFoundError:
            return False
        return age < 6 * self.refresh_interval

    def _update(self) -> None:
        entries, complete = self._list()
        with self.lock():
            changed = write_stubs(self.path, entries, keep_indexed=not complete)
        if changed:
            log.info("DAG files of definitions changed: %s", ", ".join(changed))

    def _list(self) -> tuple[list[Entry], bool]:
        """All definitions, and whether the index could be asked."""
        from airflow.exceptions import AirflowException

        from driftline.core.errors import DriftlineError
        from driftline.pipeline.jobs import list_definitions

        try:
            return list_definitions(self._client()), True
        except (DriftlineError, AirflowException) as error:
            log.warning("Jobs of the index stay as they were: %s", error)
            return list_definitions(None), False

    def _client(self) -> Any:  # noqa: ANN401 - the client's module is heavy, and not named at module level
        from driftline_airflow.hook import DriftlineElasticsearchHook

        client = DriftlineElasticsearchHook().get_conn()
        return client.options(request_timeout=LISTING_TIMEOUT, max_retries=0, retry_on_timeout=False)
