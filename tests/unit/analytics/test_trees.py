"""Trees are fitted, judged and explained; models are kept as text."""

from __future__ import annotations

import gzip
import subprocess
import sys
from dataclasses import replace

import numpy as np
import orjson
import pytest

from driftline.analytics import drift, split, trees
from driftline.analytics.features import Column, Encoder
from driftline.analytics.leaks import told_alone
from driftline.analytics.model import Model
from driftline.analytics.treetext import checked
from driftline.core.analysis import Classification, Regression
from driftline.core.errors import DataError, SnapshotError
from driftline.quality.documents import TELLS_ALL

QUICK = {"dependent_variable": "y", "max_optimization_rounds_per_hyperparameter": 0}


def blobs(n: int = 900, classes: int = 3):
    random = np.random.default_rng(2)
    labels = random.integers(0, classes, n)
    rows = random.normal(size=(n, 4))
    rows[:, 0] += 2.5 * labels
    return rows.astype(np.float32), labels


def fitted(classes: int = 3, **more):
    rows, labels = blobs(classes=classes)
    names = [f"c{k}" for k in range(classes)]
    settings = Classification(**{**QUICK, **more})
    return trees.fit(rows[:600], labels[:600], settings=settings, classes=names, categorical=[]), rows[600:], labels[600:]


def test_classes_are_told_apart_and_probabilities_are_such() -> None:
    model, rows, labels = fitted()
    found = model.predict(rows)
    assert found.shape == (300, 3)
    assert found.sum(axis=1) == pytest.approx(1)
    assert np.mean(model.assign(found) == labels) > 0.8


def test_two_classes_have_two_probabilities() -> None:
    model, rows, labels = fitted(2)
    found = model.predict(rows)
    assert found.sum(axis=1) == pytest.approx(1)
    assert np.mean(found.argmax(axis=1) == labels) > 0.85


def test_the_same_seed_gives_the_same_trees() -> None:
    assert fitted()[0].text == fitted()[0].text


def test_a_search_takes_what_was_best_and_tells_what_it_tried() -> None:
    model, *_ = fitted(2, max_optimization_rounds_per_hyperparameter=1)
    losses = [each["loss"] for each in model.searched]
    assert len(losses) == trees.TRIES + 1
    best = model.searched[int(np.argmin(losses))]
    assert all(model.hyperparameters[name] == value for name, value in best.items() if name != "loss")


def test_given_hyperparameters_are_not_searched_for() -> None:
    model, *_ = fitted(2, max_optimization_rounds_per_hyperparameter=1, num_leaves=5, eta=0.3, max_trees=7)
    assert model.hyperparameters["num_leaves"] == 5
    assert model.hyperparameters["learning_rate"] == 0.3
    assert model.trees <= 7
    assert all("num_leaves" not in each for each in model.searched)


def test_what_mattered_is_the_column_that_was_made_to_matter() -> None:
    model, rows, _ = fitted()
    found = np.abs(model.contributions(rows)).mean(axis=(0, 1))
    assert found.argmax() == 0
    assert found[0] > 5 * found[1:].max()


def test_contributions_add_up_to_the_prediction_of_a_number() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(500, 3)).astype(np.float32)
    target = 3 * rows[:, 1] + random.normal(size=500) * 0.1
    model = trees.fit(rows, target, settings=Regression(**QUICK), classes=[], categorical=[])
    found, explained = model.predict(rows), model.contributions(rows)
    rest = found - explained.sum(axis=1)
    assert np.ptp(rest) == pytest.approx(0, abs=1e-6)
    assert 1 - np.mean((found - target) ** 2) / target.var() > 0.9


def test_numbers_over_many_magnitudes_are_learned_as_their_logarithm() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(800, 2)).astype(np.float32)
    target = np.exp(3 * rows[:, 0])
    model = trees.fit(rows, target, settings=Regression(**QUICK, loss_function="msle"), classes=[], categorical=[])
    assert np.corrcoef(np.log1p(model.predict(rows)), np.log1p(target))[0, 1] > 0.98


