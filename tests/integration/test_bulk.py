"""Bulk writes on a real Elasticsearch: what is counted, what is refused, and in which order things arrive."""

from __future__ import annotations

import pytest

from driftline.core.errors import WriteError
from driftline.elastic import bulk as module
from driftline.elastic.bulk import bulk, delete_action, index_action


@pytest.fixture
def index(client, prefix):
    name = f"{prefix}bulk"
    client.indices.create(index=name, mappings={"properties": {"n": {"type": "long"}}}, settings={"number_of_replicas": 0})
    return name


def test_each_item_is_counted_by_what_came_of_it(client, index):
    created = bulk(client, (index_action(index, str(n), {"n": n}) for n in range(5)))
    assert (created.results, created.total) == ({"created": 5}, 5)
    mixed = [
        index_action(index, "1", {"n": 10}),
        index_action(index, "1", {"n": 11}, op="create"),
        index_action(index, None, {"n": 12}),
        delete_action(index, "2"),
        delete_action(index, "gone"),
    ]
    assert bulk(client, mixed).results == {"updated": 1, "noop": 1, "created": 1, "deleted": 1, "not_found": 1}
    assert bulk(client, []).total == 0


def test_a_refused_document_is_named_and_the_others_are_written(client, index):
    actions = [index_action(index, "good", {"n": 1}), index_action(index, "bad", {"n": "many"})]
    with pytest.raises(WriteError, match=f"1 of 2 documents were refused: {index}/bad: document_parsing_exception"):
        bulk(client, actions)
    assert client.exists(index=index, id="good")


def test_a_document_that_does_not_fit_is_handed_back_with_its_id_where_that_is_asked_for(client, index):
    unfit = []
    outcome = bulk(client, [index_action(index, "bad", {"n": "many"}), index_action(index, "good", {"n": 1})], unfit=unfit)
    assert outcome.results == {"created": 1}
    assert [(answer["_index"], answer["_id"]) for answer in unfit] == [(index, "bad")]
    assert "many" in unfit[0]["error"]["caused_by"]["reason"]


def test_actions_arrive_in_order_over_many_chunks(client, index, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 200)
    outcome = bulk(client, (index_action(index, "same", {"n": n}) for n in range(300)))
    assert outcome.results == {"created": 1, "updated": 299}
    assert client.get(index=index, id="same")["_source"] == {"n": 299}


def test_what_fails_while_actions_are_made_comes_out_and_what_was_sent_before_is_there(client, index, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 1)

    def actions():
        yield index_action(index, "first", {"n": 1})
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        bulk(client, actions())
    assert client.exists(index=index, id="first")


def test_with_several_requests_at_once_everything_is_written_and_counted(client, index, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 500)
    actions = [index_action(index, str(n), {"n": "many" if n % 50 == 7 else n}) for n in range(300)]
    unfit = []
    outcome = bulk(client, actions, unfit=unfit, at_once=3)
    assert outcome.results == {"created": 294}
    assert sorted(int(answer["_id"]) for answer in unfit) == [7, 57, 107, 157, 207, 257]
    client.indices.refresh(index=index)
    assert client.count(index=index)["count"] == 294
