import pytest

from driftline.core.errors import DefinitionError
from driftline.core.signature import Signatures

LEAST = {"signature_id": "callers", "indices": "calls-*", "term": "caller"}


def parse(**more):
    return Signatures.parse({**LEAST, **more}, where="test")


def test_the_least_definition_has_the_defaults_that_are_documented():
    found = parse()
    assert found.indices == ["calls-*"]
    assert found.as_dict() | {"span": "7d", "window": "30d", "interval": "1h", "threshold": 99.0} == found.as_dict()
    assert found.notes == []
    assert parse(**{key: value for key, value in found.as_dict().items() if key not in LEAST}) == found


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"span": "20d"}, "must hold at least 2 spans of 20d"),
        ({"span": "36h"}, "span must be whole days"),
        ({"resolution": "7h"}, "must divide a day"),
        ({"resolution": "1m"}, "at least 15m"),
        ({"interval": "90m"}, "must be a multiple of the resolution 1h"),
        ({"interval": "0s"}, "interval 0ms must be a multiple of the resolution 1h"),
        ({"span": "0d", "window": "0d"}, "span must be whole days"),
        ({"time_zone": "Mars"}, "'Mars' is no time zone"),
        ({"features": [{"name": "a", "metric": "avg"}]}, "metric 'avg' needs a field"),
        ({"features": [{"name": "a", "metric": "count", "field": "x"}]}, "metric 'count' takes no field"),
        ({"mix": "caller"}, "another field than term"),
        ({"term": "a\nb"}, "no control characters"),
        ({"thresold": 3}, "did you mean 'threshold'?"),
    ],
)
def test_what_is_wrong_is_told(wrong, told):
    with pytest.raises(DefinitionError, match=told.replace("?", r"\?")):
        parse(**wrong)


def test_a_version_is_of_what_matters():
    base = parse()
    assert parse(description="x", threshold=90, training_schedule="none", interval="2h").version != parse(span="14d").version
    assert parse(description="x", threshold=90, training_schedule="none").version == base.version
    assert parse(mix="destination").version != base.version


def test_a_span_of_no_whole_weeks_is_noted():
    assert "no whole week" in parse(span="3d").notes[0]
