"""Our index templates: what an index is made with, and how an older version of them is renewed."""

from __future__ import annotations

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
