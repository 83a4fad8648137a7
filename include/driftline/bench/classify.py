"""`driftline bench classify`: a classification of ours, against LightGBM as a notebook would use it on the same documents."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from driftline.analytics.trees import MOST_TREES, PATIENCE
from driftline.bench.measure import Cost, PeakRss
from driftline.core.analysis import Analysis
from driftline.generator import web_requests
from driftline.pipeline import analyze

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from driftline.analytics.trees import Trees
    from driftline.core.progress import Progress

LABEL = "tag"
TYPES = {
    "@timestamp": "date", "source.ip": "ip", "http.request.bytes": "long", "http.response.status_code": "long",
    "http.response.bytes": "long", "event.duration": "long",
}  # fmt: skip


def run(*, rows: int, seed: int = 1, tries: int = 20, progress: Progress | None = None) -> dict[str, Any]:
    """Trains on labelled web requests, from documents that were read to predictions of all of them.

    Args:
        rows: Documents.
        seed: Of the documents.
        tries: Random settings of the notebook's search, each judged by a fold as ours are. With 0 it takes the settings that
            ours found, and as many trees: what is left is what we cost over the bare library. Where it stops by itself, it also
            tells how many trees its own columns are worth, and a model of fewer trees is made and asked sooner.
        progress: Told of the steps.

    Returns:
        `accuracy` and `auc` (of each class against the others, weighted) on the same held-back documents, ours and `plain_…`;
        seconds of processor time and by the clock; `ratio` of the latter; memory.
    """
    frame = web_requests.frame(rows, seed=seed)
    types = {name: TYPES.get(name, "keyword") for name in frame.columns if name != LABEL}
    analysis = Analysis.parse(
        {
            "analytics_id": "bench", "source": {"index": "bench"}, "dest": {"index": "bench-out"},
            "analysis": {"classification": {"dependent_variable": LABEL, "randomize_seed": seed}},
        },
        where="bench",
    )  # fmt: skip
    with TemporaryDirectory(prefix="driftline-bench-") as folder:
        uri = str(Path(folder, "documents.parquet"))
        _staged(frame, uri)
        handle = {"uri": uri, "rows": rows, "several": {}, "fields": types, "read_at": "2026-01-01T00:00:00Z", "version": ""}
        with PeakRss() as memory, Cost() as ours:
            with Cost() as training:
                made = analyze.train(analysis, handle, out=str(Path(folder, "model")), progress=progress)
            found, labels, _ = analyze.predicted(analysis, handle, made)
            # as `analyze.evaluate`, which would compare with a model of the cluster
            found.evaluation()
            found.importance()
            found.stage(str(Path(folder, "results.parquet")))
        figures = found.evaluation()
        model = found.model
        classes = labels.classes
    with Cost() as plain:
        probabilities, trees = _plain(frame, labels.codes, found.learned, found.held, tries, model.trees, seed)
    truth = labels.codes[found.held]
    return {
        "rows": rows, "learned": made["learned"], "classes": len(classes), "trees": made["trees"], "plain_trees": trees,
        "accuracy": figures["accuracy"]["value"], "accuracy_ci": figures["accuracy"]["ci"], "auc": figures["auc_roc"]["value"],
        "plain_accuracy": float(np.mean(probabilities.argmax(axis=1) == truth)), "plain_auc": _auc(probabilities, truth),
        "seconds": ours.wall, "train_seconds": training.wall, "plain_seconds": plain.wall, "ratio": ours.wall / plain.wall,
        "cpu_seconds": ours.cpu, "plain_cpu_seconds": plain.cpu, "cpu_ratio": ours.cpu / plain.cpu, "memory_mb": memory.mb,
    }  # fmt: skip


def _staged(frame: pd.DataFrame, uri: str) -> None:
    """The documents as `documents.stage` would have read them."""
    columns: dict[str, Any] = {
        "_id": pa.array([f"{row:08x}" for row in range(len(frame))]),
        "_index": pa.array(["bench"] * len(frame)),
        "_source": pa.array([b"{}"] * len(frame), pa.binary()),
    }
    for name in frame.columns:
        values = frame[name]
        if name == "@timestamp":
            columns[name] = pa.array(values.astype("int64").to_numpy().astype(float))
        elif name in TYPES and name != "source.ip":
            columns[name] = pa.array(values.to_numpy().astype(float))
        else:
            columns[name] = pa.array(values, pa.string(), from_pandas=True)
    pq.write_table(pa.table(columns), uri, compression="zstd", row_group_size=5_000)


def _plain(
    frame: pd.DataFrame, codes: NDArray[np.int64], learned: NDArray[np.bool_], held: NDArray[np.bool_],
    tries: int, ours: Trees, seed: int,
) -> tuple[NDArray[np.float64], int]:  # fmt: skip
    """The notebook: pandas' categories, the hour and the weekday, a random search, early stopping, predictions for all.

    Returns:
        Probabilities of the documents that were held back, and of how many trees.
    """
    import lightgbm

    table = frame.drop(columns=[LABEL, "@timestamp"])
    for name in table.columns:
        if name not in TYPES or name == "source.ip":
            table[name] = table[name].astype("category")
    table["hour"], table["weekday"] = frame["@timestamp"].dt.hour, frame["@timestamp"].dt.weekday
    random = np.random.default_rng(seed)
    order = random.permutation(np.flatnonzero(learned))
    valid, train = order[: len(order) // 10], order[len(order) // 10 :]
    base = {
        "objective": "multiclass",
        "num_class": int(codes.max()) + 1,
        "verbosity": -1,
        "seed": seed,
        "num_threads": 2,
        "bagging_freq": 1,
    }
    space: dict[str, list[Any]] = {
        "num_leaves": [15, 31, 63, 127], "min_data_in_leaf": [10, 20, 50], "feature_fraction": [0.6, 0.8, 1.0],
        "lambda_l2": [0, 1, 10], "cat_smooth": [10, 50], "min_data_per_group": [50, 100],
    }  # fmt: skip

    def fitted(part: NDArray[np.int64], params: dict[str, Any], trees: int | None = None) -> Any:  # noqa: ANN401 - LightGBM's
        data = lightgbm.Dataset(table.iloc[part], codes[part], params={"verbosity": -1})
        check = lightgbm.Dataset(table.iloc[valid], codes[valid], reference=data)
        stop = [lightgbm.early_stopping(PATIENCE, verbose=False)] if trees is None else []
        most = MOST_TREES if trees is None else trees + PATIENCE
        return lightgbm.train({**base, **params}, data, most, valid_sets=[check], callbacks=stop)

    best: dict[str, Any] = ours.hyperparameters
    trees: int | None = ours.trees
    if tries:
        options = [{name: values[random.integers(len(values))] for name, values in space.items()} for _ in range(tries)]
        losses = [
            fitted(train[:40_000], {**each, "learning_rate": 0.1}).best_score["valid_0"]["multi_logloss"] for each in options
        ]
        best, trees = {**options[int(np.argmin(losses))], "learning_rate": 0.05}, None
    booster = fitted(train, best, trees)
    used = trees or booster.best_iteration or booster.current_iteration()
    every = booster.predict(table, num_iteration=used)
    return np.asarray(every[held]), int(used)


def _auc(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    from driftline.analytics.evaluate import roc

    areas = [roc(probabilities[:, place], truth == place) for place in range(probabilities.shape[1])]
    weights = [int((truth == place).sum()) for place, area in enumerate(areas) if area]
    return float(np.average([area["value"] for area in areas if area], weights=weights))
