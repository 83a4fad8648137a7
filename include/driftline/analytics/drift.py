"""How far new documents are from those that a model learned from: the population stability index of each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BINS = 10
MOVED = 0.25  # an index above is commonly taken for a change that asks for a new model
LEAST = 200  # documents; with fewer, chance alone moves it


def profile(rows: NDArray[np.float64], categorical: Sequence[int]) -> list[dict[str, list[float]]]:
    """What each column is like: `edges` of its bins (of categories: the frequent ones) and `shares`; the last are missing."""
    return [_profile(_rounded(rows[:, place]), place in categorical) for place in range(rows.shape[1])]


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """To seven digits: whether a column moved is no matter of more, and older models know its values no better."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


def _profile(values: NDArray[np.float64], named: bool) -> dict[str, list[float]]:
    there = values[np.isfinite(values)]
    if named:
        names, counts = np.unique(there, return_counts=True)
        edges = np.sort(names[np.argsort(-counts, kind="stable")[:BINS]])
    else:
        edges = np.unique(np.quantile(there, np.linspace(0, 1, BINS + 1)[1:-1])) if len(there) else np.empty(0)
    return {"edges": edges.tolist(), "shares": _shares(values, edges, named).tolist()}


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64], named: bool) -> NDArray[np.float64]:
    there = values[np.isfinite(values)]
    if named:
        place = np.searchsorted(edges, there)
        known = (
            (place < len(edges)) & (edges[np.minimum(place, len(edges) - 1)] == there)
            if len(edges)
            else np.zeros(len(there), bool)
        )
        place = np.where(known, place, len(edges))
    else:
        place = np.searchsorted(edges, there, side="left")
    counts = np.append(np.bincount(place, minlength=len(edges) + 1), len(values) - len(there))
    return counts / max(1, len(values))


def moved(
    rows: NDArray[np.float64], learned: Sequence[dict[str, list[float]]], categorical: Sequence[int], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The stability index of each column, the greatest first; empty for fewer than `LEAST` rows.

    Returns:
        `name`, `psi`, `drifted` (`psi` above `MOVED`).
    """  # fmt: skip
    if len(rows) < LEAST:
        return []
    told = []
    for place, (known, name) in enumerate(zip(learned, names, strict=True)):
        now = _shares(_rounded(rows[:, place]), np.asarray(known["edges"]), place in categorical)
        psi = stability(np.asarray(known["shares"]), now)
        told.append({"name": name, "psi": psi, "drifted": psi > MOVED})
    return sorted(told, key=lambda each: -each["psi"])


def stability(before: NDArray[np.float64], now: NDArray[np.float64]) -> float:
    """The population stability index of two sets of shares; 0 where they are the same."""
    least = 1e-4  # a share of nothing would be infinitely far
    a, b = np.maximum(before, least), np.maximum(now, least)
    return float(f"{np.sum((b - a) * np.log(b / a)):.4g}")
