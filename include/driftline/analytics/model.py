"""A trained model as one thing: how documents become rows, the trees, what the learned rows were like. Kept as packed JSON."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter, ValidationError

from driftline.analytics.features import DATES, NUMBERS, Encoder
from driftline.analytics.trees import Trees
from driftline.analytics.treetext import checked
from driftline.core.errors import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

LARGEST = 2**30  # bytes of a model when unpacked; a file from elsewhere may be made to fill the memory
FORMAT = 1
OF_NUMBERS = {"number", "hour", "weekday"}


@dataclass(frozen=True)
class Model:
    """What gives predictions.

    Attributes:
        encoder: How documents become rows.
        trees: What the rows are given to.
        profile: What each column was like in the rows that were learned from (`drift.profile`).
    """

    encoder: Encoder
    trees: Trees
    profile: list[dict[str, list[float]]]

    def predict(self, table: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The rows of documents, and their probabilities or values."""
        rows = self.encoder.encode(table)
        return rows, self.trees.predict(rows)

    def dumps(self) -> bytes:
        """The model as bytes: JSON, packed; the same model gives the same bytes."""
        data = {"format": FORMAT, "encoder": self.encoder.as_dict(), "trees": asdict(self.trees), "profile": self.profile}
        return gzip.compress(orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY), compresslevel=6, mtime=0)

    @classmethod
    def loads(cls, packed: bytes, *, foreign: bool = False) -> Model:
        """The model again. Nothing in it is ever run: it is numbers and names.

        Args:
            packed: What `dumps` gave.
            foreign: Whether it comes from elsewhere: then its trees are looked at before they are loaded.

        Raises:
            SnapshotError: It is no model of ours, or too large.
        """
        try:
            unpacking = zlib.decompressobj(wbits=31)
            plain = unpacking.decompress(packed, LARGEST)
            if unpacking.unconsumed_tail:
                raise SnapshotError("the model is larger than any of ours", where="trained model")
            data = orjson.loads(plain)
            if data["format"] != FORMAT:
                raise SnapshotError(f"the model is of format {data['format']!r}", where="trained model", expected=str(FORMAT))
            trees = TypeAdapter(Trees).validate_python(data["trees"])
            profile = TypeAdapter(list[dict[str, list[float]]]).validate_python(data["profile"])
            model = cls(Encoder.of(data["encoder"]), trees, profile)
            if foreign:
                text = checked(model.trees.text, columns=len(model.encoder.columns), classes=len(model.trees.classes))
                model = replace(model, trees=replace(model.trees, text=text))
            model._check()
        except (zlib.error, orjson.JSONDecodeError, ValidationError, KeyError, TypeError) as error:
            raise SnapshotError(
                f"this is no trained model ({type(error).__name__})",
                where="trained model", expected="what 'driftline models export' writes",
            ) from None  # fmt: skip
        width = model.trees.booster.num_feature()
        if width != len(model.encoder.columns) or len(model.profile) != width:
            raise SnapshotError(
                f"the trees are of {width} columns, the encoder of {len(model.encoder.columns)}", where="trained model"
            )
        return model

    def _check(self) -> None:
        """Refuses what no documents could be given to."""
        types = self.encoder.types
        of_fields = all(
            column.field in types and (column.kind in OF_NUMBERS) == (types[column.field] in NUMBERS | DATES)
            for column in self.encoder.columns
        )
        bins = all(set(each) == {"edges", "shares"} and len(each["shares"]) == len(each["edges"]) + 2 for each in self.profile)
        if not of_fields or not bins or len(self.trees.weights) != len(self.trees.classes):
            raise SnapshotError(
                "its columns, classes and fields do not fit one another",
                where="trained model", expected="what 'driftline models export' writes",
            )  # fmt: skip


def top(contributions: NDArray[np.float64], names: Sequence[str], many: int) -> list[dict[str, Any]]:
    """The columns that mattered most for one row, the greatest first: `feature_name`, `importance`."""
    order = abs(contributions).argsort()[::-1][:many]
    return [{"feature_name": names[place], "importance": float(f"{contributions[place]:.4g}")} for place in order]
