"""What a training produces for a batch of series: their models, their noise, and when each first appeared."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from driftline.core.series import SeriesKey
from driftline.models.baseline.fleet import Fleet, pack, select, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


SHORT = "<f4"  # what is usual is measured; seven digits are more than it has
SQUEEZED = "z:"  # what no base64 text begins with


def squeezed(numbers: NDArray[np.float64]) -> str:
    """Numbers (N, K) as text, one column after the other: what most series have alike takes no room."""
    data = np.ascontiguousarray(numbers.T, dtype=SHORT).tobytes()
    return SQUEEZED + base64.b64encode(zlib.compress(data)).decode()


def unsqueezed(text: str, rows: int) -> NDArray[np.float64]:
    """The numbers again, (rows, K), also as snapshots had them before."""
    if not text.startswith(SQUEEZED):
        return unpack(text, rows, kind=SHORT)
    data = zlib.decompress(base64.b64decode(text.removeprefix(SQUEEZED)))
    return np.frombuffer(data, dtype=SHORT).reshape(-1, rows).T.astype(np.float64)


@dataclass
class Trained:
    """N series with their models.

    Attributes:
        keys: N series keys.
        first: (N,) epoch seconds of the first bucket with a value: before it the series did not exist.
        usual: (N, K) what is usual around their models, as numbers of `scoring.calibration.Calibration`.
        fleet: Their models; `fleet.failed` has those without one.
        together: What they did together in training, by detector: sums and counts (T,); not kept in snapshots.
    """

    keys: list[SeriesKey]
    first: NDArray[np.float64]
    usual: NDArray[np.float64]
    fleet: Fleet
    together: dict[int, tuple[NDArray[np.float64], NDArray[np.int64]]] = field(default_factory=dict)

    @property
    def scale(self) -> NDArray[np.float64]:
        """(N,) noise of single values in the model's space."""
        return self.usual[:, 0]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Series without a model: `detector_index`, `partition_value`, `by_value`, `reason`."""
        return [{**self.keys[row]._asdict(), "reason": reason} for row, reason in sorted(self.fleet.failed.items())]

    @property
    def fallbacks(self) -> list[dict[str, Any]]:
        """Series that Prophet itself fitted, as `failed` has them."""
        return [{**self.keys[row]._asdict(), "reason": reason} for row, reason in sorted(self.fleet.fallbacks.items())]

    @property
    def fitted(self) -> list[int]:
        """Rows of the series that have a model."""
        return [row for row in range(len(self.keys)) if row not in self.fleet.failed]

    def select(self, rows: Sequence[int]) -> Trained:
        """Some of the series, in the order given."""
        chosen = list(rows)
        return Trained([self.keys[row] for row in chosen], self.first[chosen], self.usual[chosen], select(self.fleet, chosen))

    def to_numbers(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "keys": [list(key) for key in self.keys],
            "fitted": self.fitted,
            "first": pack(self.first),
            "usual": squeezed(self.usual),
            "fleet": self.fleet.to_numbers(),
        }

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> Trained:
        """The same again."""
        keys = [SeriesKey(*key) for key in numbers["keys"]]
        if not keys:
            return cls([], np.empty(0), np.empty((0, 0)), Fleet.from_numbers(numbers["fleet"]))
        return cls(
            keys,
            unpack(numbers["first"], len(keys))[:, 0],
            unsqueezed(numbers["usual"], len(keys)),
            Fleet.from_numbers(numbers["fleet"]),
        )
