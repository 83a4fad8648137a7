"""Fields of documents as numbers that trees learn from, and the same numbers for new documents."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from driftline.analytics import rates
from driftline.core.errors import DataError, SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from driftline.analytics.rates import Target

Kind = Literal[
    "number", "hour", "weekday", "category", "network", "private", "frequency", "rate", "length", "words", "digits", "signs"
]

NUMBERS = {"long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float", "unsigned_long", "boolean"}
DATES = {"date", "date_nanos"}
KEYWORDS = {"keyword", "constant_keyword", "wildcard", "version"}
TEXTS = {"text", "match_only_text"}
USED = NUMBERS | DATES | KEYWORDS | TEXTS | {"ip"}

# LightGBM looks for the best set of categories; with thousands it finds one in noise. Of more values it is told what is known.
MOST_CATEGORIES = 254
LEAST = 3  # documents of a category; fewer are `other`
MOST_COUNTED = 50_000  # values of which is kept how frequent they are, and what labels they had
DAY = 86_400_000
# What a text looks like, without knowing its words: a scanner's path has many signs, a token many digits.
TEXT_COUNTS: dict[Kind, str] = {"words": r"\w+", "digits": r"\d", "signs": r"[^\w\s]"}
PRIVATE = r"^(10\.|127\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|::1$|f[cd][0-9a-f]{2}:|fe80:)"
NETWORK = r"^(?P<v4>\d+\.\d+\.\d+)\..*|^(?P<v6>[0-9a-f]*:[0-9a-f]*:[0-9a-f]*):.*"


@dataclass(frozen=True)
class Column:
    """One column of the matrix.

    Attributes:
        name: What people call it: the field, or the field and what is looked at of it (`url.path:length`).
        field: The field of documents.
        kind: How the value becomes a number.
        values: Of a category, network, frequency or rate: the values that have a number of their own.
        counts: Of a frequency: in how many learned documents each of them is.
        rates: Of a rate: what the labels of each were on average, and at last those of all documents.
    """

    name: str
    field: str
    kind: Kind
    values: list[str] = dataclasses.field(default_factory=list)
    counts: list[int] = dataclasses.field(default_factory=list)
    rates: list[float] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        wanted = {"frequency": (len(self.values), 0), "rate": (0, len(self.values) + 1)}.get(self.kind, (0, 0))
        if (len(self.counts), len(self.rates)) != wanted:
            raise SnapshotError(
                f"{self.name} has {len(self.counts)} counts and {len(self.rates)} rates",
                where="trained model", expected=f"{wanted[0]} and {wanted[1]}",
            )  # fmt: skip

    @property
    def categorical(self) -> bool:
        """Whether its numbers are names, which have no order."""
        return self.kind in {"category", "network"}


@dataclass(frozen=True)
class Encoder:
    """How documents become rows of numbers: made by `learn`, kept with the model, the same for new documents.

    Attributes:
        columns: The columns, in order.
        types: The type of each field in the index that was learned from.
    """

    columns: list[Column]
    types: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]

    @property
    def fields(self) -> list[str]:
        """The fields that are read."""
        return list(dict.fromkeys(column.field for column in self.columns))

    @property
    def categorical(self) -> list[int]:
        """The places of the columns whose numbers are names."""
        return [place for place, column in enumerate(self.columns) if column.categorical]

    def encode(self, table: pa.Table, *, own: Target | None = None) -> NDArray[np.float64]:
        """Documents as rows.

        Args:
            table: A column for each field; a field that is not there is missing in all documents.
            own: The labels, of the documents that the encoder was made of: what is told of their values is without themselves.

        Returns:
            [n, len(columns)] numbers; NaN where there is none.
        """
        out = np.full((table.num_rows, len(self.columns)), np.nan, dtype=np.float64, order="F")
        for name in self.fields:
            if name not in table.column_names:
                continue
            mine = [place for place, column in enumerate(self.columns) if column.field == name]
            if self.types[name] in NUMBERS | DATES:
                values = table[name].cast(pa.float64()).to_numpy()
                for place in mine:
                    out[:, place] = _of_number(values, self.columns[place].kind)
            else:
                codes, texts = factorized(table[name])
                for place in mine:
                    numbers = np.append(_of_texts(texts, self.columns[place]), np.nan)
                    out[:, place] = numbers[codes]
                if own is not None:
                    self._without_themselves(out, mine, codes, texts, own)
        return out

    def _without_themselves(
        self, out: NDArray[np.float64], mine: list[int], codes: NDArray[np.int64], texts: pa.Array, own: Target
    ) -> None:
        """Puts in what is known of a field's values without the document itself."""
        of = {kind: [place for place in mine if self.columns[place].kind == kind] for kind in ("frequency", "rate")}
        for place in of["frequency"]:
            there = np.append(_known(texts, self.columns[place]), False)[codes]
            out[there, place] = np.log1p(np.maximum(np.expm1(out[there, place]) - 1, 0))
        if of["rate"]:
            known = _known(texts, self.columns[of["rate"][0]])
            out[:, of["rate"]] = rates.crossed(codes, len(texts), own, known)

    def as_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Encoder:
        """From JSON data.

        Raises:
            ValidationError: A part is missing, or of the wrong type.
        """
        return TypeAdapter(cls).validate_python(data)


