"""Documents become numbers, and new documents the same numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from driftline.analytics.features import Encoder, learn
from driftline.analytics.rates import Target
from driftline.core.errors import DataError

TYPES = {"at": "date", "ip": "ip", "path": "keyword", "size": "long", "ok": "boolean", "said": "text"}


def documents(n: int = 400) -> pa.Table:
    random = np.random.default_rng(5)
    return pa.table(
        {
            "at": pa.array(random.integers(1_772_000_000_000, 1_773_000_000_000, n).astype(float)),
            "ip": pa.array([f"10.0.{a}.{b}" for a, b in random.integers(0, 5, (n, 2))]),
            "path": pa.array([None if x == 0 else f"/p{x}" for x in random.integers(0, 5, n)]),
            "size": pa.array([None if x < 50 else float(x) for x in random.integers(0, 1000, n)]),
            "ok": pa.array(random.integers(0, 2, n).astype(float)),
            "said": pa.array(["Wort " * x + "a1!" for x in random.integers(1, 5, n)]),
        }
    )


def column(encoder: Encoder, rows, name: str):
    return rows[:, encoder.names.index(name)]


def test_each_type_of_field_becomes_what_can_be_learned_from() -> None:
    table = documents()
    encoder = learn(table, TYPES)
    rows = encoder.encode(table)
    assert encoder.names == [
        "at:hour", "at:weekday", "ip:network", "ip:frequency", "path", "size", "ok",
        "said:length", "said:words", "said:digits", "said:signs",
    ]  # fmt: skip
    first = table.slice(0, 1).to_pylist()[0]
    hour = (first["at"] % 86_400_000) / 3_600_000
    assert column(encoder, rows, "at:hour")[0] == pytest.approx(hour, abs=1e-3)
    assert column(encoder, rows, "said:words")[0] == first["said"].count("Wort") + 1
    assert column(encoder, rows, "said:digits")[0] == 1
    missing = np.array([value is None for value in table["size"].to_pylist()])
    assert (np.isnan(column(encoder, rows, "size")) == missing).all()
    assert np.isnan(column(encoder, rows, "path")[[value is None for value in table["path"].to_pylist()]]).all()


def test_numbers_keep_all_their_digits() -> None:
    values = [1_767_225_600.0, 1_767_225_601.0, 0.1, 1e300]
    table = pa.table({"size": values})
    assert learn(table, {"size": "long"}).encode(table)[:, 0].tolist() == values


def test_the_weekday_is_that_of_the_calendar() -> None:
    monday = 1_772_409_600_000.0  # 2026-03-02
    table = pa.table({"at": [monday, monday + 86_400_000 * 6]})
    encoder = learn(table, {"at": "date"})
    assert column(encoder, encoder.encode(table), "at:weekday").tolist() == [0, 6]


def test_the_order_of_documents_changes_nothing() -> None:
    table = documents()
    order = np.random.default_rng(1).permutation(table.num_rows)
    assert learn(table.take(order), TYPES) == learn(table, TYPES)


def test_an_encoder_that_was_kept_gives_the_same_numbers() -> None:
    table = documents()
    encoder = learn(table, TYPES)
    again = Encoder.of(encoder.as_dict())
    assert np.array_equal(again.encode(table), encoder.encode(table), equal_nan=True)


def test_new_documents_may_have_what_was_never_seen_and_lack_what_was() -> None:
    encoder = learn(documents(), TYPES)
    rows = encoder.encode(pa.table({"path": ["/never"], "ip": ["2001:db8:1:2::3"], "size": [7.0]}))
    assert column(encoder, rows, "path")[0] == len(encoder.columns[encoder.names.index("path")].values)
    assert column(encoder, rows, "ip:frequency")[0] == 0
    assert column(encoder, rows, "size")[0] == 7
    assert np.isnan(column(encoder, rows, "at:hour")[0])


def test_addresses_of_a_house_are_told_from_others() -> None:
    table = pa.table(
        {"ip": ["10.0.0.1", "172.20.1.1", "192.168.3.4", "127.0.0.1", "::1", "fd00::1", "8.8.8.8", "172.32.0.1", "2001:db8::1"]}
    )
    encoder = learn(table, {"ip": "ip"})
    assert column(encoder, encoder.encode(table), "ip:private").tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0]


def test_how_often_a_value_is_does_not_count_the_document_itself() -> None:
    table = pa.table({"ip": ["1.1.1.1"] * 3 + ["2.2.2.2"] * 2 + ["3.3.3.3"]})
    encoder = learn(table, {"ip": "ip"})
    seen = column(encoder, encoder.encode(table, own=Target.of(np.zeros(6), [], np.zeros(6))), "ip:frequency")
    assert np.expm1(seen).round().tolist() == [2, 2, 2, 1, 1, 0]
    assert np.expm1(column(encoder, encoder.encode(table), "ip:frequency")).round().tolist() == [3, 3, 3, 2, 2, 0]


def test_ten_thousand_values_are_no_categories_but_what_they_look_like() -> None:
    table = pa.table({"id": [f"token-{n:05d}" for n in range(10_000)]})
    encoder = learn(table, {"id": "keyword"})
    assert {each.kind for each in encoder.columns} == {"category", "frequency", "length", "words", "digits", "signs"}
    assert max(len(each.values) for each in encoder.columns) <= 254


@pytest.mark.parametrize("values", [[None, None], ["a", "a"]])
def test_fields_that_say_nothing_are_left_out(values: list[str | None]) -> None:
    with pytest.raises(DataError, match="no field is left"):
        learn(pa.table({"k": pa.array(values, pa.string())}), {"k": "keyword"})


def test_outliers_get_only_columns_that_have_an_order() -> None:
    table = documents()
    encoder = learn(table, TYPES, ordered=True)
    assert not encoder.categorical
    assert "path:frequency" in encoder.names
