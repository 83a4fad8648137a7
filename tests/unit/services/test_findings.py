"""When a record counts as the discovery of an injected anomaly."""

from __future__ import annotations

from typing import Any

import pytest

from driftline.services.findings import discovery, matches, merge

HOUR = 3_600_000
SPIKE = {
    "start": "1970-01-01T02:00:00Z", "end": "1970-01-01T03:00:00Z",
    "partition_field_name": "url.path", "partition_field_value": "/cart",
}  # fmt: skip


def record(hour: float, **fields: Any) -> dict[str, Any]:
    return {"timestamp": int(hour * HOUR), "bucket_span": 3600, **fields}


def path(value: str) -> dict[str, str]:
    return {"partition_field_name": "url.path", "partition_field_value": value}


@pytest.mark.parametrize(("hour", "overlaps"), [(0.9, False), (1, False), (1.1, True), (2, True), (2.9, True), (3, False)])
def test_it_must_overlap_in_time(hour: float, overlaps: bool) -> None:
    assert matches(record(hour, **path("/cart")), SPIKE) is overlaps


def test_another_partition_of_the_same_field_is_no_discovery() -> None:
    assert not matches(record(2, **path("/home")), SPIKE)


def test_a_record_about_everything_may_be_caused_by_one_partition() -> None:
    assert matches(record(2), SPIKE)


def test_an_injection_into_everything_may_show_in_any_partition() -> None:
    everything = {"start": SPIKE["start"], "end": SPIKE["end"], "partition_field_name": None}
    assert matches(record(2, **path("/home")), everything)


@pytest.mark.parametrize(("values", "found"), [(["/cart", "/home"], True), (["/home"], False)])
def test_a_record_of_another_field_must_name_the_value_among_its_influencers(values: list[str], found: bool) -> None:
    influencers = [{"influencer_field_name": "url.path", "influencer_field_values": values}]
    host = {"by_field_name": "host.name", "by_field_value": "web-1"}
    assert matches(record(2, **host, influencers=influencers), SPIKE) is found


def test_an_injection_into_several_partitions_is_found_in_any_of_them() -> None:
    several = {**SPIKE, "partition_field_value": ["/cart", "/checkout"]}
    assert matches(record(2, **path("/checkout")), several)
    assert not matches(record(2, **path("/home")), several)
    influencers = [{"influencer_field_name": "url.path", "influencer_field_values": ["/checkout"]}]
    assert matches(record(2, partition_field_name="host.name", partition_field_value="web-1", influencers=influencers), several)


def test_what_is_about_the_thing_itself_goes_before_what_it_had_a_part_in() -> None:
    influencers = [{"influencer_field_name": "url.path", "influencer_field_values": ["/cart"]}]
    host = record(2, by_field_name="host.name", by_field_value="web-1", influencers=influencers, record_score=90)
    home, weak, own = (record(2, **path(to), record_score=score) for to, score in (("/home", 95), ("/cart", 49), ("/cart", 60)))
    assert discovery([home, host, own], SPIKE) is own
    assert discovery([home, host, weak], SPIKE) is host
    assert discovery([home, weak], SPIKE) is weak
    assert discovery([home], SPIKE) is None


def test_adjacent_records_of_a_series_are_one_anomaly_with_its_strongest_first() -> None:
    def scored(hour: float, score: float, **fields: Any) -> dict[str, Any]:
        known = {"job_id": "j", "detector_index": 0, "record_score": score, "probability": 0.1, "injected": ["spike"]}
        return record(hour, **{**known, **fields})

    found = merge([scored(1, 40), scored(2, 90), scored(3, 60), scored(9, 70), scored(2, 95, **path("/cart"))])
    assert [(entry["record_score"], entry["start"] / HOUR, entry["end"] / HOUR, entry["records"]) for entry in found] == [
        (95, 2, 3, 1),
        (90, 1, 4, 3),
        (70, 9, 10, 1),
    ]
    assert found[1]["injected"] == ["spike"]
