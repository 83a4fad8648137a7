"""Checks of documents before they are analysed: is there enough to learn from, and does nothing give the answer away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from driftline.quality.checks import MAX_SAMPLE, CheckResult, shorten
from driftline.quality.engine import validate

if TYPE_CHECKING:
    from collections.abc import Callable

LEAST_DOCUMENTS = 50  # a fifth of which evaluates: fewer say nothing
LEAST_OF_CLASS = 10
LEAST_LABELLED = 0.5
TELLS_ALL = 0.98  # of what there is to know of the label; real fields stay well below
MOVED_SHARE = 0.25  # of the columns


@dataclass(frozen=True)
class Documents:
    """What is known of documents that shall be analysed.

    Attributes:
        rows: How many were read.
        labels: How many have which class, or `{"": n}` of a regression's numbers; None for outliers.
        distinct: How many different labels there are.
        most_classes: More classes than this are no classification; None for numbers.
        fields: Of each field: its `missing` share, and how many `distinct` values it has (2 stands for more).
        used: The fields that are learned from.
        tells: Of each field, how much of the label it tells alone, 0 to 1.
        several: In how many documents a field has several values, of which the first is taken.
    """

    rows: int
    labels: dict[str, int] | None
    distinct: int = 0
    most_classes: int | None = None
    fields: dict[str, tuple[float, int]] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    tells: dict[str, float] = field(default_factory=dict)
    several: dict[str, int] = field(default_factory=dict)


def check_documents(found: Documents) -> list[CheckResult]:
    """Checks documents that were read for an analysis."""
    labelled = found.rows if found.labels is None else sum(found.labels.values())
    what = "documents" if found.labels is None else "documents with a label"
    results = [_counted("documents", "stop", labelled, LEAST_DOCUMENTS, None, what)]
    if found.labels is not None:
        results += _labels(found, labelled)
    return [*results, *_fields(found)]


def _fields(found: Documents) -> list[CheckResult]:
    missing = _frame({name: share for name, (share, _) in found.fields.items()})
    distinct = _frame({name: many for name, (share, many) in found.fields.items() if share < 1})
    some, tells = {"max_value": 1, "strict_max": True}, f"no field that tells more than {TELLS_ALL:.0%} of the label"
    away = (
        "tell the label alone: if new documents lack them before they have their label, exclude them (analyzed_fields.excludes)"
    )
    results = [
        _of_each("empty", "warn", missing, some, "a value in some document", "have no value, and are left out"),
        _of_each("constant", "warn", distinct, {"min_value": 2}, "values that differ", "never differ, and are left out"),
        _counted("fields", "stop", len(found.used), 1, None, "fields that can be learned from"),
    ]
    if found.tells:
        results.append(_of_each("leakage", "warn", _frame(found.tells), {"max_value": TELLS_ALL}, tells, away))
    if found.several:
        said = "have several values in a document; the first counts"
        results.append(_of_each("several_values", "warn", _frame(found.several), {"max_value": 0}, "one value a document", said))
    return results


def _frame(values: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({"field": list(values), "value": list(values.values())})


def _labels(found: Documents, labelled: int) -> list[CheckResult]:
    assert found.labels is not None
    what = "different labels" if found.most_classes is None else "classes"
    results = [_counted("label_varies", "stop", found.distinct, 2, found.most_classes, what)]
    share = _frame({"": labelled / max(1, found.rows)})
    results.append(
        _check(
            "labelled", "warn", share, "ExpectColumnMeanToBeBetween", {"column": "value", "min_value": LEAST_LABELLED},
            f"{labelled:,} of {found.rows:,} documents", f"a label in {LEAST_LABELLED:.0%} of the documents",
            lambda _: (f"{found.rows - labelled:,} of {found.rows:,} documents have no label: they are predicted only.", 1, []),
        )
    )  # fmt: skip
    if found.most_classes is not None and found.distinct <= found.most_classes:
        said, wanted = "are in so few documents that little can be learned of them", f"{LEAST_OF_CLASS} documents of a class"
        results.append(_of_each("rare_class", "warn", _frame(found.labels), {"min_value": LEAST_OF_CLASS}, wanted, said))
    return results


def check_new(found: dict[str, Any]) -> list[CheckResult]:
    """Checks new documents that shall be given predictions.

    Args:
        found: `rows`; `lacking`, the fields of the model that the index has not; `moved`, as `analytics.drift.moved` tells.
    """
    said, wanted = "are not in the index", "all fields that the model learned from"
    results = [_of_each("fields", "warn", _frame(dict.fromkeys(found["lacking"], 1)), {"max_value": 0}, wanted, said)]
    if not found["moved"]:
        return results
    many, drifted = len(found["moved"]), [str(each["name"]) for each in found["moved"] if each["drifted"]]
    told = f"{len(drifted)} of {many} columns are unlike what the model learned from: {', '.join(drifted[:5])}"
    results.append(
        _check(
            "drift", "warn", _frame({"": len(drifted) / many}), "ExpectColumnMeanToBeBetween",
            {"column": "value", "max_value": MOVED_SHARE}, f"{len(drifted)} of {many} columns",
            f"at most {MOVED_SHARE:.0%} of the columns unlike what was learned from",
            lambda _: (f"{told}. Analyse again with newer labelled documents.", len(drifted), drifted),
        )
    )  # fmt: skip
    return results


def _counted(name: str, verdict: Literal["warn", "stop"], many: int, least: int, most: int | None, what: str) -> CheckResult:
    """A number of things that must lie between limits."""
    limits = f"{least} to {most}" if most else f"at least {least}"
    return _check(
        name, verdict, _frame({"": many}), "ExpectColumnMaxToBeBetween",
        {"column": "value", "min_value": least, **({"max_value": most} if most else {})},
        f"{many:,} {what}", f"{limits} {what}", lambda _: (f"There are {many:,} {what}; {limits} are expected.", 1, []),
    )  # fmt: skip


def _of_each(
    name: str, verdict: Literal["warn", "stop"], frame: pd.DataFrame, limits: dict[str, Any], expected: str, said: str
) -> CheckResult:
    """A value of each field that must lie between limits."""

    def tell(rows: list[int]) -> tuple[str, int, list[str]]:
        names = [str(frame["field"].iloc[row]) for row in rows]
        return f"{', '.join(map(shorten, names[:5]))}{' …' if len(names) > 5 else ''} {said}.", len(names), names

    arguments = {"column": "value", **limits}
    return _check(name, verdict, frame, "ExpectColumnValuesToBeBetween", arguments, f"{len(frame)} looked at", expected, tell)


def _check(
    name: str,
    verdict: Literal["warn", "stop"],
    frame: pd.DataFrame,
    kind: str,
    arguments: dict[str, Any],
    observed: str,
    expected: str,
    tell: Callable[[list[int]], tuple[str, int, list[str]]],
) -> CheckResult:
    if not len(frame):
        return CheckResult(name, kind, "pass", "nothing to look at", expected, "As expected.")
    found = validate(frame.assign(value=frame["value"].astype(float)), {name: (kind, arguments)})[name]
    if found["success"]:
        return CheckResult(name, kind, "pass", observed, expected, "As expected.")
    message, failed, sample = tell(found["unexpected"])
    return CheckResult(name, kind, verdict, observed, expected, message, failed, [shorten(each) for each in sample[:MAX_SAMPLE]])
