"""Elastic's data-frame analytics jobs: their JSON as an `Analysis`, and what of it is otherwise here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from driftline.core.analysis import Analysis
from driftline.core.definition import mapping
from driftline.core.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("classification", "regression", "outlier_detection")
# of the cluster that ran it: nothing of it is meant for another
OF_THE_CLUSTER = {
    "id", "create_time", "version", "authorization", "allow_lazy_start", "model_memory_limit", "max_num_threads", "_meta",
}  # fmt: skip
# what Elastic's trees know and LightGBM's do not
OF_ITS_TREES = {
    "alpha", "eta_growth_rate_per_tree", "soft_tree_depth_limit", "soft_tree_depth_tolerance", "loss_function_parameter",
    "feature_processors",
}  # fmt: skip
REFUSED = {"runtime_mappings", "_source"}
SEEDS = 2**31  # Elastic takes any long, and makes one up where none is given
OBJECTIVE = "class_assignment_objective"


def to_analysis(config: Mapping[str, Any], *, name: str | None = None) -> tuple[Analysis, list[str]]:
    """An analysis of Elastic's.

    Args:
        config: As `GET _ml/data_frame/analytics/<id>` or `PUT` has it; also the answer of the first with one job.
        name: The id, where the config has none.

    Returns:
        The analysis, and what is to know of it.

    Raises:
        DefinitionError: It is none, or says something that is not there here.
    """
    listed = config.get("data_frame_analytics")
    if isinstance(listed, list):
        if len(listed) != 1:
            raise DefinitionError(f"{len(listed)} jobs at once", where="data_frame_analytics", expected="one")
        config = mapping(listed[0], "data_frame_analytics")
    notes: list[str] = []
    given = str(config.get("id") or name or "")
    made: dict[str, Any] = {"analytics_id": _plain(given, notes)}
    for key in ("description", "source", "dest", "analysis", "analyzed_fields"):
        if key in config:
            made[key] = dict(config[key]) if isinstance(config[key], dict) else config[key]
    if unknown := sorted(set(config) - set(made) - OF_THE_CLUSTER):
        raise DefinitionError(f"unknown: {', '.join(unknown)}", where=given or "config", expected="a data-frame analytics job")
    if dropped := sorted(set(config) & (OF_THE_CLUSTER - {"id"})):
        notes.append(f"{', '.join(dropped)}: not needed here")
    source = made.get("source")
    if isinstance(source, dict) and (cannot := sorted(REFUSED & set(source))):
        raise DefinitionError(
            f"source.{cannot[0]} is not there",
            where=given,
            fix="Choose fields with analyzed_fields; make runtime fields real ones.",
        )
    if isinstance(made.get("analyzed_fields"), list):
        made["analyzed_fields"] = {"includes": made["analyzed_fields"]}
    made["analysis"] = _kind(made.get("analysis"), notes)
    return Analysis.parse(made, where=given or "config"), notes


def _plain(given: str, notes: list[str]) -> str:
    plain = re.sub(r"[^a-z0-9_-]+", "-", given.lower())[:64].strip("-_")
    if plain != given:
        notes.append(f"its id is '{plain}' here")
    return plain


def _kind(analysis: Any, notes: list[str]) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    if not isinstance(analysis, dict) or len(analysis) != 1 or next(iter(analysis)) not in KINDS:
        raise DefinitionError("the analysis is none of Elastic's", where="analysis", expected=f"one of {', '.join(KINDS)}")
    kind, given = next(iter(analysis.items()))
    settings = mapping(given or {}, f"analysis.{kind}")
    kept = {key: value for key, value in settings.items() if key not in OF_ITS_TREES}
    if dropped := sorted(set(settings) - set(kept)):
        notes.append(f"{', '.join(dropped)}: of Elastic's own trees; left out, LightGBM's settings are searched for")
    if kind == "classification":
        kept.setdefault(OBJECTIVE, "maximize_minimum_recall")  # what Elastic does where nothing is said
    seed = kept.get("randomize_seed")
    if isinstance(seed, int) and not 0 <= seed < SEEDS:
        kept["randomize_seed"] = seed % SEEDS
        notes.append(f"randomize_seed: {seed % SEEDS} instead of {seed}, as the trees take no other")
    if kept.get("training_percent") == 100:
        kept["training_percent"] = 80
        notes.append("training_percent: 80 instead of 100, so that there is something to evaluate with")
    return {kind: kept}