def factorized(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], pa.Array]:
    """Codes and the distinct texts; a missing one has the code -1."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # of several chunks, or none
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], pa.string()).dictionary_encode()
    codes = pc.fill_null(whole.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return codes, whole.dictionary


def _place(texts: pa.Array, column: Column) -> NDArray[np.int64]:
    """Which of a column's values each text is; their number for any other."""
    found = pc.fill_null(pc.index_in(texts, pa.array(column.values, pa.string())), len(column.values))
    place: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return place


def _known(texts: pa.Array, column: Column) -> NDArray[np.bool_]:
    """Whether each text is one of a column's values."""
    return _place(texts, column) < len(column.values)


def learn(table: pa.Table, types: Mapping[str, str], *, target: Target | None = None, ordered: bool = False) -> Encoder:
    """Makes an encoder from documents.

    Fields that say nothing, as all documents have the same or none, are left out.

    Args:
        table: A column for each field.
        types: Field name → its type in the index.
        target: The documents' labels. With them a field of more values than there can be categories has their average for each.
        ordered: Only columns whose numbers have an order: of a value that is a name, how frequent it is.

    Raises:
        DataError: No field is left.
    """
    columns = [column for name, kind in types.items() for column in _columns(table[name], name, kind, target, ordered)]
    columns = [column for column in columns if not (ordered and column.categorical)]
    if not columns:
        raise DataError(
            "no field is left to learn from",
            expected="fields of numbers, keywords, dates, addresses or texts that differ between documents",
        )
    used = {column.field for column in columns}
    return Encoder(columns, {name: kind for name, kind in types.items() if name in used})


def _columns(column: pa.ChunkedArray, name: str, kind: str, target: Target | None, ordered: bool) -> Iterable[Column]:
    if kind in NUMBERS:
        return [Column(name, name, "number")] if _differs(column) else []
    if kind in DATES:
        return _of_dates(column, name)
    codes, texts = factorized(column)
    table = pa.table({"value": texts, "n": np.bincount(codes[codes >= 0], minlength=len(texts))})
    rated = _rates(codes, table, name, target) if target and kind not in TEXTS and table.num_rows > MOST_CATEGORIES else []
    table = table.filter(pc.greater(table["n"], 0))
    if table.num_rows + (column.null_count > 0) < 2:
        return []
    # by number, then by name: the same for the same documents in any order
    table = table.sort_by([("n", "descending"), ("value", "ascending")])
    if kind == "ip":
        return [*_addresses(table, name), _frequency(table, name), *rated]
    few = table.num_rows <= MOST_CATEGORIES
    named = [Column(name, name, "category", _frequent(table))] if kind not in TEXTS else []
    frequency = [_frequency(table, name)] if named and (ordered or not few) else []
    return [*named, *frequency, *rated, *([] if few and named else _texts(name))]


def _differs(column: pa.ChunkedArray) -> bool:
    """Whether a field tells documents apart."""
    found = pc.min_max(column).as_py()
    return found["min"] is not None and (found["min"] != found["max"] or column.null_count > 0)


