"""The benchmark of outliers: every set has the share that it says, and what is found is compared with PyOD."""

from __future__ import annotations

import builtins

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from driftline.bench.outlier_sets import SETS
from driftline.bench.outliers import run
from driftline.cli.app import app
from driftline.core.errors import DataError


@pytest.mark.parametrize("name", SETS)
def test_a_set_has_few_outliers_and_is_the_same_for_the_same_seed(name):
    (data, odd), (again, _) = (SETS[name](np.random.default_rng([3, 7])) for _ in range(2))
    assert np.array_equal(data, again)
    assert 0.03 < odd.mean() < 0.06
    assert len(data) == len(odd) >= 100
    assert np.isfinite(data).all()


def test_on_sets_of_several_shapes_no_detector_of_pyod_is_better_in_the_mean():
    told = []
    figures = run(seeds=1, sets=["breast_cancer", "densities", "skewed", "pyod_data"], progress=lambda *step: told.append(step))
    assert figures["auc"]["driftline"] > max(area for name, area in figures["auc"].items() if name != "driftline")
    assert figures["auc_densities"]["driftline"] > 0.98
    assert figures["at_least_best"] >= 2
    assert set(figures["seconds"]) == {"driftline", "pyod_lof", "pyod_knn", "pyod_iforest"}
    assert told[-1] == ("sets", 4, 4)


def test_the_command_tells_machines_and_people_and_refuses_what_it_does_not_know():
    told = CliRunner().invoke(app, ["bench", "outliers", "--seeds", "1", "--set", "wine", "--json"])
    figures = orjson.loads(told.stdout)
    assert figures["sets"] == 1
    assert 0.5 < figures["auc_wine"]["driftline"] <= 1
    shown = CliRunner().invoke(app, ["bench", "outliers", "--seeds", "1", "--set", "wine"])
    assert "pyod_iforest" in shown.stdout
    assert "wine" in shown.stdout
    with pytest.raises(DataError, match="there is no set 'roses'"):
        run(seeds=1, sets=["roses"])


def test_without_pyod_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pyod"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match="PyOD, to compare with, is not installed"):
        run(seeds=1)
