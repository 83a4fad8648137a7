"""Staged documents are learned from: the model does not depend on their order, and drift is told of new documents only."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline.analytics import drift
from driftline.core.analysis import Analysis
from driftline.core.errors import DataError
from driftline.pipeline import analyze, promotion, trainedmodels


def analysis_of(kind: str = "classification", **settings: Any) -> Analysis:
    made = {"dependent_variable": "tag", "max_optimization_rounds_per_hyperparameter": 0, **settings}
    data = {"analytics_id": "web", "source": {"index": "in"}, "dest": {"index": "out"}, "analysis": {kind: made}}
    return Analysis.parse(data, where="t")


def staged(folder, table: pa.Table, types: dict[str, str]) -> dict[str, Any]:
    """A handle of documents that were read."""
    uri, rows = str(folder / "documents.parquet"), table.num_rows
    if "_id" not in table.column_names:
        table = table.append_column("_id", pa.array([f"d{n}" for n in range(rows)]))
    pq.write_table(table, uri)
    return {"uri": uri, "rows": rows, "several": {}, "fields": types, "label": "keyword", "read_at": "2026-01-01", "version": "v"}


def addresses(many: int = 4000) -> pa.Table:
    """Few addresses send most, and a third of them is bad."""
    random = np.random.default_rng(1)
    ip = random.choice(603, many, p=np.r_[0.3, 0.15, 0.15, np.full(600, 0.4 / 600)])
    bad = random.random(many) < np.where(ip % 3 == 0, 0.3, 0.05)
    return pa.table({"ip": [f"10.{n // 250}.{n % 250}.7" for n in ip], "tag": np.where(bad, "attack", "normal")})


def test_documents_that_were_learned_from_are_like_what_was_learned(tmp_path) -> None:
    table = addresses()
    made = analyze.train(analysis_of(max_trees=2), staged(tmp_path, table, {"ip": "ip"}), out=str(tmp_path / "model"))
    model = promotion.staged(made["uri"])
    assert "ip:rate of attack" in model.encoder.names
    told = drift.moved(model.encoder.encode(table), model.profile, model.encoder.categorical, model.encoder.names)
    assert [each["name"] for each in told if each["drifted"]] == []


def test_the_same_documents_in_another_order_give_the_same_model(tmp_path) -> None:
    table = addresses(900).append_column("size", pa.array(np.random.default_rng(2).normal(size=900)))
    table = table.append_column("_id", pa.array([f"d{n}" for n in range(900)]))
    settings = analysis_of(max_trees=20, max_optimization_rounds_per_hyperparameter=1)
    models = []
    for order in (np.arange(900), np.random.default_rng(3).permutation(900)):
        handle = staged(tmp_path, table.take(order), {"ip": "ip", "size": "double"})
        made = analyze.train(settings, handle, out=str(tmp_path / "model"))
        models.append(promotion.staged(made["uri"]).dumps())
    assert models[0] == models[1]


def test_too_few_documents_to_learn_from_are_told(tmp_path) -> None:
    handle = staged(tmp_path, addresses(200), {"ip": "ip"})
    with pytest.raises(DataError, match=r"2 documents are left to learn from; expected at least 10. Raise training_percent"):
        analyze.train(analysis_of(training_percent=0.1), handle, out=str(tmp_path / "model"))


def test_a_file_whose_trees_are_of_another_kind_than_its_analysis_is_refused(tmp_path, monkeypatch) -> None:
    made = analyze.train(analysis_of(max_trees=2), staged(tmp_path, addresses(200), {"ip": "ip"}), out=str(tmp_path / "model"))
    definition = orjson.loads(gzip.decompress(promotion.staged(made["uri"]).dumps()))
    description = {"model_id": "m", "detail": {"analysis": analysis_of("regression").as_dict()}}
    data = {"format": trainedmodels.FORMAT, "description": description, "definition": definition}
    with pytest.raises(DataError, match="the trees are none of a regression"):
        trainedmodels.imported(None, gzip.compress(orjson.dumps(data)))
