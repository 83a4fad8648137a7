"""Trees as text from elsewhere: looked at before LightGBM reads them, which trusts every number and dies of a wrong one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from driftline.core.errors import SnapshotError

END = "end of trees"
OBJECTIVES = re.compile(r"(binary( sigmoid:[0-9.]+)?|multiclass num_class:\d+|regression|huber)")
WHOLE = {
    "split_feature",
    "decision_type",
    "left_child",
    "right_child",
    "cat_boundaries",
    "cat_threshold",
    "leaf_count",
    "internal_count",
}
REAL = {"split_gain", "threshold", "leaf_value", "leaf_weight", "internal_value", "internal_weight"}
OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
OF_SPLITS = (
    "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
    "internal_value", "internal_weight", "internal_count",
)  # fmt: skip
MOST_LEAVES = 1 << 16
LARGEST_WORD = 2**32


def checked(text: str, *, columns: int, classes: int) -> str:
    """The same trees, if they are whole: each number is there, and each that points somewhere points to what is there.

    Args:
        text: LightGBM's own text format.
        columns: Of the matrix that they will be given.
        classes: How many; 0 for a regression.

    Returns:
        The text without the parameters after the trees, which nobody needs.

    Raises:
        SnapshotError: They are not whole.
    """
    head, *blocks = re.split(r"(?m)^(?=Tree=\d+$)", text.partition(f"\n{END}")[0] + "\n")
    told = _lines(head)
    each = classes if classes > 2 else 1
    try:
        whole = {name: int(told[name]) for name in ("num_class", "num_tree_per_iteration", "max_feature_idx", "label_index")}
        sizes = [int(size) for size in told["tree_sizes"].split()]
        names, infos = told["feature_names"].split(" "), told["feature_infos"].split(" ")
    except (KeyError, ValueError):
        raise _broken("its head is not whole") from None
    expected = {"num_class": each, "num_tree_per_iteration": each, "max_feature_idx": columns - 1, "label_index": 0}
    if whole != expected or len(names) != columns or len(infos) != columns or not head.startswith("tree\nversion=v4\n"):
        raise _broken(f"its head does not fit {columns} columns and {classes} classes")
    if not OBJECTIVES.fullmatch(told.get("objective", "")) or set(told) & {"average_output", "monotone_constraints"}:
        raise _broken("its objective is none of ours")
    if not blocks or len(blocks) % each or sizes != [len(block.encode()) for block in blocks]:
        raise _broken("its trees are not as many, or not as long, as it says")
    for number, block in enumerate(blocks):
        _check_tree(number, block, columns)
    return f"{text.partition(END)[0]}{END}\n"


def _lines(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _broken(why: str) -> SnapshotError:
    return SnapshotError(f"the trees are broken: {why}", where="trained model", expected="what 'driftline models export' writes")


def _check_tree(number: int, block: str, columns: int) -> None:
    told = _lines(block)
    try:
        leaves, categories = int(told["num_leaves"]), int(told["num_cat"])
        found = {name: _numbers(told[name], name) for name in WHOLE | REAL if told.get(name)}
    except (KeyError, ValueError, OverflowError):
        raise _broken(f"a number of tree {number} is none") from None
    if told.get("is_linear", "0") != "0" or told.get("Tree") != str(number) or not 1 <= leaves <= MOST_LEAVES:
        raise _broken(f"tree {number} is of a kind that ours are not")
    short = [
        name
        for name in OF_LEAVES
        if len(found.get(name, ())) not in {leaves, 0 if leaves == 1 and name != "leaf_value" else leaves}
    ]
    short += [name for name in OF_SPLITS if len(found.get(name, ())) != leaves - 1]
    if short or not np.isfinite(found["leaf_value"]).all():
        raise _broken(f"tree {number} has not as many numbers as leaves")
    if leaves > 1:
        _check_splits(number, found, leaves, categories, columns)


def _check_splits(number: int, found: dict[str, Any], leaves: int, categories: int, columns: int) -> None:
    left, right = found["left_child"], found["right_child"]
    places = np.concatenate([left, right])
    # a child that is a split comes later than its parent, so there is no way round; each leaf and split is reached once
    if (left[left >= 0] <= np.flatnonzero(left >= 0)).any() or (right[right >= 0] <= np.flatnonzero(right >= 0)).any():
        raise _broken(f"the splits of tree {number} go round in a circle")
    if not np.array_equal(np.sort(places), np.concatenate([np.arange(-leaves, 0), np.arange(1, leaves - 1)])):
        raise _broken(f"the splits of tree {number} lead nowhere")
    if ((found["split_feature"] < 0) | (found["split_feature"] >= columns)).any():
        raise _broken(f"tree {number} looks at columns that are not there")
    if ((found["decision_type"] < 0) | (found["decision_type"] > 15)).any():
        raise _broken(f"tree {number} decides as no tree does")
    _check_categories(number, found, categories)


def _check_categories(number: int, found: dict[str, Any], categories: int) -> None:
    bounds, words = found.get("cat_boundaries", np.zeros(0, int)), found.get("cat_threshold", np.zeros(0, int))
    which = found["threshold"][(found["decision_type"] & 1) == 1]
    fits = (
        categories == max(0, len(bounds) - 1) and (np.diff(bounds) > 0).all() and (not len(bounds) or bounds[0] == 0)
        and (int(bounds[-1]) if len(bounds) else 0) == len(words) and ((words >= 0) & (words < LARGEST_WORD)).all()
        and np.isin(which, np.arange(categories)).all()
    )  # fmt: skip
    if not fits:
        raise _broken(f"the categories of tree {number} are not whole")


def _numbers(text: str, name: str) -> Any:  # noqa: ANN401 - an array of either kind
    return (
        np.array([int(part) for part in text.split(" ")], dtype=np.int64)
        if name in WHOLE
        else np.array(text.split(" "), dtype=float)
    )
