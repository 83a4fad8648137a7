"""What a source file may say, and what it is told when it says something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from driftline.core.errors import DefinitionError
from driftline.core.paths import sources_dir
from driftline.core.source import Source

FILES = {"source_id": "web", "index": "web", "files": {"paths": "/logs/*.log"}}
MADE = {"source_id": "made", "index": "made", "generator": {"start": "2026-03-02"}}


def test_every_source_that_is_shipped_is_valid_and_the_example_too():
    shipped = [*sources_dir().glob("*.yaml"), *sources_dir().glob("*.yaml.example")]
    assert {"demo.yaml", "webapp-tagged.yaml", "access-log.yaml.example"} <= {path.name for path in shipped}
    for path in shipped:
        Source.load(path)


@pytest.mark.parametrize("data", [FILES, MADE])
def test_a_source_is_the_same_after_a_way_through_json(data):
    source = Source.parse(data, where="a test")
    assert Source.parse(source.as_dict(), where="again") == source


def test_a_generator_has_a_window():
    source = Source.parse(MADE, where="a test")
    assert source.type == "generator"
    assert source.window is not None
    assert source.window.start == datetime(2026, 3, 2, tzinfo=UTC)
    assert source.window.end - source.window.start == timedelta(days=28)
    assert Source.parse(FILES, where="a test").window is None


def test_the_version_is_about_documents_not_about_words():
    plain = Source.parse(FILES, where="t").version
    assert Source.parse({**FILES, "description": "x", "schedule": "@daily"}, where="t").version == plain
    assert Source.parse({**FILES, "timezone": "Europe/Berlin"}, where="t").version != plain


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": None}, "exactly one of 'files' and 'generator' says where the rows come from; neither is given"),
        ({"generator": MADE["generator"]}, "both is given"),
        ({"files": {"paths": []}}, "files.paths: List should have at least 1 item"),
        ({"files": {"paths": " "}}, "a path is empty"),
        ({"files": {"paths": "x", "formt": "csv"}}, "files.formt: unknown field; did you mean 'format'?"),
        ({"files": {"paths": "x", "format": "xml"}}, "files.format"),
        ({"files": {"paths": "x", "csv": {"delimiter": "::"}}}, "files.csv.delimiter"),
        ({"files": {"paths": "x", "csv": {"columns": ["a", "a"]}}}, "two columns have the same name"),
        ({"index": "Web"}, "'Web' is not an index name"),
        ({"index": "driftline-x"}, "keeps for itself"),
        ({"index": "a-quarantine"}, "keeps for itself"),
        ({"index": "a,b"}, "is not an index name"),
        ({"timezone": "Mars/Base"}, "'Mars/Base' is not a time zone"),
        ({"timezone": "../../etc/passwd"}, "is not a time zone"),
        ({"schedule": "often"}, "is not a schedule"),
        ({"quality": {"future": "panic"}}, "quality.future"),
        ({"quality": {"max_future": "soon"}}, "quality.max_future: 'soon' is not a span"),
        ({"source_id": "../x"}, "source_id: '../x' is not an identifier"),
    ],
)
def test_a_mistake_names_its_field(changes, message):
    data = {key: value for key, value in {**FILES, **changes}.items() if value is not None}
    with pytest.raises(DefinitionError) as caught:
        Source.parse(data, where="web.yaml")
    assert message in str(caught.value)
    assert "web.yaml" in str(caught.value)