def _of_dates(column: pa.ChunkedArray, name: str) -> list[Column]:
    """The hour and the weekday: what comes again. The date itself is left out: new documents are later than all learned ones."""
    values = column.drop_null().cast(pa.float64()).to_numpy()
    made = [Column(f"{name}:{kind}", name, kind) for kind in ("hour", "weekday")]
    return [each for each in made if len(values) and np.ptp(_of_number(values, each.kind)) > 0]


def _frequent(table: pa.Table) -> list[str]:
    kept = table.filter(pc.greater_equal(table["n"], LEAST))["value"].slice(0, MOST_CATEGORIES)
    names: list[str] = kept.to_pylist()
    return names


def _frequency(table: pa.Table, name: str) -> Column:
    kept = table.slice(0, MOST_COUNTED).filter(pc.greater(table["n"].slice(0, MOST_COUNTED), 1))
    return Column(f"{name}:frequency", name, "frequency", kept["value"].to_pylist(), kept["n"].to_pylist())


def _rates(codes: NDArray[np.int64], table: pa.Table, name: str, target: Target) -> list[Column]:
    """What the labels of each value were, where enough documents have values that come again."""
    counts, sums = rates.counted(codes, table.num_rows, target)
    order = pc.sort_indices(table, [("n", "descending"), ("value", "ascending")]).to_numpy()[:MOST_COUNTED]
    order = order[counts[order] >= rates.LEAST]
    if counts[order].sum() < rates.COVERED * len(codes):
        return []
    values = table["value"].take(pa.array(order)).to_pylist()
    found = np.vstack([rates.rated(counts, sums, target.usual)[order], target.usual])
    return [
        Column(f"{name}:{each}", name, "rate", values, rates=found[:, place].tolist()) for place, each in enumerate(target.names)
    ]


def _addresses(table: pa.Table, name: str) -> list[Column]:
    networks = table.set_column(0, "value", _network(table["value"].combine_chunks())).group_by("value").aggregate([("n", "sum")])
    networks = networks.rename_columns(["value", "n"]).sort_by([("n", "descending"), ("value", "ascending")])
    private = Column(f"{name}:private", name, "private")
    mixed = np.ptp(_of_texts(table["value"].combine_chunks(), private)) > 0
    return [Column(f"{name}:network", name, "network", _frequent(networks)), *([private] if mixed else [])]


def _texts(name: str) -> list[Column]:
    kinds: list[Kind] = ["length", *TEXT_COUNTS]
    return [Column(f"{name}:{kind}", name, kind) for kind in kinds]


def _of_number(values: NDArray[np.float64], kind: Kind) -> NDArray[np.float64]:
    if kind == "hour":
        values = (values % DAY) / (DAY / 24)
    elif kind == "weekday":
        values = (values // DAY + 3) % 7  # the epoch began on a Thursday; Monday is 0
    return np.where(np.isfinite(values), values, np.nan)


def _network(texts: pa.Array) -> pa.Array:
    """The first three parts of an address."""
    parts = pc.extract_regex(pc.utf8_lower(texts), NETWORK)
    v4, v6 = pc.struct_field(parts, "v4"), pc.struct_field(parts, "v6")
    found = pc.if_else(pc.greater(pc.utf8_length(v4), 0), v4, v6)
    return pc.coalesce(found, texts)


def _of_texts(texts: pa.Array, column: Column) -> NDArray[np.float64]:
    """A number for each distinct text."""
    kind = column.kind
    if kind == "network":
        texts = _network(texts)
    if column.categorical:
        return _place(texts, column).astype(np.float64)
    if kind in {"frequency", "rate"}:
        known = column.rates if kind == "rate" else np.log1p(np.array([*column.counts, 0], dtype=np.float64))
        told: NDArray[np.float64] = np.asarray(known, dtype=np.float64)[_place(texts, column)]
        return told
    if kind == "private":
        found = pc.match_substring_regex(texts, PRIVATE).cast(pa.int8())
    elif kind == "length":
        found = pc.utf8_length(texts)
    else:
        found = pc.count_substring_regex(texts, TEXT_COUNTS[kind])
    numbers: NDArray[np.float64] = found.to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers
