"""Values too many to be categories stand for what their documents were labelled, and no document is told its own label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from driftline.analytics import evaluate, trees
from driftline.analytics.features import Encoder, learn
from driftline.analytics.rates import SMOOTH, Target
from driftline.core.analysis import Classification
from driftline.core.errors import SnapshotError

TYPES = {"user": "keyword"}


def users(n: int, many: int, *, told: float = 0.0, seed: int = 3) -> tuple[pa.Table, np.ndarray, Target]:
    """Documents of users, of whom some have label 1 in `told` more of their documents than the others."""
    random = np.random.default_rng(seed)
    who = random.integers(0, many, n)
    label = (random.random(n) < 0.3 + told * (who % 2)).astype(np.int64)
    table = pa.table({"user": pa.array([f"user-{each:05d}" for each in who.tolist()])})
    return table, label, Target.of(label, ["no", "yes"], random.random(n))


def rate(encoder: Encoder, rows: np.ndarray) -> np.ndarray:
    return rows[:, encoder.names.index("user:rate of yes")]


def test_a_value_has_the_share_of_its_documents_drawn_towards_that_of_all() -> None:
    table, label, target = users(20_000, 500, told=0.5)
    encoder = learn(table, TYPES, target=target)
    who = table["user"].to_numpy()
    mine = who == "user-00007"
    wanted = (label[mine].sum() + SMOOTH * label.mean()) / (mine.sum() + SMOOTH)
    assert rate(encoder, encoder.encode(table))[mine] == pytest.approx(np.full(mine.sum(), wanted))
    new = encoder.encode(pa.table({"user": pa.array(["nobody", None])}))
    assert rate(encoder, new)[0] == pytest.approx(label.mean())
    assert np.isnan(rate(encoder, new)[1])


def test_the_label_of_a_document_changes_nothing_of_what_is_told_of_itself_and_its_part() -> None:
    table, _, target = users(5_000, 300)
    before = rate(learn(table, TYPES, target=target), learn(table, TYPES, target=target).encode(table, own=target))
    changed = target.values.copy()
    changed[11] = 1 - changed[11]
    other = replace(target, values=changed)
    after = rate(learn(table, TYPES, target=other), learn(table, TYPES, target=other).encode(table, own=other))
    same = (table["user"].to_numpy() == table["user"][11].as_py()) & (target.part != target.part[11])
    assert after[11] == pytest.approx(before[11], abs=1e-4)  # but for what all have
    assert same.any()
    assert np.all(np.abs(after[same] - before[same]) > 1e-3)


def test_labels_by_chance_are_not_found_in_the_values() -> None:
    table, label, target = users(30_000, 3_000)
    encoder = learn(table, TYPES, target=target)
    honest, told = rate(encoder, encoder.encode(table, own=target)), rate(encoder, encoder.encode(table))
    assert abs(np.corrcoef(honest, label)[0, 1]) < 0.03
    assert np.corrcoef(told, label)[0, 1] > 0.15  # that is what the parts are for


def test_the_order_of_documents_changes_nothing() -> None:
    table, _, target = users(4_000, 300, told=0.4)
    order = np.random.default_rng(1).permutation(table.num_rows)
    other = replace(target, values=target.values[order], part=target.part[order])
    one, two = learn(table, TYPES, target=target), learn(table.take(order), TYPES, target=other)
    assert one == two
    assert np.array_equal(one.encode(table, own=target)[order], two.encode(table.take(order), own=other))


def test_few_values_are_categories_and_single_ones_say_nothing() -> None:
    few, _, target = users(2_000, 100)
    assert learn(few, TYPES, target=target).names == ["user"]
    tokens = pa.table({"user": pa.array([f"token-{n:05d}" for n in range(3_000)])})
    target = Target.of(np.zeros(3_000, dtype=np.int64), ["no", "yes"], np.linspace(0, 0.999, 3_000))
    assert not [each for each in learn(tokens, TYPES, target=target).columns if each.kind == "rate"]


def test_of_many_classes_the_most_frequent_are_told_and_of_values_their_mean() -> None:
    random = np.random.default_rng(2)
    table, _, _ = users(6_000, 300)
    classes = [f"c{n}" for n in range(12)]
    target = Target.of(random.integers(0, 12, 6_000), classes, random.random(6_000))
    named = [each.name for each in learn(table, TYPES, target=target).columns if each.kind == "rate"]
    assert named == [f"user:rate of c{n}" for n in range(8)]
    value = random.normal(100, 1, 6_000)
    encoder = learn(table, TYPES, target=Target.of(value, [], random.random(6_000)))
    means = encoder.encode(table)[:, encoder.names.index("user:mean")]
    assert means.mean() == pytest.approx(100, abs=0.2)


def test_what_is_known_of_users_is_learned() -> None:
    table, label, target = users(40_000, 2_000, told=0.5)
    held = np.random.default_rng(4).random(40_000) < 0.2
    part, mine = table.filter(pa.array(~held)), replace(target, values=target.values[~held], part=target.part[~held])
    found = []
    for given in (mine, None):
        encoder = learn(part, TYPES, target=given)
        fitted = trees.fit(
            encoder.encode(part, own=given), label[~held], classes=["no", "yes"], categorical=encoder.categorical,
            settings=Classification(dependent_variable="x", max_trees=50, max_optimization_rounds_per_hyperparameter=0),
        )  # fmt: skip
        area = evaluate.roc(fitted.predict(encoder.encode(table.filter(pa.array(held))))[:, 1], label[held] == 1)
        found.append(area["value"])
    best = evaluate.roc((table["user"].to_pandas().str[-1].astype(int) % 2)[held].to_numpy().astype(float), label[held] == 1)
    assert found[0] > found[1] + 0.05
    assert found[0] > best["value"] - 0.04


@pytest.mark.parametrize("rates", [[], [0.1], [0.1, 0.2, 0.3]])
def test_an_encoder_from_elsewhere_with_too_few_or_too_many_numbers_is_refused(rates: list[float]) -> None:
    column = {"name": "user:mean", "field": "user", "kind": "rate", "values": ["a"], "counts": [], "rates": rates}
    with pytest.raises(SnapshotError, match="rates"):
        Encoder.of({"columns": [column], "types": {"user": "keyword"}})