def test_numbers_without_a_logarithm_are_refused_where_its_loss_is_wanted() -> None:
    settings = Regression(**QUICK, loss_function="msle")
    with pytest.raises(DataError, match="'y' is -7 in a document; expected more than -1"):
        trees.fit(np.zeros((60, 1)), np.linspace(-7, 7, 60), settings=settings, classes=[], categorical=[])


@pytest.mark.parametrize("unit", [0.001, 1, 10_000])
def test_errors_of_few_are_kept_small_by_huber_in_any_unit(unit: float) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(600, 2)).astype(np.float32)
    target = 2 * rows[:, 0] * unit
    given = np.where(random.random(600) < 0.03, 100 * unit, target)
    model = trees.fit(rows, given, settings=Regression(**QUICK, loss_function="huber"), classes=[], categorical=[])
    assert 1 - np.mean((model.predict(rows) - target) ** 2) / target.var() > 0.9


def test_rare_classes_are_favoured_where_that_is_asked() -> None:
    random = np.random.default_rng(3)
    labels = (random.random(3000) < 0.05).astype(int)
    rows = (random.normal(size=(3000, 2)) + labels[:, None] * 1.2).astype(np.float32)
    recalls = {}
    for objective in ("maximize_accuracy", "maximize_minimum_recall"):
        settings = Classification(**QUICK, class_assignment_objective=objective)
        model = trees.fit(rows[:2000], labels[:2000], settings=settings, classes=["no", "yes"], categorical=[])
        chosen = model.assign(model.predict(rows[2000:]))
        recalls[objective] = min(np.mean(chosen[labels[2000:] == k] == k) for k in (0, 1))
    assert recalls["maximize_minimum_recall"] > recalls["maximize_accuracy"] + 0.2


def model_of(*, width: int = 4) -> Model:
    made, *_ = fitted()
    encoder = Encoder([Column(f"f{k}", f"f{k}", "number") for k in range(width)], {f"f{k}": "double" for k in range(width)})
    return Model(encoder, made, drift.profile(blobs()[0], [])[:width])


def test_a_kept_model_predicts_the_same() -> None:
    model, rows = model_of(), blobs()[0]
    assert np.array_equal(Model.loads(model.dumps()).trees.predict(rows), model.trees.predict(rows))
    assert model.dumps() == model.dumps()


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"no", id="not packed"),
        pytest.param(gzip.compress(b"no"), id="not JSON"),
        pytest.param(gzip.compress(b"[]"), id="a list"),
        pytest.param(gzip.compress(b'{"format": 1}'), id="nothing in it"),
        pytest.param(gzip.compress(orjson.dumps({"format": 2})), id="another format"),
    ],
)
def test_what_is_no_model_is_refused(packed: bytes) -> None:
    with pytest.raises(SnapshotError):
        Model.loads(packed)


def test_trees_that_do_not_fit_their_encoder_are_refused() -> None:
    with pytest.raises(SnapshotError, match="columns"):
        Model.loads(model_of(width=3).dumps())


@pytest.mark.parametrize(
    ("part", "changed"),
    [
        pytest.param("encoder", {"columns": [{"name": "f0", "field": "f0", "kind": "evil"}]}, id="a kind that is none"),
        pytest.param("encoder", {"columns": [{"name": "f0", "field": "f0", "kind": "length"}]}, id="the length of a number"),
        pytest.param("encoder", {"columns": [{"name": "f0", "field": "f0", "kind": "number", "values": [1]}]}, id="no texts"),
        pytest.param("encoder", {"types": {"f0": "double"}}, id="a field without a type"),
        pytest.param("trees", {"weights": [1.0]}, id="fewer weights than classes"),
        pytest.param("trees", {"weights": ["a", "b", "c"]}, id="weights that are none"),
    ],
)
def test_a_model_from_elsewhere_whose_parts_do_not_fit_is_refused(part: str, changed: dict) -> None:
    data = orjson.loads(gzip.decompress(model_of().dumps()))
    data[part] |= changed
    with pytest.raises(SnapshotError, match=r"no trained model|do not fit"):
        Model.loads(gzip.compress(orjson.dumps(data)))


