"""Our index templates: what an index is made with, and how an older version of them is renewed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from driftline.elastic.client import connect
from driftline.elastic.indices import MODELS, STATE, TEMPLATE_VERSION, TRUTH, ensure_templates


def settings(client, name):
    return client.indices.simulate_index_template(name=name)["template"]["settings"]["index"]


def test_snapshots_are_compressed_harder_than_the_rest(client):
    ensure_templates(client)
    assert settings(client, MODELS)["codec"] == "best_compression"
    assert "codec" not in settings(client, STATE)
    assert settings(client, MODELS)["number_of_shards"] == "1"


def test_a_template_of_an_older_version_is_renewed(client):
    client.indices.put_index_template(name=TRUTH, index_patterns=[TRUTH], priority=200, version=TEMPLATE_VERSION - 1, template={})
    ensure_templates(client)
    (found,) = client.indices.get_index_template(name=TRUTH)["index_templates"]
    assert found["index_template"]["version"] == TEMPLATE_VERSION
    assert settings(client, TRUTH)["refresh_interval"] == "1s"


def test_who_reads_an_index_while_it_is_being_made_finds_nothing_yet_and_no_error(client, prefix):
    made: list[str] = []

    def read() -> int:
        asked = 0
        with connect() as reader:
            while len(made) < 10:
                reader.search(index=f"{prefix}*", ignore_unavailable=True)
                reader.options(ignore_status=404).get(index=f"{prefix}{len(made)}", id="a")
                asked += 1
        return asked

    with ThreadPoolExecutor() as threads:
        readers = [threads.submit(read) for _ in range(2)]
        for number in range(10):
            client.indices.create(index=f"{prefix}{number}")
            made.append(prefix)
    assert all(reader.result() for reader in readers)