@pytest.mark.parametrize("profile", [[1, 2], [{"edges": [1.0], "shares": [1.0]}] * 4, [{"shares": [1.0]}] * 4])
def test_a_model_from_elsewhere_that_does_not_say_what_was_learned_from_is_refused(profile: list) -> None:
    data = orjson.loads(gzip.decompress(model_of().dumps()))
    with pytest.raises(SnapshotError, match=r"no trained model|do not fit"):
        Model.loads(gzip.compress(orjson.dumps({**data, "profile": profile})))


def test_trees_from_elsewhere_are_refused_or_harmless_whatever_is_changed_in_them(tmp_path) -> None:
    """LightGBM itself ends the process at about one in eight of such changes."""
    made, *_ = fitted(max_trees=2, num_leaves=6)
    text = checked(made.text, columns=4, classes=3)
    assert np.array_equal(replace(made, text=text).predict(blobs()[0]), made.predict(blobs()[0]))
    random = np.random.default_rng(1)
    places = [place for place, sign in enumerate(text) if sign.isdigit()]
    kept = []
    for _ in range(300):
        signs = list(text)
        for place in random.choice(places, random.choice([1, 2, 5])):
            signs[place] = str(random.choice(list("0123456789-")))
        try:
            kept.append(checked("".join(signs), columns=4, classes=3))
        except SnapshotError:
            continue
    assert 20 < len(kept) < 280
    (tmp_path / "kept.json").write_bytes(orjson.dumps(kept))
    code = (
        "import sys, orjson, lightgbm, numpy as np\n"
        "for text in orjson.loads(open(sys.argv[1], 'rb').read()):\n"
        "    trees = lightgbm.Booster(model_str=text)\n"
        "    rows = np.random.default_rng(0).normal(size=(50, 4)) * 3\n"
        "    trees.predict(rows), trees.predict(rows, pred_contrib=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "kept.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_document_stays_on_its_side_when_others_come() -> None:
    ids = [f"d{n}" for n in range(4000)]
    codes = np.arange(4000) % 2
    few, many = split.learned(ids[:1000], codes[:1000], 80, 1), split.learned(ids, codes, 80, 1)
    assert (few == many[:1000]).all()
    assert many.mean() == pytest.approx(0.8, abs=0.02)
    assert not (split.learned(ids, codes, 80, 2) == many).all()


def test_a_rare_class_is_on_both_sides_and_what_has_no_label_on_none() -> None:
    codes = np.array([0] * 98 + [1] * 2 + [-1] * 50)
    chosen = split.learned([str(n) for n in range(150)], codes, 80, 42)
    assert chosen[98:100].sum() == 1
    assert not chosen[100:].any()


def test_a_field_that_equals_the_label_is_told_and_one_that_helps_is_not() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 2000)
    helps = np.where(random.random(2000) < 0.8, labels, 1 - labels)
    rows = np.column_stack([labels, helps, random.normal(size=2000)]).astype(np.float32)
    encoder = Encoder(
        [Column(name, name, "number") for name in ("copy", "helps", "noise")], dict.fromkeys(("copy", "helps", "noise"), "long")
    )
    told = told_alone(rows, labels, encoder, classes=2, seed=1)
    assert told["copy"] == 1
    assert 0.3 < told["helps"] < 0.8
    assert told["noise"] < 0.1


@pytest.mark.parametrize("rows", [60, 2000])
def test_a_copy_of_a_number_is_told_though_few_are_much_greater_than_all_others(rows: int) -> None:
    target = np.append(np.random.default_rng(0).pareto(1.5, rows - 1), 1e300)
    encoder = Encoder([Column("copy", "copy", "number")], {"copy": "double"})
    assert told_alone(target[:, None], target, encoder, classes=0, seed=1)["copy"] > TELLS_ALL


def test_columns_that_moved_are_told() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(3000, 3)).astype(np.float32)
    rows[:, 2] = random.integers(0, 4, 3000)
    known = drift.profile(rows, [2])
    now = rows[:1000].copy()
    now[:, 1] += 1
    now[:300, 0] = np.nan
    told = {each["name"]: each for each in drift.moved(now, known, [2], ["gone", "moved", "same"])}
    assert told["moved"]["drifted"]
    assert told["gone"]["drifted"]
    assert not told["same"]["drifted"]
    assert drift.moved(now[:100], known, [2], ["a", "b", "c"]) == []
